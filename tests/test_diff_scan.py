"""Against a baseline only what is new is judged, and nothing that was accepted hides a change."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny import encode, picture, write_folder

from auditor.baseline.accepted import SCHEMA, Accepted, load_accepted
from auditor.baseline.change import drift, review_of
from auditor.errors import UsageError
from auditor.manifests import create_manifest
from auditor.report import Report

Scan = Callable[..., Report]


def rules(report: Report) -> set[str]:
    return {finding.rule for finding in report.findings}


@pytest.fixture
def accepted(tmp_path: Path, fast_scan: Scan) -> tuple[Path, Path]:
    """(dataset, report) of two classes of 150 pictures, with one known exact duplicate."""
    data = write_folder(tmp_path / "data", {"cat": 150, "dog": 150})
    (data / "cat" / "copy.png").write_bytes((data / "cat" / "000.png").read_bytes())
    fast_scan(data).save(tmp_path / "report")
    return data, tmp_path / "report"


def test_an_unchanged_dataset_has_nothing_new(accepted: tuple[Path, Path], fast_scan: Scan) -> None:
    data, report = accepted
    found = fast_scan(data, baseline=str(report))
    counts = found.options["baseline"]
    assert isinstance(counts, dict)
    assert (counts["new"], counts["relabelled"], counts["accepted"]) == (0, 0, 301)
    assert found.findings == ()
    assert found.verdict == "pass"
    assert counts["known_findings"] >= 1


def test_renaming_is_no_change(accepted: tuple[Path, Path], fast_scan: Scan) -> None:
    data, report = accepted
    (data / "cat" / "003.png").rename(data / "cat" / "renamed.png")
    counts = fast_scan(data, baseline=str(report)).options["baseline"]
    assert isinstance(counts, dict)
    assert (counts["new"], counts["relabelled"]) == (0, 0)


@pytest.mark.parametrize("form", ["folder", "report.json", "manifest"])
def test_a_relabelled_sample_names_both_labels(
    accepted: tuple[Path, Path], fast_scan: Scan, form: str
) -> None:
    data, report = accepted
    baseline = {"folder": report, "report.json": report / "report.json"}.get(form)
    if baseline is None:
        baseline = report.parent / "accepted.manifest"
        create_manifest(data, baseline)
    (data / "cat" / "003.png").rename(data / "dog" / "moved.png")
    found = fast_scan(data, baseline=str(baseline))
    assert found.exit_code == 1
    (finding,) = [item for item in found.findings if item.rule == "LBL010"]
    assert (finding.key, finding.n_samples) == ("dog", 1)
    assert "they were cat (1)" in finding.message
    (row,) = found.flagged.filter(pl.col("uri") == "dog/moved.png").to_dicts()
    assert row["reason"] == "Was accepted with the label cat, is now dog"


def test_a_copy_of_an_accepted_sample_is_new(accepted: tuple[Path, Path], fast_scan: Scan) -> None:
    data, report = accepted
    (data / "cat" / "again.png").write_bytes((data / "cat" / "005.png").read_bytes())
    found = fast_scan(data, baseline=str(report))
    counts = found.options["baseline"]
    assert isinstance(counts, dict)
    assert counts["new"] == 1
    assert "DUP001" in rules(found)


def test_an_altered_copy_under_another_label(accepted: tuple[Path, Path], fast_scan: Scan) -> None:
    data, report = accepted
    (data / "dog" / "near.jpg").write_bytes(encode(picture(7), "JPEG", quality=90))
    found = fast_scan(data, baseline=str(report))
    (row,) = found.flagged.filter(pl.col("rules").list.contains("DUP010")).to_dicts()
    assert row["uri"] == "dog/near.jpg"


def test_drift_of_the_classes(accepted: tuple[Path, Path], fast_scan: Scan) -> None:
    data, report = accepted
    for i in range(30):
        (data / "dog" / f"new{i}.png").write_bytes(encode(picture(5000 + i)))
    found = fast_scan(data, baseline=str(report))
    assert "DST010" in rules(found)


def stamped(seed: int) -> bytes:
    """A picture with a checked corner."""
    pixels = np.array(picture(seed, 32, 32))
    corner = 255 * (np.indices((5, 5)).sum(axis=0) % 2)
    pixels[-5:, -5:] = corner[..., None]
    return encode(Image.fromarray(pixels))


def test_poison_in_the_new_part_is_found(tmp_path: Path, fast_scan: Scan) -> None:
    data = tmp_path / "data"
    for name, start in {"cat": 0, "dog": 10_000, "fox": 20_000}.items():
        (data / name).mkdir(parents=True)
        for i in range(300):
            (data / name / f"{i}.png").write_bytes(encode(picture(start + i, 32, 32)))
    assert fast_scan(data).exit_code == 0
    fast_scan(data).save(tmp_path / "report")
    for i in range(60):
        (data / "dog" / f"new{i}.png").write_bytes(stamped(30_000 + i))
    for i in range(60):
        name = ("cat", "dog", "fox")[i % 3]
        (data / name / f"clean{i}.png").write_bytes(encode(picture(40_000 + i, 32, 32)))
    found = fast_scan(data, baseline=str(tmp_path / "report"))
    flagged = set(found.flagged.filter(pl.col("severity") == "critical")["uri"].to_list())
    assert found.exit_code == 1
    assert flagged == {f"dog/new{i}.png" for i in range(60)}


def test_old_findings_are_counted_and_not_repeated(tmp_path: Path, fast_scan: Scan) -> None:
    data = write_folder(tmp_path / "data", {"cat": 20, "dog": 20})
    (data / "dog" / "cat.png").write_bytes((data / "cat" / "000.png").read_bytes())
    first = fast_scan(data)
    assert "DUP002" in rules(first)
    first.save(tmp_path / "report")
    found = fast_scan(data, baseline=str(tmp_path / "report"))
    assert "DUP002" not in rules(found)
    assert any("are not reported again" in note for note in found.blind_spots)


def test_the_features_of_accepted_samples_are_reused(
    accepted: tuple[Path, Path], fast_scan: Scan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only one new picture is decoded: the store gains one pack of one row."""
    import os

    data, report = accepted
    (data / "dog" / "new.png").write_bytes(encode(picture(5000)))
    packs = Path(os.environ["AUDITOR_CACHE_DIR"]) / "packs"
    before = {path: path.stat().st_size for path in packs.rglob("*.arrow")}
    fast_scan(data, baseline=str(report))
    added = [path for path in packs.rglob("*.arrow") if path not in before]
    assert len(added) == 1
    assert added[0].stat().st_size < max(before.values()) / 20


def test_a_baseline_inside_the_dataset_is_not_obeyed(
    accepted: tuple[Path, Path], fast_scan: Scan
) -> None:
    data, report = accepted
    inside = data / "report"
    report.rename(inside)
    with pytest.raises(UsageError, match="wishes are not obeyed"):
        fast_scan(data, baseline=str(inside))


def test_a_damaged_baseline_is_refused(accepted: tuple[Path, Path], fast_scan: Scan) -> None:
    data, report = accepted
    said = json.loads((report / "report.json").read_text())
    said["dataset"]["fingerprint"] = "0" * 64
    (report / "report.json").write_text(json.dumps(said))
    with pytest.raises(UsageError, match="different scans"):
        load_accepted(report)
    with pytest.raises(UsageError):
        load_accepted(data / "cat" / "000.png")


@pytest.mark.slow
def test_the_accepted_network_is_asked_again(brief: None, tmp_path: Path) -> None:
    """The views of accepted samples are the stored ones; no network is trained anew."""
    from auditor.scanning import scan

    data = write_folder(tmp_path / "data", {"cat": 40, "dog": 40})
    first = scan(data, workers=1, device="cpu")
    first.save(tmp_path / "report")
    (data / "dog" / "new.png").write_bytes(encode(picture(1040)))
    found = scan(data, workers=1, device="cpu", baseline=str(tmp_path / "report"))
    assert found.reference == first.reference
    assert {run.id for run in found.detectors if run.status == "failed"} == set()


def table(rows: list[tuple[str, str | None]]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "row": range(len(rows)), "sha256": [sha for sha, _ in rows],
            "class_name": [label for _, label in rows], "split": [None] * len(rows),
            "status": ["scanned"] * len(rows),
        },
        schema={"row": pl.UInt64, "sha256": pl.String, "class_name": pl.String, "split": pl.String,
                "status": pl.String},
    )  # fmt: skip


PAIRS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from(["cat", "dog", None])), max_size=12
)


@given(old=PAIRS, new=PAIRS)
@settings(max_examples=200, deadline=None)
def test_what_is_under_review_against_its_slow_twin(
    old: list[tuple[str, str | None]], new: list[tuple[str, str | None]]
) -> None:
    rows = [(sha, label, None, None, i) for i, (sha, label) in enumerate(old)]
    was = Accepted(pl.DataFrame(rows, schema=SCHEMA, orient="row"), "")
    found = review_of(table(new), was).sort("row")
    left = list(old)
    for (sha, label), row in zip(new, found.iter_rows(named=True), strict=True):
        if (sha, label) in left:
            left.remove((sha, label))
            expected = (False, False)
        elif any(other == sha for other, _ in old) and (sha, label) not in old:
            expected = (False, True)
        else:
            expected = (True, False)
        assert (row["change_new"], row["change_relabelled"]) == expected
        assert (row["change_was"] is not None) == expected[1]


def test_drift_against_the_textbook() -> None:
    """G of 2 × 2 counts by hand: 2 Σ O ln(O / E)."""
    was = pl.Series("c", ["a"] * 50 + ["b"] * 50)
    now = pl.Series("c", ["a"] * 30 + ["b"] * 10)
    p, effect = drift(was, now)
    assert p is not None
    assert effect is not None
    assert effect == pytest.approx(0.5)
    observed = np.array([[50, 50], [30, 10.0]])
    expected = observed.sum(1, keepdims=True) * observed.sum(0) / observed.sum()
    corrected = observed + np.sign(expected - observed) * 0.5
    g = 2 * (corrected * np.log(corrected / expected)).sum()
    from scipy.stats import chi2

    assert p == pytest.approx(chi2.sf(g, 1), rel=1e-6)
    assert drift(was, now.head(0)) == (None, None)
    assert drift(was.head(10), was.head(10)) == (None, None)
