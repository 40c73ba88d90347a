"""The salient patch of an image: the small window that is least like the dataset's windows.

A trigger that changes its place has no fixed pixels, but it is the same few pixels everywhere, and
rarely like natural ones. So every image is told by its most unusual 3×3 window, wherever that
lies, whitened by the covariance of the dataset's windows; random Fourier features of it make
"almost the same window" a matter of a linear probe (Rahimi & Recht 2007).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from auditor.detectors.probing.group import TINY

SIDE = 3
"""Pixels. Measured, CIFAR-10, 10,000 images, 100 with a moving 3×3 checkerboard: windows of 3, 4
and 5 gather 100, 23 and 17 of them in one group; larger ones hold too much of the image around."""

FLOOR = 1e-3
"""Least variance of a window's direction, as a share of the largest: JPEG leaves some nearly empty,
and whitening blows them up. Contrast 45 against 21 with 1e-4 in the case above."""

FEATURES = 500
STEP = 64
"""Images at a time: 27 × 900 windows each in float32 are 6 MB, which stays in the cache."""


@dataclass(frozen=True, slots=True)
class Salient:
    """The most unusual window of every image.

    Attributes:
        patches: (N, SIDE²·C) float32, whitened.
        centres: (N, 2) int64, row and column of the window's middle pixel.
    """

    patches: np.ndarray
    centres: np.ndarray


def columns(block: np.ndarray) -> np.ndarray:
    """All windows of (B, S, S, C): (SIDE²·C, B·P·P) float32, P = S − SIDE + 1, row-major."""
    planes = np.ascontiguousarray(block.transpose(3, 0, 1, 2), dtype=np.float32)
    channels, batch, side, _ = planes.shape
    span = side - SIDE + 1
    out = np.empty((SIDE, SIDE, channels, batch, span, span), dtype=np.float32)
    for i in range(SIDE):
        for j in range(SIDE):
            out[i, j] = planes[:, :, i : i + span, j : j + span]
    return out.reshape(SIDE * SIDE * channels, -1)


def tiles(images: np.ndarray, index: np.ndarray, side: int) -> Iterator[np.ndarray]:
    """Windows of ``side`` that do not overlap, in blocks of (·, side·side·C) float32."""
    n = images.shape[1] // side
    channels = images.shape[3]
    for start in range(0, len(index), 1024):
        block = images[index[start : start + 1024], : n * side, : n * side].astype(np.float32)
        split = block.reshape(-1, n, side, n, side, channels).transpose(0, 1, 3, 2, 4, 5)
        yield split.reshape(-1, side * side * channels)


def whitening(images: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) and symmetric whitening matrix (d, d) of the windows of ``images[index]``.

    Windows that do not overlap stand for all, so that the result does not depend on any draw.
    """
    size = SIDE * SIDE * images.shape[3]
    total, products, n = np.zeros(size), np.zeros((size, size)), 0
    for rows in tiles(images, index, SIDE):
        total += rows.sum(axis=0, dtype=np.float64)
        products += rows.T @ rows
        n += len(rows)
    mean = total / n
    values, vectors = eigh(products / n - np.outer(mean, mean))
    values = np.maximum(values, FLOOR * max(float(values[-1]), TINY))
    matrix = vectors / np.sqrt(values) @ vectors.T
    return mean.astype(np.float32), matrix.astype(np.float32)


def salient(images: np.ndarray, index: np.ndarray) -> Salient:
    """The window of largest Mahalanobis norm of every image (N, S, S, C) uint8.

    ``index``: rows whose windows make the covariance. Ties go to the first window, row by row.
    """
    mean, matrix = whitening(images, index)
    shift = (matrix @ mean)[:, None]
    patches = np.empty((len(images), len(mean)), dtype=np.float32)
    first = np.empty(len(images), dtype=np.int64)
    for start in range(0, len(images), STEP):
        block = images[start : start + STEP]
        white = matrix @ columns(block)
        white -= shift
        norms = np.einsum("dp,dp->p", white, white).reshape(len(block), -1)
        where = norms.argmax(axis=1)
        first[start : start + STEP] = where
        chosen = white.reshape(len(mean), len(block), -1)[:, np.arange(len(block)), where]
        patches[start : start + STEP] = chosen.T
    span = images.shape[2] - SIDE + 1
    return Salient(patches, np.stack(np.divmod(first, span), axis=1) + SIDE // 2)


def fourier(patches: np.ndarray, index: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Random Fourier features of patches (N, d): (N, FEATURES) uint8, 255 where the cosine is 1.

    The kernel's width is the root mean square distance of two patches of ``index``. 256 steps cost
    nothing (the step is 0.2 % of a feature's spread) and take a quarter of float32's memory.
    """
    rows = patches[index].astype(np.float64)
    width = float(np.sqrt(2 * rows.var(axis=0).sum()))
    frequencies = generator.standard_normal((patches.shape[1], FEATURES)) / max(width, TINY)
    phases = generator.uniform(0, 2 * np.pi, FEATURES)
    out = np.empty((len(patches), FEATURES), dtype=np.uint8)
    for start in range(0, len(patches), 4096):
        angles = patches[start : start + 4096] @ frequencies.astype(np.float32)
        angles += phases.astype(np.float32)
        out[start : start + 4096] = np.rint(127.5 + 127.5 * np.cos(angles))
    return out
