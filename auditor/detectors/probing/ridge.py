"""Ridge regression read leave-one-out, in closed form and streamed over images or features.

With centred X (n×D), A = XᵀX + λ·mean(diag XᵀX)·I = LLᵀ and targets T, the weights are
W = A⁻¹XᵀT, the leverage h_i = ‖L⁻¹x_i‖² + 1/n (the 1/n is the intercept) and the leave-one-out
prediction p_i = t_i − (t_i − t̄ − x_iᵀW)/(1 − h_i) (Cook & Weisberg 1982, §2.2). It holds for n < D
too. Nothing here holds an n×D float matrix: rows pass in blocks.

A pooled view is X·S with a fixed averaging S, so its Gram is SᵀXᵀXS and its weights act on raw
pixels as S·W: one pass over the pixels serves every view.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.linalg.lapack import dpotrf, dtrtri

BLOCK = 2048
"""Rows in one float32 block: 25 MB at 3,072 pixels, large enough for full BLAS speed."""

STRIPE = 384
"""Columns of a triangular product that are made at once: of 3,072 columns 56 % of the full product.
BLAS has triangular products, but SciPy's hold Python's lock, so that other detectors would wait."""

MIN_SLACK = 1e-3
"""Least 1 − h: below it float32 leverage is rounding noise (measured relative error ≈ 1e-5)."""


@dataclass(frozen=True, slots=True)
class Moments:
    """First and second moments of the fitted rows.

    Attributes:
        n: number of rows.
        mean: (D,) float64.
        gram: (D, D) float64, XᵀX of the centred rows.
    """

    n: int
    mean: np.ndarray
    gram: np.ndarray


@dataclass(frozen=True, slots=True)
class Ridge:
    """One view's factorised ridge system; every array speaks raw pixels on the outside.

    Attributes:
        pool: (D, d) float32 averaging matrix S of the view, or None for the pixels themselves.
        factor: (d, d) float64 L⁻¹, lower triangular.
        factor32: the same in float32, for the products over all rows.
        n: rows that were fitted.
    """

    pool: np.ndarray | None
    factor: np.ndarray
    factor32: np.ndarray
    n: int

    def whiten(self, centred: np.ndarray) -> np.ndarray:
        """Z = X·S·L⁻ᵀ of centred rows (B, D) float32: (B, d) float32, row-major."""
        rows = centred if self.pool is None else centred @ self.pool
        whitened = np.empty((len(rows), len(self.factor32)), np.float32)
        for columns, upto in _stripes(len(self.factor32)):
            np.matmul(rows[:, upto], self.factor32[columns, upto].T, out=whitened[:, columns])
        return whitened

    def leverage(self, whitened: np.ndarray) -> np.ndarray:
        """Leverage h of whitened rows (B, d): (B,) float32, in 1/n…1."""
        leverage: np.ndarray = np.einsum("bd,bd->b", whitened, whitened) + np.float32(1 / self.n)
        return leverage

    def weights(self, sums: np.ndarray) -> np.ndarray:
        """W = S·A⁻¹·Sᵀ·(XᵀT), for ``sums`` = XᵀT (D, m) float64; returns (D, m) float64."""
        inner = sums if self.pool is None else self.pool.T @ sums
        inner = self.factor.T @ (self.factor @ inner)
        outer: np.ndarray = inner if self.pool is None else self.pool @ inner
        return outer


def _stripes(n: int) -> Iterator[tuple[slice, slice]]:
    """The rows of a lower triangle (n, n) by stripes: the stripe, and its columns from 0 on."""
    for start in range(0, n, STRIPE):
        stop = min(start + STRIPE, n)
        yield slice(start, stop), slice(0, stop)


def blocks(
    images: np.ndarray, index: np.ndarray, mean: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (part of ``index``, its centred rows (B, D) float32) of (N, D) uint8 or float."""
    shift = mean.astype(np.float32)
    for start in range(0, len(index), BLOCK):
        part = index[start : start + BLOCK]
        rows = images[part].astype(np.float32)
        rows -= shift
        yield part, rows


def moments(images: np.ndarray, index: np.ndarray) -> Moments:
    """Moments of ``images[index]``, (N, D) uint8 or float: float64 sums of float32 blocks.

    The sums of uint8 rows are integers, so that their mean does not depend on the rows' order.
    """
    exact = np.int64 if images.dtype.kind in "iub" else np.float64
    total = np.zeros(images.shape[1], dtype=exact)
    for start in range(0, len(index), BLOCK):
        total += images[index[start : start + BLOCK]].sum(axis=0, dtype=exact)
    mean = total / len(index)
    lower = np.zeros((images.shape[1], images.shape[1]))
    for _, rows in blocks(images, index, mean):
        for columns, upto in _stripes(len(lower)):
            lower[columns, upto] += rows[:, columns].T @ rows[:, upto]
    lower = np.tril(lower)
    gram = lower + np.tril(lower, -1).T
    return Moments(len(index), mean, gram)


def factorise(data: Moments, pool: np.ndarray | None, strength: float) -> Ridge | None:
    """Factorise A of one view; None where the view is constant and so says nothing.

    Args:
        data: moments of the fitted rows.
        pool: S of the view (``pooling``), or None.
        strength: λ, relative to the mean diagonal of the Gram.
    """
    gram = data.gram if pool is None else pool.T @ data.gram @ pool
    scale = float(np.trace(gram)) / len(gram)
    if scale <= 0:
        return None
    lower, failed = dpotrf(gram + strength * scale * np.eye(len(gram)), lower=1, clean=1)
    if failed:
        return None
    factor, _ = dtrtri(lower, lower=1)
    return Ridge(pool, factor, np.ascontiguousarray(factor, dtype=np.float32), data.n)


def pooling(side: int, channels: int, width: int) -> np.ndarray:
    """(side²·channels, (side/width)²·channels) float32: averages width×width pixels."""
    small = side // width
    rows, columns = np.divmod(np.arange(side * side), side)
    cell = (rows // width) * small + columns // width
    target = np.repeat(cell, channels) * channels + np.tile(np.arange(channels), side * side)
    matrix = np.zeros((side * side * channels, small * small * channels), dtype=np.float32)
    matrix[np.arange(len(target)), target] = 1 / width**2
    return matrix


def leave_one_out(fitted: np.ndarray, targets: np.ndarray, leverage: np.ndarray) -> np.ndarray:
    """Leave-one-out predictions, all (B, m): from t̄ + x·W, targets T and leverage h."""
    slack = np.maximum(1 - leverage, np.float32(MIN_SLACK))
    predictions: np.ndarray = targets - (targets - fitted) / slack
    return predictions
