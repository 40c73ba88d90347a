"""What detectors of a hidden second population share: blocks of one class, whitening, splits.

Only samples whose label the out-of-fold network agrees with are looked at: it carried what it
learnt about a trigger over to samples that it had not seen, while wrong labels, which it disputes,
would make a second population of any class and are label consistency's business.

Activations of different folds come from different networks, so a block is one class within one
fold. The two networks were trained on different samples: what stands apart in both is no accident
of one training, and a class is only as conspicuous as its less conspicuous fold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.linalg import eigh
from scipy.sparse.linalg import ArpackError, eigsh

from auditor.interfaces import InapplicableError, Material

MIN_BLOCK = 60
"""Fewest rows of a class in a fold: below, a minority of 20 would be a third of it."""

MIN_MINOR = 15
"""Fewest rows of a minority: the tail of a normal sample of 10 looks as separate as a cluster."""

SHRINKAGE = 1e-2
"""Share of the mean variance added to each: dead units would blow up under whitening."""

DENSE_WIDTH = 128
"""Up to this width all eigenvectors cost no more than Lanczos iterations for the leading ones
(measured at 512: 8 ms against 4)."""

TOLERANCE = 1e-6
"""Of Lanczos iterations, relative to the eigenvalue. Measured on whitened activations whose first
two eigenvalues differ by 0.8 %: the direction is right to 3e-8, in half the time of 1e-16."""


@dataclass(frozen=True, slots=True)
class Block:
    """The undisputed rows of one class and fold: ``index`` (n,) int64, ascending."""

    label: int
    fold: int
    index: np.ndarray


@dataclass(frozen=True, slots=True)
class Split:
    """The best cut of a sample of numbers into a minority at one end and the rest.

    Attributes:
        separation: difference of the two means over the sum of the two deviations.
        share: of the minority, 0–0.5.
        minor: (n,) bool, who is in the minority.
    """

    separation: float
    share: float
    minor: np.ndarray


def class_blocks(material: Material) -> list[Block]:
    """Blocks of at least 60 undisputed rows, ordered by fold, then label.

    Raises:
        InapplicableError: there is none.
    """
    fold = np.asarray(material.views["fold"])
    agreed = np.asarray(material.views["probabilities"]).argmax(axis=1) == material.labels
    rows = np.flatnonzero(agreed)
    rows = rows[np.lexsort((material.labels[rows], fold[rows]))]
    place = fold[rows].astype(np.int64) * material.n_classes + material.labels[rows]
    cuts = np.flatnonzero(np.diff(place)) + 1
    blocks = [
        Block(int(material.labels[index[0]]), int(fold[index[0]]), index)
        for index in np.split(rows, cuts)
        if index.size >= MIN_BLOCK
    ]
    if not blocks:
        raise InapplicableError(
            f"needs a class with {MIN_BLOCK} samples in each half of the data, none has"
        )
    return blocks


def read_block(features: np.ndarray, block: Block) -> np.ndarray:
    """(n, D) float32 activations of a block, centred on its mean."""
    rows = np.asarray(features[block.index], np.float32)
    rows -= rows.mean(axis=0)
    return rows


def second_moment(rows: np.ndarray) -> np.ndarray:
    """(n, D) float32 rows → (D, D) float64 RᵀR, summed in float32."""
    moment: np.ndarray = (rows.T @ rows).astype(np.float64)
    return moment


def leading(gram: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest eigenvalues of a symmetric matrix and their vectors.

    Args:
        gram: (D, D) float64, no negative eigenvalues.
        count: how many; all where D is less.

    Returns:
        (c,) values ascending and (D, c) vectors, c = min(count, D). By Lanczos iterations (ARPACK)
        from a fixed start, or all at once where D is small or they fail.
    """
    width = len(gram)
    if width > max(DENSE_WIDTH, 2 * count) and np.trace(gram) > 0:
        try:
            values, vectors = eigsh(gram, count, v0=np.ones(width), tol=TOLERANCE)
            order = np.argsort(values)
            return values[order], vectors[:, order]
        except ArpackError:
            pass  # not converged, or the start is in the null space: the dense solver has neither
    values, vectors = eigh(gram, subset_by_index=[max(width - count, 0), width - 1])
    return values, vectors


def whitener(features: np.ndarray, blocks: list[Block]) -> np.ndarray:
    """(D, D) float32 matrix S with S·S = (pooled within-class covariance)⁻¹, shrunk.

    Source: Xian et al. 2023, Understanding Backdoor Attacks through the Adaptability Hypothesis;
    deviation: the covariance is pooled over all classes, none of which is known to be clean.
    """
    width = features.shape[1]
    total = np.zeros((width, width))
    n = 0
    for block in blocks:
        rows = read_block(features, block)
        total += rows.T @ rows  # again later: kept, K of them could outgrow the features
        n += len(rows)
    covariance = total / n
    covariance += SHRINKAGE * max(np.trace(covariance) / width, 1e-12) * np.eye(width)
    values, vectors = np.linalg.eigh(covariance)
    root: np.ndarray = ((vectors / np.sqrt(values)) @ vectors.T).astype(np.float32)
    return root


def best_split(values: np.ndarray) -> Split:
    """Cut where the two sides stand furthest apart in units of their own spread.

    Args:
        values: (n,) float, n ≥ 2·MIN_MINOR.

    Returns:
        The separation is the largest (m₁ − m₀)/(s₀ + s₁) over all cuts that leave 15 on each side:
        2,500 values of one population give 2.3 (normal) to 3.2 (exponential), two normal
        populations d deviations apart about d/2. The minority is what lies, in units of each
        side's spread, nearer to the smaller side's mean.
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order].astype(np.float64)
    ordered -= ordered.mean()
    n = len(ordered)
    size = np.arange(MIN_MINOR, n - MIN_MINOR + 1)
    low_sum = np.cumsum(ordered)[size - 1]
    low_square = np.cumsum(ordered**2)[size - 1]
    high_sum = ordered.sum() - low_sum
    high_square = (ordered**2).sum() - low_square
    low_mean, high_mean = low_sum / size, high_sum / (n - size)
    low_spread = np.sqrt(np.maximum(low_square / size - low_mean**2, 0.0))
    high_spread = np.sqrt(np.maximum(high_square / (n - size) - high_mean**2, 0.0))
    spread = low_spread + high_spread
    gap = high_mean - low_mean
    # Equal values have no spread: they do not stand apart, and rounding must not say they do.
    floor = 1e-6 * max(float(np.abs(ordered).max()), 1e-30)
    separation = np.where(gap > floor, gap / np.maximum(spread, floor), 0.0)
    best = int(np.argmax(separation))
    weight = float(low_spread[best]) / max(float(spread[best]), floor)
    # The best cut trims the minority's ragged end, for a smaller spread: draw the line between.
    border = low_mean[best] + weight * gap[best]
    above = values.astype(np.float64) - float(values.astype(np.float64).mean()) > border
    minor = above if above.mean() <= 0.5 else ~above
    return Split(float(separation[best]), float(minor.mean()), minor)


def nullable(values: np.ndarray, dtype: type[pl.DataType]) -> pl.Series:
    """(n,) float → a column with null, "could not be evaluated", for NaN."""
    return pl.Series(values, dtype=pl.Float64).fill_nan(None).cast(dtype)


def class_table(found: Mapping[int, Sequence[Mapping[str, float]]]) -> pl.DataFrame:
    """One row a class: each measure's least value over the folds, null unless both have one."""
    names = list(next(iter(found.values()))[0])
    columns: dict[str, pl.Series] = {"label": pl.Series(sorted(found), dtype=pl.Int64)}
    for name in names:
        least = [
            min(measures[name] for measures in found[label]) if len(found[label]) > 1 else None
            for label in sorted(found)
        ]
        columns[name] = pl.Series(least, dtype=pl.Float64)
    return pl.DataFrame(columns)
