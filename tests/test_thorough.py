"""The thorough profile trains a network on everything, once, and runs the detectors that ask it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import write_folder

from auditor.features import training, victim
from auditor.report import Report
from auditor.scanning import scan


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(victim, "MIN_STEPS", 4)
    monkeypatch.setattr(training, "MAX_EPOCHS", 1.0)


def runs(report: Report) -> dict[str, str]:
    return {run.id: run.status for run in report.detectors}


def test_it_trains_a_victim_once_and_asks_it(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "set", dict.fromkeys("abcd", 64))
    cache = tmp_path / "cache"
    first = scan(root, profile="thorough", workers=1, cache_dir=str(cache))
    assert runs(first)["victim"] == "ok"
    assert runs(first)["victim_impostor"] in ("ok", "inapplicable")
    assert "victim" in first.timings
    (weights,) = cache.glob("datasets/*/victim-*/victim-*.pt")
    made = weights.stat().st_mtime_ns
    second = scan(root, profile="thorough", workers=1, cache_dir=str(cache))
    assert weights.stat().st_mtime_ns == made
    assert second.flagged.equals(first.flagged)
    usual = scan(root, workers=1, cache_dir=str(cache))
    assert not {"victim", "victim_impostor"} & set(runs(usual))


def test_too_little_for_a_victim_is_a_blind_spot(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "set", dict.fromkeys("abcd", 20))
    report = scan(root, profile="thorough", workers=1, no_cache=True)
    assert runs(report)["victim_impostor"] == "inapplicable"
    assert any("200 labelled samples" in spot for spot in report.blind_spots)
    assert report.verdict == "pass"
