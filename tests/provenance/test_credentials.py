"""Content credentials: what c2pa-python says, in the words of the rules."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from auditor.readers.credentials import _forbids, _is_generated
from auditor.report import Report

URL = "http://cv.iptc.org/newscodes/digitalsourcetype/"


def rules(report: Report) -> set[str]:
    return {finding.rule for finding in report.findings}


@pytest.mark.data
def test_the_published_verdicts(data_root: Path, fast_scan: Callable[..., Report]) -> None:
    pytest.importorskip("c2pa", reason="needs the extra c2pa")
    folder = data_root / "provenance" / "c2pa"
    report = fast_scan(folder)
    with (folder / "VALIDATION.csv").open(newline="") as file:
        lines = list(csv.reader(file))[1:]
    # The files lie under other folders than the list says; their names are kept.
    expected = {Path(line[0]).name: line for line in lines}
    seen = 0
    columns = ("uri", "credentials", "credentials_state", "credentials_codes")
    for uri, carries, state, codes in report.samples.select(columns).iter_rows():
        line = expected.get(Path(uri).name)
        if line is None or carries is None:
            continue
        seen += 1
        assert carries == (line[2] == "manifest"), uri
        assert (state or "") == line[3], uri
        if state:
            wrong = set(line[4].split(";")) - {"signingCredential.untrusted"}
            assert set(codes.split(", ")) - {""} == wrong, uri
    assert seen >= 8
    assert {"PRV024", "PRV026"} <= rules(report)
    assert "PRV027" not in rules(report)


@pytest.mark.data
def test_without_the_library_it_says_so(
    data_root: Path, fast_scan: Callable[..., Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auditor.credentials.find_spec", lambda name: None)
    report = fast_scan(data_root / "provenance" / "c2pa" / "sdk")
    (finding,) = (f for f in report.findings if f.rule == "PRV027")
    assert finding.message.startswith("5 of 5 images")
    assert "PRV024" not in rules(report)


def test_what_assertions_mean() -> None:
    made = {
        "actions": [
            {"action": "c2pa.created", "digitalSourceType": URL + "trainedAlgorithmicMedia"}
        ]
    }
    taken = {"actions": [{"digitalSourceType": URL + "digitalCapture"}, 3]}
    assert _is_generated(made)
    assert not any(map(_is_generated, (taken, {}, None, {"actions": "x"})))
    assert _forbids({"entries": {"c2pa.ai_training": {"use": "notAllowed"}}})
    assert _forbids({"entries": {"cawg.ai_generative_training": {"use": "constrained"}}})
    assert not _forbids({"entries": {"c2pa.ai_training": {"use": "allowed"}}})
    assert not _forbids({"entries": {"c2pa.data_mining": {"use": "notAllowed"}}})
