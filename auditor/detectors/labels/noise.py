"""How likely each label is wrong, from out-of-fold probabilities and the labels alone.

A network disputes labels for two reasons: the label is wrong, or the image is hard. Counting both
as label errors flags a third of clean CIFAR-10 with a small network. They are told apart by where
the disputes lie: hard images lie where the network is unsure, wrong labels lie everywhere. So

1. the *floor* ε is the rate of disputes that is left where the given label is least likely; with
   no floor beyond its sampling error, no label is called wrong;
2. disputes there say *which* labels noise puts in place of which (``pattern``); confusion
   that goes both ways counts as noise only if the network knows the data well, for a weak one
   confuses similar classes just as people do;
3. where it knows them well and the pattern is such confusion, noise grows with difficulty: as the
   disputes do in the confident half;
4. that noise, laid over all images at rate ε, would give the labels' probabilities a certain
   distribution f₀; they have the distribution f; the share of noise at probability p is
   ε·f₀(p)/f(p), the local false discovery rate of Efron turned round. It needs no calibration:
   both distributions pass through the same network.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from auditor.detectors.labels.confidence import (
    confidence_rank,
    confident_disputes,
    noise_growth,
    noise_pattern,
    noise_rates,
    read_floor,
    uneven_weight,
)
from auditor.detectors.labels.pattern import (
    DEVIATIONS,
    STRICT,
    Floor,
    even_rate,
    is_proven,
    mean_rate,
    one_way_rates,
    relative,
    tail_disputes,
    tail_floor,
    tail_rank,
)

MIN_CLASS = 20
"""Fewest samples of a class whose labels can be judged: a network can't learn a rarer one."""

MAX_FLOOR = 0.45
"""Floor beyond which nothing is judged: when the network is disputed this often even where it is
surest, it knows too little to say whose fault that is (random features on digits: 0.71)."""

MIN_KNOWLEDGE = 0.63
"""Share of the labels that are right with which the network must agree; below, nothing is judged.
Measured: at 0.61 (2,000 clean photos) 2 % would be flagged, and at 0.62 with 10 % flips 42 % of the
flagged labels are wrong; at 0.64 (10,000 of CIFAR-10, 20 % flips) 74 and 77 %."""

KNOWS_WELL = (0.8, 0.9)
"""Knowledge from which confusion of similar classes is taken for noise, and at which all of it is.
Measured: clean CIFAR-10 is confused both ways at 0.70 (10,000 images) and 0.80 (50,000); the
ResNet-18 on the human labels of CIFAR-10N, which err both ways, has 0.89, Fashion-MNIST 0.91."""

TINY = 1e-7
LOG_ODDS = (-15.0, 9.0)
N_FINE = 800
N_BINS = 200
"""Log-odds are cut into 800 steps, merged to 200 bins of equal mass (60 cost 0.01–0.02 of F1)."""

BLOCK_CELLS = 65_536
"""Cells of the (N, K) table worked on at once. All at once took five tables of its size, 2 GB for
50,000 samples of 1,000 classes; blocks that stay in the processor's cache are faster, too."""


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
        where the floor is above 0.45 or the network agrees with under 0.63 of the right labels.
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
    tail = tail_rank(chosen, suggested[index], own)
    disputed = suggested[index] != own
    blind = tail_floor(tail)
    knowledge = float((1 - disputed.mean()) / max(1 - blind.rate, TINY))
    if blind.rate > MAX_FLOOR or knowledge < MIN_KNOWLEDGE:
        return Judgement(posterior, suggested, given, blind)
    noise = describe_noise(chosen, suggested[index], own, tail, knowledge)
    share = noise_share(chosen, own, suggested[index], noise.pattern, noise.rates)
    posterior[index] = np.where(disputed, share, 0.0)
    return Judgement(posterior, suggested, given, noise.floor)


@dataclass(frozen=True, slots=True)
class Noise:
    """Noise as it would fall on the images.

    Attributes:
        pattern: (K, K), how often, relative to the rate, noise turns class j into each label.
        rates: (N,), 0–1, its rate at each image.
        floor: its rate as far as it does not depend on the image.
    """

    pattern: np.ndarray
    rates: np.ndarray
    floor: Floor


def describe_noise(
    probabilities: np.ndarray,
    predicted: np.ndarray,
    labels: np.ndarray,
    tail: np.ndarray,
    knowledge: float,
) -> Noise:
    """What the noise is like: one-way or even, or as the confident disputes of a strong network.

    The latter where these are uneven, as people's errors are.

    Args:
        probabilities: (N, K).
        predicted: (N,) int64.
        labels: (N,) int64.
        tail: (N,) of `tail_rank`.
        knowledge: share of the right labels with which the network agrees.
    """
    n_classes = probabilities.shape[1]
    low, high = KNOWS_WELL
    known = float(np.clip((knowledge - low) / (high - low), 0.0, 1.0))
    floor, pattern = blind_noise(predicted, labels, tail, n_classes)
    rank = confidence_rank(probabilities, predicted)
    disputes = confident_disputes(rank, predicted, labels, n_classes)
    known *= uneven_weight(disputes)
    if not known or not floor.rate:
        return Noise(pattern, np.full(len(labels), floor.rate), floor)
    disputed = predicted != labels
    confident = read_floor(rank, disputed)
    growth = known * noise_growth(rank, disputed, confident)
    mixed = Floor(
        *(
            (1 - known) * one + known * other
            for one, other in (
                (floor.rate, confident.rate),
                (floor.low, confident.low),
                (floor.high, confident.high),
            )
        )
    )
    pattern = (1 - known) * pattern + known * noise_pattern(disputes, predicted)
    return Noise(pattern, noise_rates(rank, growth, mixed), mixed)


def blind_noise(
    predicted: np.ndarray, labels: np.ndarray, tail: np.ndarray, n_classes: int
) -> tuple[Floor, np.ndarray]:
    """Noise that is blind to the image: its floor, 0 if not proven, and its (K, K) pattern.

    It is proven if the rate of disputes in the tail is beyond its sampling error, or if labels are
    disputed one way far more than the other.
    """
    floor = tail_floor(tail)
    disputes = tail_disputes(tail, predicted, labels, n_classes)
    if is_proven(floor):
        rates = one_way_rates(disputes, predicted, DEVIATIONS)
        least = mean_rate(rates, predicted)
        even = np.where(np.eye(n_classes, dtype=bool), 0.0, even_rate(disputes, predicted))
        floor = Floor(max(floor.rate, least), floor.low, max(floor.high, least))
        return floor, relative(rates + even, predicted)
    rates = one_way_rates(disputes, predicted, STRICT)
    least = mean_rate(rates, predicted)
    return Floor(least, 0.0, max(floor.high, least)), relative(rates, predicted)


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
