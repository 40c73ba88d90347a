from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from auditor.benching.power import AIM, BEYOND, GRID, WIDTHS, power_table, quantiles
from auditor.benching.running import Outcome

MakeOutcome = Callable[..., Outcome]


def slow_quantiles(counts: list[int], caught: list[bool]) -> list[float]:
    logs = [math.log2(c) for c in counts]
    found = []
    for i in range(GRID):
        low, high = min(logs) - BEYOND, max(logs) + BEYOND
        middle = low + (high - low) * i / (GRID - 1)
        for width in WIDTHS:
            weight = 1.0
            for x, hit in zip(logs, caught, strict=True):
                chance = 1 / (1 + math.exp(-max(-600, min(600, (x - middle) / width))))
                weight *= chance if hit else 1 - chance
            found.append((middle + width * math.log(AIM / (1 - AIM)), weight))
    found.sort()
    total = sum(weight for _, weight in found)
    answers, mass, wanted = [], 0.0, [0.05, 0.5, 0.95]
    for aim, weight in found:
        mass += weight
        while wanted and mass >= wanted[0] * total * (1 - 1e-12):
            answers.append(2**aim)
            wanted.pop(0)
    return answers


@pytest.mark.parametrize(
    "caught",
    [[False, False, True, True], [False, True, False, True], [True] * 4, [False] * 4],
)
def test_quantiles_agree_with_the_sum_written_out(caught: list[bool]) -> None:
    counts = [10, 20, 40, 80]
    got = quantiles(np.array(counts), np.array(caught))
    assert got == pytest.approx(slow_quantiles(counts, caught), rel=0.06)


def test_more_runs_narrow_the_interval_around_the_step() -> None:
    counts = np.array([10, 20, 40, 80])
    few = quantiles(counts, counts >= 40)
    many = quantiles(np.repeat(counts, 20), np.repeat(counts >= 40, 20))
    assert many[2] / many[0] < few[2] / few[0]
    assert 20 < many[0] <= many[1] <= many[2] < 60


def test_power_is_not_claimed_beyond_what_was_tried(outcome: MakeOutcome) -> None:
    runs = [outcome(rate=n / 1000, n=n, right=False, size=1000) for n in (10, 20, 40)]
    (power,) = power_table(runs)
    assert power.count is None
    assert power.high is None
    assert str(power) == "not caught reliably up to 40"


def test_one_count_gives_no_answer(outcome: MakeOutcome) -> None:
    assert power_table([outcome(seed=s) for s in range(3)]) == []


def test_attacks_and_sizes_are_kept_apart(outcome: MakeOutcome) -> None:
    runs = [
        outcome(attack=attack, rate=n / size, n=n, size=size)
        for attack in ("badnets", "sig")
        for size in (1000, 2000)
        for n in (20, 80)
    ]
    found = power_table([*runs, outcome(attack="clean")])
    assert [(p.variant, p.n_samples, p.runs) for p in found] == [
        ("badnets", 1000, 2), ("badnets", 2000, 2), ("sig", 1000, 2), ("sig", 2000, 2),
    ]  # fmt: skip
