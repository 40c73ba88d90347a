"""Whole scans of small and degenerate datasets: said, not crashed on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import encode, picture, pictures, structs, write_folder, write_parquet

from auditor.concluding import decide
from auditor.config import Config
from auditor.errors import UsageError
from auditor.records import Confidence, Coverage, DetectorRun, Finding, Severity
from auditor.report import Report

FastScan = Callable[..., Report]


def rules(report: Report) -> set[str]:
    return {finding.rule for finding in report.findings}


def test_one_class(tmp_path: Path, fast_scan: FastScan) -> None:
    report = fast_scan(write_folder(tmp_path, {"only": 4}))
    assert report.verdict == "pass"
    assert "COV001" in rules(report)
    assert all(run.status != "failed" for run in report.detectors)


def test_a_class_of_one_sample(tmp_path: Path, fast_scan: FastScan) -> None:
    report = fast_scan(write_folder(tmp_path, {"many": 5, "one": 1}))
    keys = [finding.key for finding in report.findings if finding.rule == "COV003"]
    assert keys == ["one"]
    assert report.exit_code == 0


def test_more_samples_and_classes_than_a_linear_classifier_is_asked_of(
    tmp_path: Path, fast_scan: FastScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_folder(tmp_path, {"cat": 60, "dog": 60})
    asked = {run.id: run.status for run in fast_scan(folder).detectors}["plain"]
    monkeypatch.setattr("auditor.reference.MAX_VOTES", 2 * 120 - 1)
    report = fast_scan(folder, no_cache=True)
    run = next(run for run in report.detectors if run.id == "plain")
    assert (asked, run.status) == ("ok", "inapplicable")
    assert "120 samples of 2 classes" in str(run.reason)
    assert any("linear classifier keeps" in spot for spot in report.blind_spots)
    assert report.exit_code == 0


def test_no_labels(tmp_path: Path, fast_scan: FastScan) -> None:
    path = write_parquet(tmp_path / "t.parquet", {"image": structs(pictures(4))})
    report = fast_scan(path)
    assert "COV002" in rules(report)
    assert report.dataset.n_classes == 0
    assert {run.status for run in report.detectors} <= {"ok", "inapplicable"}
    assert any("did not run" in spot for spot in report.blind_spots)


def test_all_samples_identical(tmp_path: Path, fast_scan: FastScan) -> None:
    images = pictures(1) * 50
    path = write_parquet(tmp_path / "t.parquet", {"image": structs(images), "label": [0, 1] * 25})
    report = fast_scan(path)
    assert {"COV004", "DUP001", "DUP002"} <= rules(report)
    assert report.exit_code == 1
    assert report.n_flagged == 50
    assert all(run.status != "failed" for run in report.detectors)


def test_one_sample(tmp_path: Path, fast_scan: FastScan) -> None:
    (tmp_path / "1.png").write_bytes(encode(picture(1, 1, 1)))
    report = fast_scan(tmp_path / "1.png")
    assert report.coverage.scanned == 1
    assert all(run.status != "failed" for run in report.detectors)


def test_nothing_could_be_read(tmp_path: Path, fast_scan: FastScan) -> None:
    (tmp_path / "a").mkdir()
    for i in range(3):
        (tmp_path / "a" / f"{i}.png").write_bytes(b"")
    report = fast_scan(tmp_path, allow_refused=100)
    assert (report.verdict, report.exit_code) == ("incomplete", 4)
    assert report.coverage.by_reason == {"empty": 3}
    assert report.flagged["reason"].to_list() == ["Refused: empty"] * 3


def test_a_relabelled_copy_is_flagged_with_its_original(
    tmp_path: Path, fast_scan: FastScan
) -> None:
    write_folder(tmp_path, {"cat": 4, "dog": 4})
    shutil.copy(tmp_path / "cat" / "002.png", tmp_path / "dog" / "moved.png")
    report = fast_scan(tmp_path)
    assert report.flagged["uri"].to_list() == ["cat/002.png", "dog/moved.png"]
    assert report.exit_code == 0
    assert fast_scan(tmp_path, fail_on="medium").exit_code == 1
    counts = {line.name: (line.n_samples, line.n_flagged) for line in report.classes}
    assert counts == {"cat": (4, 1), "dog": (5, 1)}


def test_a_mistyped_file(tmp_path: Path, fast_scan: FastScan) -> None:
    write_folder(tmp_path, {"a": 2})
    (tmp_path / "a" / "z.png").write_bytes(encode(picture(9), "JPEG"))
    assert "FMT001" in rules(fast_scan(tmp_path))


def test_selected_rules_alone_judge_but_refusals_still_count(
    tmp_path: Path, fast_scan: FastScan
) -> None:
    write_folder(tmp_path, {"a": 2})
    (tmp_path / "a" / "bad.png").write_bytes(b"x")
    report = fast_scan(tmp_path, select=["DUP"])
    assert rules(report) == set()
    assert report.exit_code == 4


def test_thumbnails_are_of_flagged_samples_and_their_classmates(
    tmp_path: Path, fast_scan: FastScan
) -> None:
    write_folder(tmp_path, {"cat": 4, "dog": 4})
    shutil.copy(tmp_path / "cat" / "002.png", tmp_path / "dog" / "moved.png")
    report = fast_scan(tmp_path)
    assert set(report.flagged["row"].to_list()) <= report.thumbnails.keys()
    assert all(jpeg.startswith(b"\xff\xd8") for jpeg in report.thumbnails.values())


def test_nothing_is_written_into_the_dataset(tmp_path: Path, fast_scan: FastScan) -> None:
    write_folder(tmp_path, {"a": 1})
    with pytest.raises(UsageError, match="cache folder"):
        fast_scan(tmp_path, cache_dir=str(tmp_path / "a" / ".cache"))


def finding(severity: Severity) -> Finding:
    return Finding("X", "x", severity, Confidence.HIGH, "dataset", None, 1, "", {}, "")


def detector_run(status: str) -> DetectorRun:
    return DetectorRun("d", "1", status, 0.0, {})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("severity", "refused", "status", "options", "expected"),
    [
        (None, 0, "ok", {}, ("pass", 0)),
        (None, 0, "inapplicable", {}, ("pass", 0)),
        (Severity.MEDIUM, 0, "ok", {}, ("pass", 0)),
        (Severity.HIGH, 0, "ok", {}, ("fail", 1)),
        (Severity.HIGH, 5, "failed", {}, ("fail", 1)),
        (Severity.HIGH, 0, "ok", {"fail_on": Severity.CRITICAL}, ("pass", 0)),
        (None, 1, "ok", {}, ("incomplete", 4)),
        (None, 0, "failed", {}, ("incomplete", 4)),
        (None, 1, "ok", {"allow_refused": 1}, ("pass", 0)),
        (None, 2, "ok", {"allow_refused": 1}, ("incomplete", 4)),
        (None, 10, "ok", {"allow_refused": 0.1}, ("pass", 0)),
        (None, 11, "ok", {"allow_refused": 0.1}, ("incomplete", 4)),
        (None, 100, "ok", {"allow_refused": 1.0}, ("incomplete", 4)),
        (None, 1, "failed", {"allow_refused": 50}, ("incomplete", 4)),
    ],
)
def test_the_verdict(
    severity: Severity | None, refused: int, status: str, options: dict[str, object],
    expected: tuple[str, int],
) -> None:  # fmt: skip
    found = () if severity is None else (finding(severity),)
    covered = Coverage(100, 100 - refused, refused, {})
    settings = Config(**options)  # type: ignore[arg-type]
    assert decide(found, covered, [detector_run(status)], settings) == expected
