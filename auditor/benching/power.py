"""Power on your data: how many poisoned samples of an attack it takes to be caught.

Every run of an attack is one observation: so many poisoned samples, caught or not. The chance of
being caught is taken to rise with the logarithm of the count along a logistic curve, and what the
runs leave open of that curve is carried through to the answer, so few runs give a wide interval.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from auditor.benching.running import Outcome
from auditor.records import Power

AIM = 0.95
"""The chance of being caught that is asked for."""

INTERVAL = 0.9
"""Credible mass of the interval: one chance in twenty on either side."""

GRID = 121
WIDTHS = np.geomspace(0.05, 2.0, 25)
"""Scale of the logistic in doublings of the count. Measured ladders go from never to always within
one or two doublings, which is a scale of 0.1 to 0.3; the prior is even in its logarithm."""

BEYOND = 3.0
"""Doublings below the smallest and above the largest count where the curve may have its middle; the
prior is even in the logarithm of the count."""


def power_table(outcomes: Sequence[Outcome]) -> list[Power]:
    """One answer an attack, profile and size that was run with poison at least twice."""
    groups: dict[tuple[str, str, int], list[tuple[int, bool]]] = {}
    for outcome in outcomes:
        if outcome.score is None or not outcome.score.n_poisoned:
            continue
        n = outcome.score.n_samples
        size = outcome.case.size or n
        key = (outcome.case.variant, outcome.case.profile, size)
        groups.setdefault(key, []).append((outcome.score.n_poisoned, outcome.score.right))
    found = []
    for (variant, profile, size), runs in sorted(groups.items()):
        if len({count for count, _ in runs}) < 2:
            continue
        counts = np.array([count for count, _ in runs])
        caught = np.array([right for _, right in runs])
        largest = int(counts.max())
        low, middle, high = (_within(value, largest) for value in quantiles(counts, caught))
        found.append(Power(variant, profile, size, len(runs), largest, middle, low, high))
    return found


def _within(value: float, largest: int) -> int | None:
    """The count, rounded up, unless it lies beyond what was tried."""
    return None if value > largest else max(1, int(np.ceil(value)))


def quantiles(counts: np.ndarray, caught: np.ndarray) -> tuple[float, float, float]:
    """5 %, 50 % and 95 % quantiles of the count that is caught with 95 % probability.

    Args:
        counts: (R,) int64, poisoned samples of each run, at least 1.
        caught: (R,) bool.

    The posterior is summed over a grid of middles and widths of the logistic curve in log₂ count.
    """
    x = np.log2(counts.astype(np.float64))
    middles = np.linspace(x.min() - BEYOND, x.max() + BEYOND, GRID)
    steps = (x[None, None, :] - middles[:, None, None]) / WIDTHS[None, :, None]
    # log σ(z) and log σ(−z) = −log(1 + e^∓z), stable for large |z|.
    likelihood = -np.logaddexp(0, np.where(caught, -steps, steps)).sum(axis=2)
    weight = np.exp(likelihood - likelihood.max()).ravel()
    aims = (middles[:, None] + WIDTHS[None, :] * np.log(AIM / (1 - AIM))).ravel()
    order = np.argsort(aims, kind="stable")
    mass = np.cumsum(weight[order]) / weight.sum()
    tail = (1 - INTERVAL) / 2
    low, middle, high = (
        float(2.0 ** aims[order][min(int(np.searchsorted(mass, q)), len(mass) - 1)])
        for q in (tail, 0.5, 1 - tail)
    )
    return low, middle, high
