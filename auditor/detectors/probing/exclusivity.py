"""A group against the rest of the dataset: is what its members share exclusive to its class?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from auditor.detectors.probing.group import CUT, TINY, Group
from auditor.detectors.probing.probe import Probe, score_all

MAX_OUTSIDE = 0.005
CLEAR_OF_REST = 5.0
LEAST_CUT = 0.2
"""The members' cut goes below 0.5 as far as at most 0.5 % of the other classes lie above it and it
stays 5 standard deviations clear of the rest of its own class: where a trigger hardly shows (a
white patch on white), position 0.2 … 0.5 still tells. Measured, white 3×3 patch, CIFAR-10 1 % of
25,000: 82 % found at 0.5, 91 % below, for 4 clean samples. With few photos the rest is wide; the
second condition then holds the cut at 0.5 and spares 92 clean samples of 1,900."""

MAX_SCORES = 1 << 24
"""Predictions held at once (64 MB): with many classes the groups are scored in several passes."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A group against the whole dataset.

    Attributes:
        group: the group.
        places: positions of all rows of its class, duplicates of others among them.
        excess: hit rate in the other classes ÷ hit rate in the group's own class.
        hits: fitted rows of other classes above the group's threshold.
        edge: contrast of all that lies above the threshold, in whatever class, against all below.
        cut: position from which a row of the class is reported as a member.
    """

    group: Group
    places: np.ndarray
    excess: float
    hits: int
    edge: float
    cut: float

    @property
    def merit(self) -> float:
        """Which group of a class is reported: the clearest, less where others show it too."""
        return self.group.clarity / max(1.0, self.excess / 0.03)

    def scores(self, places: np.ndarray) -> np.ndarray:
        """Positions stretched to 0 … 1 so that the reported cut lies at 0.5 whatever it is."""
        below = places / self.cut / 2
        above = 0.5 + (places - self.cut) / (1 - self.cut) / 2
        stretched: np.ndarray = np.clip(np.where(places <= self.cut, below, above), 0, 1)
        return stretched


def best_of_each(probe: Probe, groups: Sequence[Group], labels: np.ndarray) -> list[Measured]:
    """The best group of each class, in the order of ``labels`` (N,)."""
    best: dict[int, Measured] = {}
    width = max(1, MAX_SCORES // len(labels))
    for start in range(0, len(groups), width):
        part = groups[start : start + width]
        for group, scores in zip(part, score_all(probe, part).T, strict=True):
            measured = against_others(probe, group, scores, labels)
            held = best.get(group.label)
            if held is None or measured.merit > held.merit:
                best[group.label] = measured
    return [best[label] for label in sorted(best)]


def against_others(probe: Probe, group: Group, scores: np.ndarray, labels: np.ndarray) -> Measured:
    """Hit rates of a group's scores (N,) in the other classes and its own."""
    others = probe.index[labels[probe.index] != group.label]
    outside = group.position(scores[others])
    hits = int((outside > CUT).sum())
    excess = hits / max(len(others), 1) * len(group.rows) / group.size
    high = float(np.quantile(outside, 1 - MAX_OUTSIDE)) if len(others) else CUT
    cut = float(np.clip(max(high, CLEAR_OF_REST / group.separation), LEAST_CUT, CUT))
    places = group.position(scores[labels == group.label])
    return Measured(group, places, excess, hits, _edge(scores[probe.index], group), cut)


def _edge(scores: np.ndarray, group: Group) -> float:
    """Contrast over all fitted rows: a pattern that other classes show too still ends somewhere."""
    places = group.position(scores)
    above = places > CUT
    if above.all() or not above.any():
        return 0.0
    inside, outside = places[above], places[~above]
    spread = max(float(inside.std() + outside.std()), TINY)
    return float(inside.mean() - outside.mean()) / spread
