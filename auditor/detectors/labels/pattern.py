"""Which labels stand in for which, and how often, where the network finds them least likely.

Disputes over hard images gather where the network half expects them: among the images predicted as
``cat``, those called ``dog`` are the dog-like ones. A wrong label that was not given for its looks
falls on all of them alike, so it shows among those that look least like its class. And confusion of
similar classes goes both ways, where one class relabelled as another goes one way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

N_BINS = 5
BIN = 0.1
"""The rate of disputes is read in five bins of a tenth each of the samples predicted alike, from
those on which the given label is least likely upwards. Measured on CIFAR-10 (10,000 images): with
five, clean labels give 0.000, flips of 5, 10 and 20 % give 0.059, 0.104 and 0.199."""

TAIL = 0.25
"""Share of the samples predicted alike whose disputes show the pattern."""

MARGIN = 2.0
"""What goes one way must be more than this many times what goes back."""

DEVIATIONS = 1.0
STRICT = 4.0
"""Standard errors that an excess must have: where the floor proves noise, and where the pattern
alone must prove it. Measured: at 4, nothing is flagged in seven clean draws (CIFAR-10,
Fashion-MNIST, Imagenette, 2,000 to 60,000), and 78 % of one class relabelled as another (16 % of
it, CIFAR-10, 10,000), 87 % of the flagged rightly; at 3 the latter falls to 70 %."""

LEAST_EVEN = 0.05
"""Least level of the even part, over the mean of all pairs, where most pairs have no dispute. At
0.25 F1 on labels moved to the next class (5 %) falls from 0.58 to 0.48."""

Z_95 = 1.96
Z_99 = 2.33
"""Standard errors of the floor that prove noise: one draw in a hundred, one-sided."""


@dataclass(frozen=True, slots=True)
class Floor:
    """The rate of wrong labels that does not depend on the image, with a 95 % interval."""

    rate: float
    low: float
    high: float


def tail_rank(probabilities: np.ndarray, predicted: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How likely each disputed label is, ranked among the samples predicted alike.

    Args:
        probabilities: (N, K).
        predicted: (N,) int64.
        labels: (N,) int64, all ≥ 0.

    Returns:
        (N,) float, 0–1: share of the samples of the same prediction on which the given label is
        less likely than here, ties counted half; 1 where the label is not disputed.
    """
    rank = np.ones(len(labels))
    disputed = np.flatnonzero(predicted != labels)
    pairs = predicted[disputed] * probabilities.shape[1] + labels[disputed]
    order = np.argsort(pairs, kind="stable")
    starts = np.flatnonzero(np.diff(pairs[order], prepend=-1))
    members = np.argsort(predicted, kind="stable")
    first = np.searchsorted(predicted[members], np.arange(probabilities.shape[1] + 1))
    for rows in np.split(disputed[order], starts[1:]) if disputed.size else []:
        guess, given = predicted[rows[0]], labels[rows[0]]
        alike = np.sort(probabilities[members[first[guess] : first[guess + 1]], given])
        own = probabilities[rows, given]
        below = np.searchsorted(alike, own, "left") + np.searchsorted(alike, own, "right")
        rank[rows] = below / (2 * alike.size)
    return rank


def tail_floor(rank: np.ndarray) -> Floor:
    """The rate of disputes as the given label becomes as unlikely as any.

    Args:
        rank: (N,) of `tail_rank`.

    Returns:
        The straight line through the rates of five tenths, read at rank 0, but no more than their
        mean; the interval is the line's own sampling error (counts taken as Poisson).
    """
    width = max(BIN * len(rank), 1e-9)
    counts = np.bincount(np.minimum((rank / BIN).astype(np.int64), N_BINS), minlength=N_BINS + 1)
    rates = counts[:N_BINS] / width
    middle = (np.arange(N_BINS) + 0.5) * BIN
    spread = middle - middle.mean()
    # Least squares on equal steps: the fitted value at 0 is a fixed weighting of the rates.
    weights = 1 / N_BINS - middle.mean() * spread / (spread**2).sum()
    rate = float(np.clip(min(weights @ rates, rates.mean()), 0.0, 1.0))
    error = Z_95 * float(np.sqrt(weights**2 @ ((counts[:N_BINS] + 1) / width**2)))
    return Floor(rate, max(0.0, rate - error), min(1.0, rate + error))


def is_proven(floor: Floor) -> bool:
    """Whether the rate is beyond its sampling error, at 99 %."""
    return floor.rate > (floor.high - floor.rate) * Z_99 / Z_95


def tail_disputes(
    rank: np.ndarray, predicted: np.ndarray, labels: np.ndarray, n_classes: int
) -> np.ndarray:
    """(K, K) float: disputes in the tail, rows by prediction, columns by label."""
    chosen = rank < TAIL
    cells = predicted[chosen] * n_classes + labels[chosen]
    counts = np.bincount(cells, minlength=n_classes**2).astype(np.float64)
    return counts.reshape(n_classes, n_classes)


def one_way_rates(disputes: np.ndarray, predicted: np.ndarray, deviations: float) -> np.ndarray:
    """How often class j (row) is called another (column), beyond what hardness explains.

    Two parts: labels that take from many classes more than they give, and pairs with more disputes
    one way than the other and than the first part explains. Confusion that goes both ways is left
    out: it is taken for hardness.

    Args:
        disputes: (K, K) counts of `tail_disputes`, diagonal 0.
        predicted: (N,) int64.
        deviations: standard errors (Poisson) that an excess must have.

    Returns:
        (K, K) float, 0–1; the diagonal is 0.
    """
    size = tail_size(predicted, len(disputes))
    taken, lent = disputes.sum(axis=0), disputes.sum(axis=1)
    surplus = taken - MARGIN * lent
    column = proven(surplus, np.sqrt(taken + MARGIN**2 * lent + 1), deviations)
    column /= np.maximum(size.sum() - size, 1.0)
    # Where classes differ in size, confusion may balance in counts or in rates: the larger counts.
    scale = MARGIN * np.maximum(1.0, size[:, None] / size)
    expected = np.maximum(disputes.T * scale, column * size[:, None])
    error = np.sqrt(disputes + scale**2 * disputes.T + 1)
    single = proven(disputes - expected, error, deviations) / size[:, None]
    rates: np.ndarray = np.where(np.eye(len(disputes), dtype=bool), 0.0, column + single)
    return rates


def proven(excess: np.ndarray, error: np.ndarray, deviations: float) -> np.ndarray:
    """An excess less its standard error where it is at least ``deviations`` of them, else 0."""
    kept: np.ndarray = np.where(excess >= deviations * error, excess - DEVIATIONS * error, 0.0)
    return kept


def even_rate(disputes: np.ndarray, predicted: np.ndarray) -> float:
    """Rate of disputes of the usual pair of classes: the median, or a least share of the mean."""
    rates = disputes / tail_size(predicted, len(disputes))[:, None]
    away = rates[~np.eye(len(disputes), dtype=bool)]
    return max(float(np.median(away)), LEAST_EVEN * float(away.mean()), 1e-9)


def tail_size(predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """(K,) float ≥ 1: samples of the tail by predicted class."""
    size: np.ndarray = np.maximum(TAIL * np.bincount(predicted, minlength=n_classes), 1.0)
    return size


def mean_rate(rates: np.ndarray, predicted: np.ndarray) -> float:
    """Rate over all samples of a (K, K) table of rates by predicted class and label."""
    often = np.bincount(predicted, minlength=len(rates))
    return float(often @ rates.sum(axis=1)) / max(len(predicted), 1)


def relative(rates: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """(K, K): the rates over their mean; the diagonal is 0."""
    scaled: np.ndarray = rates / max(mean_rate(rates, predicted), 1e-12)
    return scaled
