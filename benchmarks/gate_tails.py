"""How near figures come to a gate, and what chance a null gives to that: rules, tails and p."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from drawing import fires
from scipy import stats

from auditor.judging.ruleset import load_rules
from auditor.records import Rule

STRICTER_DOWN = ("separation", "contrast", "gap", "disputed", "foreign", "foreign_z")
STRICTER_UP = ("shoulder", "excess")
"""Figures that speak for a trigger, and against one. The members' count and share are no grades."""

WIDEST = 1e3
HALVINGS = 24
"""Halvings of log t between 1/WIDEST and WIDEST: t is right to one part in a million."""

TAIL_SHARE = {"class": 0.1, "dataset": 0.5}
"""Share of the null values that the tail is fitted to: 12 to 24 classes, 6 to 12 draws a dataset.
Of a quarter of the draws, resamples often leave none to fit."""

ENOUGH = 20
"""Fewer values can not tell a shape; they get an exponential."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Rules that ask one question; one of them fires iff the gate is passed.

    A rule that leaves to another what that one says more surely stands together with it.
    """

    name: str
    probe: str
    scope: str
    rules: tuple[str, ...]


GATES = (
    Gate("pattern, certain", "shortcut", "class", ("BKD001",)),
    Gate("pattern, probable", "shortcut", "class", ("BKD001", "BKD002")),
    Gate("pattern, disputed", "shortcut", "class", ("BKD001", "BKD007")),
    Gate("pattern, across classes", "shortcut", "dataset", ("BKD005",)),
    Gate("processing, disputed", "texture", "class", ("BKD012",)),
    Gate("processing, across classes", "texture", "dataset", ("BKD013",)),
    Gate("processing alone", "texture", "class", ("BKD014",)),
    Gate("edges alone", "edges", "class", ("BKD020",)),
    Gate("edges, disputed", "edges", "class", ("BKD021",)),
    Gate("edges, across classes", "edges", "dataset", ("BKD022",)),
)


@dataclass(frozen=True, slots=True)
class Tail:
    """The null of one statistic: ranks below ``start``, a generalised Pareto tail above.

    Attributes:
        values: (M,) sorted null values.
        start: where the tail begins.
        above: share of the null values beyond ``start``.
        shape: ξ ≥ 0 of the tail; 0 is an exponential.
        scale: σ of the tail; 0 where nothing lies beyond ``start``.
    """

    values: np.ndarray
    start: float
    above: float
    shape: float
    scale: float

    def survival(self, seen: np.ndarray) -> np.ndarray:
        """(n,) chance that one null value reaches each of ``seen``."""
        n = len(self.values)
        ranks = n - np.searchsorted(self.values, seen, side="left")
        body = np.minimum(1.0, (ranks + 1) / (n + 1))
        if self.scale == 0:
            return body
        tail = self.above * stats.genpareto.sf(seen - self.start, self.shape, scale=self.scale)
        return np.where(seen > self.start, tail, body)


def fit_tail(values: np.ndarray, share: float) -> Tail:
    """Fit a generalised Pareto tail to the largest ``share`` of (M,) null values.

    Maximum likelihood (Pickands 1975; Coles 2001, §4.3). A negative shape, an end beyond which
    nothing can lie, is not believed on so few values: an exponential takes its place, as it does
    where fewer than `ENOUGH` values lie beyond.
    """
    values = np.sort(values)
    start = float(np.quantile(values, 1 - share))
    beyond = values[values > start] - start
    if len(beyond) < 2:
        return Tail(values, start, len(beyond) / len(values), 0.0, 0.0)
    shape, scale = 0.0, float(beyond.mean())
    if len(beyond) >= ENOUGH:
        found, _, width = stats.genpareto.fit(beyond, floc=0)
        shape, scale = (found, width) if found > 0 else (shape, scale)
    return Tail(values, start, len(beyond) / len(values), float(shape), float(scale))


def nearness(evidence: pl.DataFrame, gate: Gate) -> np.ndarray:
    """(n,) how near each row comes to a gate: t such that figures 1/t as good would just pass.

    At 1 and above the gate's rules fire; 0 where no improvement of the figures would make them
    (too few members, groups that touch). The rules are asked, as they ship, of scaled figures.
    """
    rules = [rule for rule in load_rules() if rule.id in gate.rules]
    if len(rules) != len(gate.rules):
        raise LookupError(f"gate {gate.name!r}: {gate.rules} are not all shipped")
    prefix = gate.probe if gate.scope == "class" else f"{gate.probe}_any"
    low = np.full(evidence.height, -np.log(WIDEST))
    high = -low
    passed = np.zeros(evidence.height, bool)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        hit = _passes(evidence, prefix, np.exp(middle), rules)
        passed |= hit
        low, high = np.where(hit, middle, low), np.where(hit, high, middle)
    return np.where(passed, np.exp(low), 0.0)


def _passes(
    evidence: pl.DataFrame, prefix: str, t: np.ndarray, rules: Sequence[Rule]
) -> np.ndarray:
    by = pl.Series("t", t)
    there = set(evidence.columns)
    scaled = evidence.with_columns(
        [pl.col(n) / by for name in STRICTER_DOWN if (n := f"{prefix}_{name}") in there]
        + [pl.col(n) * by for name in STRICTER_UP if (n := f"{prefix}_{name}") in there]
    )
    return scaled.select(hit=pl.any_horizontal(fires(rules)))["hit"].to_numpy()


def p_of_draw(tails: Sequence[Tail], nearest: np.ndarray, n_looks: np.ndarray) -> np.ndarray:
    """(n,) chance that the nearest of ``n_looks`` null values comes as near as ``nearest``.

    ``tails`` are the nulls of several datasets; the one that gives the largest chance counts, since
    nobody knows which of them a new dataset is like.
    """
    chance = np.max([tail.survival(nearest) for tail in tails], axis=0)
    return -np.expm1(n_looks * np.log1p(-np.minimum(chance, 1 - 1e-12)))
