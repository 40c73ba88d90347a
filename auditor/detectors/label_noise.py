"""How likely each label is wrong, from out-of-fold probabilities and the labels alone.

A network disputes labels for two reasons: the label is wrong, or the image is hard. Counting both
as label errors flags a fifth of clean CIFAR-10 with a small network. They are told apart by where
the disputes lie: hard images lie where the network is unsure, wrong labels lie everywhere. So

1. the *floor* ε is the rate of disputes that is left as confidence grows to its end;
2. disputes among the most confident quarter say *which* labels noise puts in place of which;
3. where that pattern is the network's own confusion of similar classes, as when people label, and
   not evenly spread, noise grows with difficulty: as the disputes do in the confident half;
4. that noise, laid over all images at rate ε, would give the labels' probabilities a certain
   distribution f₀; they have the distribution f; the share of noise at probability p is
   ε·f₀(p)/f(p), the local false discovery rate of Efron turned round. It needs no calibration:
   both distributions pass through the same network.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

MIN_CLASS = 20
"""Fewest samples of a class whose labels can be judged: a network can't learn a rarer one."""

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

MAX_FLOOR = 0.45
"""Floor beyond which nothing is judged: when the network is disputed this often even where it is
surest, it knows too little to say whose fault that is (random features on digits: 0.71)."""

MIN_KNOWLEDGE = 0.65
"""Share of the labels that are right with which the network must agree; below, nothing is judged.
Measured: with 0.56 and 0.58 (2,000 photos, 10 % flips and 5 % dirty-label poison) half of the
flagged labels are right; with 0.80 (CIFAR-10) and 0.91 (Fashion-MNIST) none and 8 %."""

TINY = 1e-7
LOG_ODDS = (-15.0, 9.0)
N_FINE = 800
N_BINS = 200
"""Log-odds are cut into 800 steps, merged to 200 bins of equal mass (60 cost 0.01–0.02 of F1)."""

BLOCK_CELLS = 65_536
"""Cells of the (N, K) table worked on at once. All at once took five tables of its size, 2 GB for
50,000 samples of 1,000 classes; blocks that stay in the processor's cache are faster, too."""

Z_95 = 1.96


@dataclass(frozen=True, slots=True)
class Floor:
    """The rate of disputes at full confidence, with a 95 % interval; fractions."""

    rate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the labels look like to the network.

    Attributes:
        posterior: (N,) float32, 0–1, that the label is wrong; NaN where it can't be judged.
        suggested: (N,) int64, the likeliest label.
        given: (N,) float32 probability of the given label; NaN without one.
        floor: the dataset's rate of wrong labels, as far as it does not depend on the image.
    """

    posterior: np.ndarray
    suggested: np.ndarray
    given: np.ndarray
    floor: Floor


def judge_labels(probabilities: np.ndarray, labels: np.ndarray) -> Judgement:
    """Judge every label.

    Args:
        probabilities: (N, K) float, out of fold; rows sum to 1.
        labels: (N,) int64 in 0…K−1, or −1.

    Returns:
        The judgement. Labels of classes with under 20 samples are not judged, and none
        where the floor is above 0.45 or the network agrees with under 0.65 of the right labels.
    """
    n_classes = probabilities.shape[1]
    suggested = probabilities.argmax(axis=1)
    counts = np.bincount(labels[labels >= 0], minlength=n_classes)
    known = (labels >= 0) & (counts[np.maximum(labels, 0)] >= MIN_CLASS)
    given = np.full(len(labels), np.nan, np.float32)
    posterior = np.full(len(labels), np.nan, np.float32)
    index = np.flatnonzero(known)
    if not index.size:
        return Judgement(posterior, suggested, given, Floor(0.0, 0.0, 1.0))
    chosen = probabilities if index.size == len(labels) else probabilities[index]
    own = labels[index]
    given[index] = chosen[np.arange(index.size), own]
    rank = confidence_rank(chosen, suggested[index])
    disputed = suggested[index] != own
    floor = read_floor(rank, disputed)
    knowledge = (1 - disputed.mean()) / max(1 - floor.rate, TINY)
    if floor.rate > MAX_FLOOR or knowledge < MIN_KNOWLEDGE:
        return Judgement(posterior, suggested, given, floor)
    disputes = confident_disputes(rank, suggested[index], own, n_classes)
    pattern = noise_pattern(disputes, suggested[index])
    rates = noise_rates(rank, noise_growth(rank, disputed, disputes, floor), floor)
    share = noise_share(chosen, own, suggested[index], pattern, rates)
    posterior[index] = np.where(disputed, share, 0.0)
    return Judgement(posterior, suggested, given, floor)


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


def noise_growth(rank: np.ndarray, disputed: np.ndarray, counts: np.ndarray, floor: Floor) -> float:
    """Exponent b ≥ 0 of a noise rate floor·exp(b·(1 − rank)); 0 for noise blind to the image.

    The rate must average to the rate of disputes in the confident half.
    """
    growth = float(disputed[rank >= 0.5].mean()) / max(floor.rate, 1e-12)
    if not 1.0 + 1e-6 < growth <= MAX_GROWTH:
        return 0.0
    low, high = EVEN_SHARE
    weight = float(np.clip((high - even_share(counts)) / (high - low), 0.0, 1.0))
    # The mean of exp(b·u) over u in 0…0.5 is (exp(b/2) − 1)/(b/2).
    half = float(brentq(lambda x: np.expm1(x) / x - growth, 1e-9, 2.0 * MAX_GROWTH))
    return 2.0 * half * weight


def noise_rates(rank: np.ndarray, growth: float, floor: Floor) -> np.ndarray:
    """(N,) float, 0–0.5: noise rate at each rank of confidence."""
    rates: np.ndarray = np.minimum(floor.rate * np.exp(growth * (1.0 - rank)), max(0.5, floor.rate))
    return rates


def noise_share(
    probabilities: np.ndarray,
    labels: np.ndarray,
    predicted: np.ndarray,
    pattern: np.ndarray,
    rates: np.ndarray,
) -> np.ndarray:
    """Share of noise among samples whose label is as improbable as each one's.

    Improbable means: against what noise would make of the prediction, p(label)/Σⱼ p(j)·pattern.

    Args:
        probabilities: (N, K).
        labels: (N,) int64.
        predicted: (N,) int64.
        pattern: (K, K), how often, relative to the rate, noise turns class j into each label.
        rates: (N,), 0–1.

    Returns:
        (N,) float32, 0–1, never rising with that ratio. Source: Efron 2004,
        Large-Scale Simultaneous Hypothesis Testing, §2, with the roles of the two turned round.
    """
    from sklearn.isotonic import isotonic_regression

    n = len(labels)
    own, expected = np.empty(n, np.int64), np.zeros(N_FINE)
    low, high = LOG_ODDS
    step = max(1, BLOCK_CELLS // len(pattern))
    for start in range(0, n, step):
        part = slice(start, min(start + step, n))
        odds = np.log((probabilities[part] + TINY) / (probabilities[part] @ pattern + TINY))
        fine = ((odds - low) * (N_FINE / (high - low))).astype(np.int64)
        np.clip(fine, 0, N_FINE - 1, out=fine)
        own[part] = fine[np.arange(len(fine)), labels[part]]
        weights = pattern[predicted[part]] * rates[part, None]
        expected += np.bincount(fine.ravel(), weights.ravel(), N_FINE)
    seen = np.bincount(own, minlength=N_FINE).astype(np.float64)
    mass = np.cumsum(seen + expected)
    edges = np.searchsorted(mass, np.linspace(0, mass[-1], N_BINS + 1)[1:-1])
    edges = np.unique(np.concatenate([[0], edges]))
    expected, seen = np.add.reduceat(expected, edges), np.add.reduceat(seen, edges)
    share = np.minimum(expected / np.maximum(seen, 1e-9), 1.0)
    share = isotonic_regression(share, sample_weight=seen + 1e-3, increasing=False)
    chosen: np.ndarray = share[np.searchsorted(edges, own, side="right") - 1].astype(np.float32)
    return chosen
