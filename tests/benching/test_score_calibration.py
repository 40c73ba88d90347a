"""The probabilities in the rules are those that the committed bench counts give."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest

from auditor.benching.scoring import SCORE_STEPS
from auditor.judging.ruleset import load_rules

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def calibration() -> ModuleType:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return import_module("score_calibration")
    finally:
        sys.path.remove(str(BENCHMARKS))


def counted(steps: Sequence[tuple[int, int, int]]) -> tuple[list[int], list[int]]:
    """Poisoned and clean samples of each step, from (step, poisoned, clean)."""
    found, false = [0] * len(SCORE_STEPS), [0] * len(SCORE_STEPS)
    for step, poisoned, clean in steps:
        found[step], false[step] = poisoned, clean
    return found, false


CASES = (
    counted([(5, 1, 9), (10, 20, 20), (11, 50, 0)]),
    counted([(5, 0, 2), (11, 2, 0)]),
    counted([(10, 300, 100), (11, 600, 0)]),
)


def test_every_case_weighs_the_same_and_shares_rise(
    calibration: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "cases").mkdir()
    for number, (found, false) in enumerate(CASES):
        tally = {"BKD001": {"found": found, "false": false}, "DUP001": {"found": [1], "false": [1]}}
        path = tmp_path / "cases" / f"{number}.json"
        path.write_text(json.dumps({"score": {"tallies": tally}}))
    (tmp_path / "cases" / "failed.json").write_text('{"score": null}')
    read = calibration.read([tmp_path])
    assert set(read) == {"BKD001"}

    named, poisoned = np.zeros(len(SCORE_STEPS)), np.zeros(len(SCORE_STEPS))
    for found, false in CASES:
        n = sum(found) + sum(false)
        for step in range(len(SCORE_STEPS)):
            named[step] += (found[step] + false[step]) / n
            poisoned[step] += found[step] / n
    expected = [a / b if b else np.nan for a, b in zip(poisoned, named, strict=True)]
    assert read["BKD001"].shares == pytest.approx(expected, nan_ok=True)

    probability = calibration.fitted(read["BKD001"])
    known = probability[~np.isnan(probability)]
    # Twelve samples lie in step 5; of all that the cases named, 71 %, 50 % and 90 % were poisoned.
    whole = (0.71 + 0.5 + 0.9) / 3
    first = (12 * expected[5] + 2 * whole) / 14
    assert known[0] == pytest.approx(first)
    assert len(known) == 3
    assert (np.diff(known) >= 0).all()
    assert known[-1] == pytest.approx(4 / 5)  # three cases: (3 + 1) / (3 + 2)
    assert calibration.steps_of(probability)[0][0] == 0.0
    assert [start for start, _ in calibration.steps_of(probability)] == [0.0, 0.95, 0.99]


def test_one_poisoned_case_proves_little(calibration: ModuleType) -> None:
    found, false = (np.array([part]) for part in counted([(11, 500, 0)]))
    worth = calibration.fitted(calibration.Counts(found, false))
    assert worth[-1] == pytest.approx(2 / 3)


def test_the_rules_say_what_the_committed_table_says(calibration: ModuleType) -> None:
    table = pl.read_csv(BENCHMARKS / "score-calibration.csv")
    rules = {rule.id: rule for rule in load_rules()}
    assert not table.is_empty()
    for (rule,), part in table.group_by("rule"):
        worth = dict(part.select("score_from", "probability").iter_rows())
        steps = calibration.steps_of(
            np.array([np.nan if worth.get(at) is None else worth[at] for at in SCORE_STEPS])
        )
        assert [list(step) for step in rules[str(rule)].probability] == steps, rule
    assert {rule.id for rule in rules.values() if rule.probability} == set(table["rule"])
