"""How likely each label is wrong, from out-of-fold probabilities and the labels alone.

A network disputes labels for two reasons: the label is wrong, or the image is hard. Counting both
as label errors flags a fifth of clean CIFAR-10 with a small network. They are told apart by where
the disputes lie: hard images lie where the network is unsure, wrong labels lie everywhere. So

1. the *floor* ε is the rate of disputes that is left as confidence grows to its end;
2. disputes among the more confident half say *which* labels noise puts in place of which;
3. that noise, laid over all images at rate ε, would give the labels' probabilities a certain
   distribution f₀; they have the distribution f; the share of noise at probability p is
   ε·f₀(p)/f(p), the local false discovery rate of Efron turned round. It needs no calibration:
   both distributions pass through the same network.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.isotonic import isotonic_regression

MIN_CLASS = 20
"""Fewest samples of a class whose labels can be judged: a network can't learn a rarer one."""

CONFIDENT = 0.5
"""Share of the samples, per predicted class, that count as confident."""

N_TENTHS = 5
"""Tenths of confidence in the confident half; the floor is read at their upper end."""

PRIOR_WEIGHT = 20.0
"""Samples' worth of the average pattern that is mixed into each class's own pattern of noise."""

LOG_FLOOR = -16.0
N_FINE = 400
N_BINS = 60
"""Log-probability is cut into 400 steps from e⁻¹⁶ to 1, merged to 60 bins of equal mass."""

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
        The judgement. Labels of classes with under 20 samples are not judged.
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
    pattern = noise_pattern(rank, suggested[index], own, n_classes)
    share = noise_share(chosen, own, suggested[index], pattern * floor.rate)
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
