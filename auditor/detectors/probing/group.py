"""A candidate trigger group inside a class, and the figures that tell it from a natural one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CUT = 0.5
"""Position between the rest's mean prediction (0) and the group's (1) that makes a member."""

TINY = 1e-9
"""Keeps ratios finite where a group or its rest is constant."""

ENOUGH = 25
"""Members from which a group counts in full: fewer predict one another by accident (two natural
images reach a contrast of 6) and would hide a larger group of the same class."""

FADING = 0.2
"""Shoulder from which a group fades out as natural ones do."""

GAP_QUANTILES = (0.05, 0.995)
"""The gap lies between the group's 5 % and the rest's 99.5 % quantile: robust to a few strays."""


@dataclass(frozen=True, slots=True)
class Group:
    """Who is in it, and how far it stands apart inside its class.

    Attributes:
        label: its class.
        view: index of the view that shows it.
        rows: (c,) int64, the fitted rows of the class.
        members: (c,) bool.
        predictions: (c,) float32, leave-one-out prediction of membership.
        weights: (D,) float32, act on centred pixels.
    """

    label: int
    view: int
    rows: np.ndarray
    members: np.ndarray
    predictions: np.ndarray
    weights: np.ndarray

    @property
    def size(self) -> int:
        """Number of members."""
        return int(self.members.sum())

    @property
    def rest(self) -> float:
        """Mean prediction outside the group."""
        return float(self.predictions[~self.members].mean())

    @property
    def strength(self) -> float:
        """Mean prediction inside the group: near 1 where members predict one another fully."""
        return float(self.predictions[self.members].mean())

    def position(self, predictions: np.ndarray) -> np.ndarray:
        """Where predictions lie between the rest's mean (0) and the group's (1), unclipped."""
        place: np.ndarray = (predictions - self.rest) / max(self.strength - self.rest, TINY)
        return place

    @property
    def separation(self) -> float:
        """(strength − rest) / standard deviation of the rest."""
        spread = float(self.predictions[~self.members].std())
        return (self.strength - self.rest) / max(spread, TINY)

    @property
    def contrast(self) -> float:
        """(strength − rest) / (sum of the standard deviations inside and outside)."""
        inside = float(self.predictions[self.members].std())
        outside = float(self.predictions[~self.members].std())
        return (self.strength - self.rest) / max(inside + outside, TINY)

    @property
    def clarity(self) -> float:
        """Contrast, less where the group is small or fades out into its class."""
        return self.contrast * min(1.0, self.size / ENOUGH) / max(1.0, self.shoulder / FADING)

    @property
    def shoulder(self) -> float:
        """Samples at 0.25 … 0.5, per member: a natural group fades out, a trigger ends."""
        place = self.position(self.predictions)
        return float(((place > CUT / 2) & (place <= CUT)).sum()) / max(self.size, 1)

    @property
    def gap(self) -> float:
        """Clear room between group and rest, in positions; ≤ 0 where they touch."""
        place = self.position(self.predictions)
        low, high = GAP_QUANTILES
        inner = np.quantile(place[self.members], low)
        return float(inner - np.quantile(place[~self.members], high))
