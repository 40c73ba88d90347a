from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from auditor.benching import attaching
from auditor.benching.results import BenchResult
from auditor.config import Config
from auditor.errors import UsageError
from auditor.records import Power
from auditor.sample import write_sample
from auditor.scanning import scan

FIXTURES = Path(__file__).parents[2] / "fixtures" / "ready"
POWER = Power("badnets", "fast", 1_500, 14, 80, 39, 24, 58)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("attaching") / "digits"
    write_sample(folder)
    return folder


def test_the_scanned_dataset_is_poisoned_and_scanned_again(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Config(profile="fast", cache_dir=str(tmp_path), device="cpu")
    report = scan(digits, config=settings)
    asked: dict[str, Any] = {}

    def bench(dataset: Path, **options: Any) -> BenchResult:
        asked.update(options, dataset=dataset)
        return BenchResult("power", "digits", (), (POWER,))

    monkeypatch.setattr(attaching, "bench", bench)
    found = attaching.with_power(report, digits, settings)
    assert found.power == (POWER,)
    assert (asked["dataset"], asked["suite"], asked["profile"]) == (digits, "power", "fast")
    assert asked["out"] == tmp_path / "power"


def test_a_dataset_that_alarms_has_no_power_and_the_report_says_so(tmp_path: Path) -> None:
    settings = Config(profile="fast", cache_dir=str(tmp_path))
    dataset = FIXTURES / "digits-badnets"
    report = scan(dataset, config=settings)
    found = attaching.with_power(report, dataset, settings)
    assert found.power == ()
    assert found.blind_spots[-1] == attaching.SPOILT


def test_what_can_not_be_cut_is_a_blind_spot(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Config(profile="fast", cache_dir=str(tmp_path))
    report = scan(digits, config=settings)

    def bench(dataset: Path, **options: Any) -> BenchResult:
        raise UsageError("--suite power: got cuts of 40 samples, expected at least 100")

    monkeypatch.setattr(attaching, "bench", bench)
    found = attaching.with_power(report, digits, settings)
    assert found.power == ()
    assert "got cuts of 40 samples" in found.blind_spots[-1]


@pytest.mark.slow
def test_power_of_the_bundled_digits(digits: Path, tmp_path: Path,
                                     monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr("auditor.benching.suites.POWER_ATTACKS", ("badnets",))
    monkeypatch.setattr("auditor.benching.suites.POWER_COUNTS", (5, 60))
    monkeypatch.setattr(attaching, "SEEDS", (0,))
    settings = Config(profile="fast", cache_dir=str(tmp_path))
    report = scan(digits, config=settings)
    heard: list[int] = []
    found = attaching.with_power(
        report, digits, settings, lambda outcome, done, total: heard.append(total)
    )
    (power,) = found.power
    assert heard == [2, 2]
    assert (power.runs, power.largest) == (2, 60)
    assert power.count is None or 5 < power.count <= 60
