"""Outliers: images unlike the rest of the dataset, labels unseen.

Each image is summed up by its colours on an 8×8 grid and its fine detail on a 4×4 grid. How far it
lies from the rest is measured in four ways: within the directions in which images vary
(Mahalanobis distance), along the worst single one of them, off them (reconstruction error), and by
how little neighbouring pixels have in common, which noise of any strength raises. Distances of
natural images have heavy tails, so a score counts spreads of the *upper half* of the logarithm of
the distance, not normal deviations, and images count as apart only where several of them lie
beyond the tail that usual data have (``separation``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from auditor.detectors.populations.separation import Tail, apart
from auditor.interfaces import Detector, Evidence, InapplicableError, Material

BLOCK = 4_096
COLOUR_GRID = 8
DETAIL_GRID = 4
N_FEATURES = 3 * COLOUR_GRID**2 + 2 * DETAIL_GRID**2

FIT_ROWS = 20_000
"""Rows that set centre and directions; a covariance of 224 features needs no more."""

MIN_ROWS = 100
"""Fewer rows than this leave no upper tail to compare with."""

VARIANCE_KEPT = 0.95
"""Share of the variance that the main directions explain; the rest is reconstruction error."""

UPPER = 0.95
NORMAL_UPPER = 1.645
"""The 95 % quantile and its place in a standard normal sample."""

TRIM = 0.05
"""Share of the rows, the furthest, left out when centre and directions are set again."""

TAILS = {
    "within": Tail(2.5, 0.75),
    "worst": Tail(2.4, 1.15),
    "off": Tail(2.9, 1.3),
    "rough": Tail(2.3, 0.7),
}
"""Heaviest tails of each score in clean draws of CIFAR-10, Fashion-MNIST and Imagenette, 500 to
60,000 images; the heaviest are Imagenette's ``off`` and CIFAR-10's ``worst``."""

FAINT = 0.01
FLAT = 0.05
"""Squared grey levels added to steps and variance, so that an image of one colour is not rough."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Centre (D,), main directions (D, d) and standard deviations along them (d,)."""

    centre: np.ndarray
    directions: np.ndarray
    deviation: np.ndarray


def image_features(pixels: np.ndarray) -> np.ndarray:
    """(B, 32, 32, 3) uint8 → (B, 224) float32: grid colours 0–1 and log of local differences."""
    batch, side = pixels.shape[0], pixels.shape[1]
    scaled = pixels.astype(np.float32) / 255.0
    cell = side // COLOUR_GRID
    colours = scaled.reshape(batch, COLOUR_GRID, cell, COLOUR_GRID, cell, 3).mean(axis=(2, 4))
    grey = scaled.mean(axis=3)
    parts = [colours.reshape(batch, -1)]
    cell = side // DETAIL_GRID
    for axis in (1, 2):
        step = np.abs(np.diff(grey, axis=axis, append=np.take(grey, [-1], axis=axis)))
        local = step.reshape(batch, DETAIL_GRID, cell, DETAIL_GRID, cell).mean(axis=(2, 4))
        # A tenth of a grey level keeps flat images finite; a quarter puts logs on colours' scale.
        parts.append(0.25 * np.log(local + 4e-4).reshape(batch, -1))
    return np.concatenate(parts, axis=1)


def roughness(pixels: np.ndarray) -> np.ndarray:
    """(B, 32, 32, 3) uint8 → (B,) float32: log of the step between neighbours over the variance.

    For grey levels g with variance v, mean squared steps are 2·v·(1 − ρ), ρ the correlation of
    neighbours: the score is log(1 − ρ), near 0 for noise and about −2.5 for photos.
    """
    grey = pixels.astype(np.float32).mean(axis=3)
    variance = grey.var(axis=(1, 2))
    steps = sum((np.diff(grey, axis=axis) ** 2).mean(axis=(1, 2)) for axis in (1, 2))
    rough: np.ndarray = np.log((steps / 4 + FAINT) / (variance + FLAT))
    return rough


def fit(features: np.ndarray) -> Fit:
    """Main directions of (n, D) features, set again without the furthest twentieth."""
    chosen = _principal(features)
    for _ in range(2):
        far = np.max([upper_score(part, part) for part in distances(features, chosen)], axis=0)
        chosen = _principal(features[far <= np.quantile(far, 1.0 - TRIM)])
    return chosen


def _principal(features: np.ndarray) -> Fit:
    centre = features.mean(axis=0, dtype=np.float64)
    centred = features - centre
    values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    total = max(values.sum(), 1e-30)
    kept = int(np.searchsorted(np.cumsum(values) / total, VARIANCE_KEPT)) + 1
    kept = min(kept, len(values) - 1)
    deviation = np.sqrt(np.maximum(values[:kept], 1e-12))
    return Fit(centre, vectors[:, :kept], deviation)


def distances(features: np.ndarray, chosen: Fit) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logarithms of squared distances (n,): within, along the worst of, and off the directions."""
    centred = features - chosen.centre
    along = centred @ chosen.directions
    squared = (along / chosen.deviation) ** 2
    inside, worst = squared.mean(axis=1), squared.max(axis=1)
    outside = np.maximum((centred**2).sum(axis=1) - (along**2).sum(axis=1), 0.0)
    return np.log(inside + 1e-9), np.log(worst + 1e-9), np.log(outside + 1e-9)


def upper_score(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """(n,) values in deviations above the reference's median, judged by its upper half."""
    middle, upper = np.quantile(reference, (0.5, UPPER))
    spread = max(float(upper - middle) / NORMAL_UPPER, 1e-6)
    scores: np.ndarray = (values - middle) / spread
    return scores


def measure(material: Material) -> Evidence:
    """Score every image; labels are not looked at.

    Raises:
        InapplicableError: fewer than 100 images, or all alike.
    """
    pixels = material.views["pixels"]
    n = len(pixels)
    if n < MIN_ROWS:
        raise InapplicableError(f"needs {MIN_ROWS} images to know what is usual, there are {n}")
    features, rough = np.empty((n, N_FEATURES), np.float32), np.empty(n, np.float32)
    for start in range(0, n, BLOCK):
        block = np.asarray(pixels[start : start + BLOCK])
        features[start : start + BLOCK] = image_features(block)
        rough[start : start + BLOCK] = roughness(block)
        material.progress(min(start + BLOCK, n), n)
    step = -(-n // FIT_ROWS)
    some = features[::step]
    if not np.ptp(some, axis=0).any():
        raise InapplicableError("all images are alike")
    chosen = fit(some)
    parts = zip(
        (*distances(features, chosen), rough),
        (*distances(some, chosen), rough[::step]),
        strict=True,
    )
    scores = dict(zip(TAILS, (upper_score(values, usual) for values, usual in parts), strict=True))
    surely = [apart(score, TAILS[name]) for name, score in scores.items()]
    return {
        "sample": pl.DataFrame(
            {
                "row": material.rows,
                "outlier_score": np.max(list(scores.values()), axis=0),
                "outlier_apart": np.max(surely, axis=0),
                **{f"outlier_{name}": score for name, score in scores.items()},
            }
        )
    }


OUTLIER = Detector(
    id="outlier",
    version="2",
    title="Images unlike the rest of the dataset",
    needs=frozenset({"pixels"}),
    params={"variance_kept": VARIANCE_KEPT, "trim": TRIM, "fit_rows": FIT_ROWS},
    citation="Jackson & Mudholkar 1979, Control Procedures for Residuals Associated with PCA; "
    "Benjamini & Hochberg 1995",
    run=measure,
)
