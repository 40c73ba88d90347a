"""Copies in a group: do its members share a pattern, or are they one picture many times?

What many near-copies of a few pictures share is the pictures. They predict one another better than
samples with a trigger do, and where a hash no longer knows them, cropped and brightened as they
are, a probe takes them for a group with a trigger.
"""

from __future__ import annotations

import numpy as np

from auditor.detectors.probing.group import Group
from auditor.detectors.probing.likeness import thumbnails

CLOSE = 0.3
"""Distance of a near-copy, relative to what lies between a picture of its class and the nearest of
as many others. Ten floods of 20 copies, cropped by up to 6 %, brightened, with noise (CIFAR-10):
0.04 to 0.12. Groups with triggers and natural ones: 0.48 and more at their lowest tenth."""

MOSTLY = 0.5
"""Share of near-copies from which a group is one of copies."""

MAX_PICTURES = 500
"""Pictures of the group, and of its rest, that are compared: the whole group is copies or none."""


def share_of_copies(pixels: np.ndarray, group: Group) -> float:
    """Share of a group's members that have a near-copy among the others: 0–1.

    Args:
        pixels: (N, S, S, 3) uint8, S a multiple of 8.
        group: rows of one class; 0 where it or its rest has a single row.
    """
    inside, outside = _some(group, group.members), _some(group, ~group.members)
    count = min(len(inside), len(outside))
    if count < 2:
        return 0.0
    usual = float(np.median(_nearest(thumbnails(pixels, outside[:count]))))
    return float((_nearest(thumbnails(pixels, inside)) < CLOSE * usual).mean())


def _some(group: Group, part: np.ndarray) -> np.ndarray:
    """At most `MAX_PICTURES` rows of a part, the best predicted first."""
    rows, predictions = group.rows[part], group.predictions[part]
    chosen: np.ndarray = rows[np.argsort(-predictions, kind="stable")[:MAX_PICTURES]]
    return chosen


def _nearest(points: np.ndarray) -> np.ndarray:
    """(n, d) → (n,) distance of each picture to its nearest other, brightness aside."""
    points = points - points.mean(axis=1, keepdims=True)
    squares = np.einsum("ij,ij->i", points, points)
    distances = squares[:, None] + squares - 2.0 * (points @ points.T)
    np.fill_diagonal(distances, np.inf)
    nearest: np.ndarray = np.sqrt(np.maximum(distances.min(axis=1), 0.0))
    return nearest
