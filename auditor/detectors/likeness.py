"""Do pictures look like their class? Votes of nearest pictures, without any network."""

from __future__ import annotations

import numpy as np

SIDE = 8
"""Pictures are compared as 8×8 colours: what is in the picture, not the detail of a trigger."""

N_NEIGHBOURS = 10
MAX_REFERENCE = 6_000
"""Pictures that may be neighbours: cost grows with their number, and only means over a group are
used."""

BLOCK = 512


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
