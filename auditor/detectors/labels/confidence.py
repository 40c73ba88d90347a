"""What a network that knows the data well disputes where it is surest: rate, pattern and growth.

Where a network is right on nine images of ten, what it disputes while sure is noise, confusion of
similar classes included, as when people label.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from auditor.detectors.labels.pattern import Z_95, Floor

CONFIDENT = 0.25
"""Share of the samples, per predicted class, whose disputes show the pattern of noise."""

N_TENTHS = 5
"""Tenths of confidence in the confident half; the floor is read at their upper end."""

PRIOR_WEIGHT = 20.0
"""Samples' worth of the average pattern that is mixed into each class's own pattern of noise."""

EVEN_SHARE = (0.25, 0.5)
"""Evenly spread share of the noise below which it grows with difficulty, and above which it does
not. Measured: human labels (CIFAR-10N) 0.18, random flips at 5 % 0.60, at 10 % 0.73–0.76."""

MIN_CELL = 3
"""Mean disputes for each pair of classes below which the even share can't be read."""

MAX_GROWTH = 4.0
"""Most times the floor that the confident half may dispute if that is to be noise (CIFAR-10N: 2.9);
beyond, the floor is a remainder beside hard images (a small network on CIFAR-10 with 2 % random
flips: 7)."""


def confidence_rank(probabilities: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """(N,) float, 0–1: rank of each sample's confidence among those predicted alike."""
    confidence = probabilities.max(axis=1)
    order = np.lexsort((confidence, predicted))
    ordered = predicted[order]
    counts = np.bincount(ordered)
    starts = np.cumsum(counts) - counts
    rank = np.empty(len(order))
    rank[order] = (np.arange(len(order)) - starts[ordered] + 0.5) / counts[ordered]
    return rank


def read_floor(rank: np.ndarray, disputed: np.ndarray) -> Floor:
    """The rate of disputes as confidence goes to its end.

    Args:
        rank: (N,) float, 0–1, of confidence.
        disputed: (N,) bool, prediction ≠ label.

    Returns:
        The straight line through the rates of the upper five tenths, read at rank 1, but no more
        than their mean: on hard but clean data the rate falls towards zero, and a mean over
        confident samples would report what is left of it as noise.
    """
    tenth = np.minimum((rank * 2 * N_TENTHS).astype(np.int64), 2 * N_TENTHS - 1) - N_TENTHS
    upper = tenth >= 0
    size = np.bincount(tenth[upper], minlength=N_TENTHS)
    wrong = np.bincount(tenth[upper], disputed[upper], N_TENTHS)
    rates = wrong / np.maximum(size, 1)
    middle = (np.arange(N_TENTHS) + 0.5) / N_TENTHS
    # Least squares on equal steps: the fitted value at 1 is a fixed weighting of the rates.
    weights = 1 / N_TENTHS + (1 - middle.mean()) * (middle - middle.mean()) / (
        ((middle - middle.mean()) ** 2).sum()
    )
    line = float(weights @ rates)
    rate = float(np.clip(min(line, rates.mean()), 0.0, 1.0))
    n_last = max(int(size[-1]), 1)
    low, high = wilson_interval(rate, n_last)
    return Floor(rate, low, high)


def wilson_interval(rate: float, n: int) -> tuple[float, float]:
    """95 % interval of a rate seen in n samples (Wilson 1927)."""
    square = Z_95**2 / n
    centre = (rate + square / 2) / (1 + square)
    half = Z_95 * np.sqrt(rate * (1 - rate) / n + square / (4 * n)) / (1 + square)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def confident_disputes(
    rank: np.ndarray, predicted: np.ndarray, labels: np.ndarray, n_classes: int
) -> np.ndarray:
    """(K, K) float: of the most confident quarter, how many predicted as j carry each label."""
    confident = rank >= 1 - CONFIDENT
    cells = predicted[confident] * n_classes + labels[confident]
    counts = np.bincount(cells, minlength=n_classes**2).astype(np.float64)
    return counts.reshape(n_classes, n_classes)


def noise_pattern(counts: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """(K, K) float: row j says how often, relative to the floor, noise turns j into each label.

    ``counts`` (`confident_disputes`) is drawn towards its average pattern. The mean row sum,
    weighted by how often a class is predicted, is 1; the diagonal is 0.
    """
    disputes = counts.copy()
    np.fill_diagonal(disputes, 0.0)
    size = counts.sum(axis=1)
    rate = max(disputes.sum(), 1.0) / max(size.sum(), 1.0)
    usual = disputes.sum(axis=0) + 1.0
    usual /= usual.sum()
    pattern = (disputes + PRIOR_WEIGHT * rate * usual) / (size[:, None] + PRIOR_WEIGHT)
    np.fill_diagonal(pattern, 0.0)
    often = np.bincount(predicted, minlength=len(counts))
    mean = float(often @ pattern.sum(axis=1)) / max(often.sum(), 1)
    scaled: np.ndarray = pattern / max(mean, 1e-12)
    return scaled


def even_share(counts: np.ndarray) -> float:
    """Share of the disputes that is spread evenly over the labels, 0–1; 1 with too few to say.

    The rarer half of each row's labels holds hardly any confusion of similar classes: what it
    holds, laid over the whole row, is the even part.
    """
    n_classes = len(counts)
    off = counts[~np.eye(n_classes, dtype=bool)].reshape(n_classes, n_classes - 1)
    rarer = np.sort(off, axis=1)[:, : (n_classes - 1) // 2]
    if off.mean() < MIN_CELL or not rarer.size:
        return 1.0
    return float(min(1.0, rarer.mean() * off.size / off.sum()))


def uneven_weight(counts: np.ndarray) -> float:
    """0 where the disputes (K, K) are evenly spread, 1 where they are confusion of classes."""
    low, high = EVEN_SHARE
    return float(np.clip((high - even_share(counts)) / (high - low), 0.0, 1.0))


def noise_growth(rank: np.ndarray, disputed: np.ndarray, floor: Floor) -> float:
    """Exponent b ≥ 0 of a noise rate floor·exp(b·(1 − rank)); 0 where no such rate fits.

    The rate must average to the rate of disputes in the confident half.
    """
    growth = float(disputed[rank >= 0.5].mean()) / max(floor.rate, 1e-12)
    if not 1.0 + 1e-6 < growth <= MAX_GROWTH:
        return 0.0
    # The mean of exp(b·u) over u in 0…0.5 is (exp(b/2) − 1)/(b/2).
    half = float(brentq(lambda x: np.expm1(x) / x - growth, 1e-9, 2.0 * MAX_GROWTH))
    return 2.0 * half


def noise_rates(rank: np.ndarray, growth: float, floor: Floor) -> np.ndarray:
    """(N,) float, 0–0.5: noise rate at each rank of confidence."""
    rates: np.ndarray = np.minimum(floor.rate * np.exp(growth * (1.0 - rank)), max(0.5, floor.rate))
    return rates
