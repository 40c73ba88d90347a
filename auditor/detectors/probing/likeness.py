"""Do pictures look like their class? Votes of nearest pictures, without any network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from auditor.interfaces import Material

SIDE = 8
"""Pictures are compared as 8×8 colours: what is in the picture, not the detail of a trigger."""

N_NEIGHBOURS = 10
ROUNDING = 1 / 12 / N_NEIGHBOURS**2
"""Variance of a share that is rounded to a tenth: no group's votes are known better."""

MAX_REFERENCE = 6_000
"""Pictures that may be neighbours: cost grows with their number, and only means over a group are
used."""

BLOCK = 512


@dataclass(frozen=True, slots=True)
class Foreignness:
    """Whether the pictures of a group look less like their class than its other pictures do.

    Attributes:
        share: (v_rest − v_group) / (v_rest − v_others), where v is the mean share of neighbours of
            the class: 0 if the group is as native as the rest, 1 if it is as foreign as the other
            classes, more if it is farther off; 0 where pictures tell nothing of the class.
        z: v_rest − v_group in standard errors (Welch): how sure the share's sign is.
    """

    share: float
    z: float


def thumbnails(pixels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(N, S, S, 3) uint8, S a multiple of 8 → (n, 192) float32 mean colours, 0–1, of some rows."""
    side = pixels.shape[1]
    factor = side // SIDE
    out = np.empty((len(rows), SIDE * SIDE * 3), np.float32)
    for start in range(0, len(rows), BLOCK):
        part = pixels[rows[start : start + BLOCK]]
        cells = part.reshape(len(part), SIDE, factor, SIDE, factor, 3)
        out[start : start + BLOCK] = cells.mean(axis=(2, 4), dtype=np.float32).reshape(
            len(part), -1
        )
    out /= 255.0
    return out


def votes(
    asked: np.ndarray, asked_rows: np.ndarray, reference: np.ndarray, reference_rows: np.ndarray,
    of_class: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Share of each picture's ten nearest pictures (Euclid) that are of a class.

    Args:
        asked: (n, d) float32 thumbnails.
        asked_rows: (n,) int64; a picture is no neighbour of itself.
        reference: (m, d) float32, m > 10.
        reference_rows: (m,) int64, ascending.
        of_class: (m,) bool.

    Returns:
        (n,) float64, 0–1.
    """
    lengths = np.einsum("ij,ij->i", reference, reference)
    place = np.minimum(np.searchsorted(reference_rows, asked_rows), len(reference_rows) - 1)
    itself = reference_rows[place] == asked_rows
    k = min(N_NEIGHBOURS, len(reference) - 1)
    out = np.empty(len(asked))
    for start in range(0, len(asked), BLOCK):
        part = slice(start, start + BLOCK)
        distance = lengths - 2.0 * (asked[part] @ reference.T)
        own = np.flatnonzero(itself[part])
        distance[own, place[part][own]] = np.inf
        nearest = np.argpartition(distance, k, axis=1)[:, :k]
        out[part] = of_class[nearest].mean(axis=1)
    return out


def some_of(rows: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """At most 6,000 of some rows (n,) int64, in their order: pictures that may be neighbours."""
    if rows.size <= MAX_REFERENCE:
        return rows
    chosen: np.ndarray = np.sort(generator.choice(rows, MAX_REFERENCE, replace=False))
    return chosen


def foreignness(
    material: Material, rows: np.ndarray, apart: np.ndarray, reference: np.ndarray
) -> Foreignness:
    """Do the pictures of a group look less like their class than its others do?

    Args:
        material: with the pixels.
        rows: (n,) int64, rows of one class.
        apart: (n,) bool, the group.
        reference: (m,) int64, the rows that may be neighbours, ascending. With the group's own
            among them, a natural kind of picture is at home in its class; without, a visible
            trigger does not make its bearers each other's neighbours.
    """
    pixels, labels = material.views["pixels"], material.labels
    label = labels[rows[0]]
    others = reference[labels[reference] != label]
    asked = np.concatenate([rows, others])
    shares = votes(
        thumbnails(pixels, asked), asked, thumbnails(pixels, reference), reference,
        labels[reference] == label,
    )  # fmt: skip
    own, stranger = shares[: len(rows)], float(shares[len(rows) :].mean())
    rest, group = own[~apart], own[apart]
    less = float(rest.mean() - group.mean())
    room = float(rest.mean()) - stranger
    variances = (max(float(part.var()), ROUNDING) / len(part) for part in (rest, group))
    return Foreignness(less / room if room > 0 else 0.0, less / float(np.sqrt(sum(variances))))
