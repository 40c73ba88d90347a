"""Exact tests of whether a group of samples shares more than chance and its classes explain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import hypergeom, norm

SMALLEST = 1e-300
"""Below it a float's precision ends, and nobody asks for more."""


MAX_WORK = 1e8
"""Products of folding; more take seconds, and so many samples make a normal number of the sum."""


def stratified_p(total: np.ndarray, marked: np.ndarray, drawn: np.ndarray, seen: int) -> float:
    """Chance that drawing without replacement in each stratum gives ``seen`` marked or more.

    The sum of independent hypergeometric numbers, exactly: their distributions are folded. With
    classes for strata, a source that supplies a whole class says nothing by that.

    Args:
        total: (S,) samples of each stratum.
        marked: (S,) samples of it that have the trait.
        drawn: (S,) samples of it that belong to the group.
        seen: how many of the group have the trait, over all strata.

    Source: Fisher's exact test, conditional on strata (Mantel & Haenszel 1959 use its normal
    approximation).
    """
    reach = np.minimum(drawn, marked)
    if float(np.cumsum(reach) @ reach) > MAX_WORK:
        return _normal_p(total, marked, drawn, seen)
    mass = np.ones(1)
    for size, hits, n in zip(total.tolist(), marked.tolist(), drawn.tolist(), strict=True):
        if n and hits:
            mass = np.convolve(mass, hypergeom.pmf(np.arange(min(n, hits) + 1), size, hits, n))
    return float(np.clip(mass[seen:].sum(), SMALLEST, 1.0)) if seen < len(mass) else SMALLEST


def _normal_p(total: np.ndarray, marked: np.ndarray, drawn: np.ndarray, seen: int) -> float:
    """The same by the sum's mean and variance, for groups of tens of thousands."""
    size, rate = np.maximum(total, 1), marked / np.maximum(total, 1)
    mean = float((drawn * rate).sum())
    spread = drawn * rate * (1 - rate) * (size - drawn) / np.maximum(size - 1, 1)
    deviation = float(np.sqrt(spread.sum()))
    if deviation == 0:
        return 1.0 if seen <= mean else SMALLEST
    return float(np.clip(norm.sf((seen - 0.5 - mean) / deviation), SMALLEST, 1.0))


def counts(strata: np.ndarray, chosen: np.ndarray, n_strata: int) -> np.ndarray:
    """(S,) how many of the ``chosen`` (N,) bool fall into each of the (N,) strata 0…S−1."""
    return np.bincount(strata[chosen], minlength=n_strata)


def holm(values: Sequence[float]) -> list[float]:
    """Family-wise corrected p-values (Holm 1979), in the order given."""
    order = np.argsort(values, kind="stable")
    corrected = np.empty(len(values))
    highest = 0.0
    for place, index in enumerate(order):
        highest = max(highest, min(1.0, values[index] * (len(values) - place)))
        corrected[index] = highest
    found: list[float] = corrected.tolist()
    return found
