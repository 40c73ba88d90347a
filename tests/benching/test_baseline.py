from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from auditor.benching import baseline
from auditor.benching.results import BenchResult
from auditor.benching.running import Outcome
from auditor.errors import UsageError

MakeOutcome = Callable[..., Outcome]


def result(*outcomes: Outcome, suite: str = "quick", dataset: str = "digits") -> BenchResult:
    return BenchResult(suite, dataset, outcomes, ())


def test_the_same_run_is_no_loss(outcome: MakeOutcome, tmp_path: Path) -> None:
    path = tmp_path / "recall.csv"
    run = result(outcome(), outcome(attack="clean"), outcome(rate=0.003, n=30, found=0))
    baseline.update(path, run)
    assert baseline.check(path, run) == []


def test_recall_below_the_floor_is_a_loss_and_noise_is_none(
    outcome: MakeOutcome, tmp_path: Path
) -> None:
    path = tmp_path / "recall.csv"
    baseline.update(path, result(outcome(n=100, found=100)))
    assert baseline.check(path, result(outcome(n=100, found=97))) == []
    (loss,) = baseline.check(path, result(outcome(n=100, found=90)))
    assert "recall fell to 0.900 (90 of 100)" in loss


def test_a_backdoor_alarm_on_clean_data_is_a_loss(outcome: MakeOutcome, tmp_path: Path) -> None:
    path = tmp_path / "recall.csv"
    baseline.update(path, result(outcome(attack="clean")))
    (loss,) = baseline.check(path, result(outcome(attack="clean", alarms=1, right=False)))
    assert "1 backdoor alarm(s)" in loss


def test_a_verdict_that_turned_wrong_is_a_loss(outcome: MakeOutcome, tmp_path: Path) -> None:
    path = tmp_path / "recall.csv"
    baseline.update(path, result(outcome()))
    (loss,) = baseline.check(path, result(outcome(right=False)))
    assert loss.endswith("the verdict was right and is wrong now")


def test_cases_that_were_not_run_or_broke_are_losses(outcome: MakeOutcome, tmp_path: Path) -> None:
    path = tmp_path / "recall.csv"
    baseline.update(path, result(outcome(), outcome(attack="sig")))
    losses = baseline.check(path, result(outcome(status="failed")))
    assert [loss.partition(": ")[2] for loss in losses] == ["failed: it broke", "was not run"]


def test_update_replaces_its_own_suite_and_keeps_the_others(
    outcome: MakeOutcome, tmp_path: Path
) -> None:
    path = tmp_path / "recall.csv"
    baseline.update(path, result(outcome(), suite="standard"))
    baseline.update(path, result(outcome(), outcome(attack="sig")))
    baseline.update(path, result(outcome(attack="wanet")))
    frame = baseline.read(path)
    assert [(r["suite"], r["case"].split()[0]) for r in frame.iter_rows(named=True)] == [
        ("quick", "wanet"), ("standard", "badnets"),
    ]  # fmt: skip


def test_a_broken_case_is_not_committed(outcome: MakeOutcome, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing was written"):
        baseline.update(tmp_path / "recall.csv", result(outcome(status="failed")))
    assert not (tmp_path / "recall.csv").exists()


def test_unusable_baselines_say_what_to_do(outcome: MakeOutcome, tmp_path: Path) -> None:
    run = result(outcome())
    with pytest.raises(UsageError, match="make it with --update"):
        baseline.check(tmp_path / "none.csv", run)
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match="make it anew"):
        baseline.check(tmp_path / "other.csv", run)
    baseline.update(tmp_path / "recall.csv", run)
    with pytest.raises(UsageError, match="no case of suite"):
        baseline.check(tmp_path / "recall.csv", result(outcome(), suite="clean"))
