"""Samples whose label is implausible by their content, and who of a class is one of them.

An attacker who gives a class's label to pictures of anything leaves samples whose content makes the
label no likelier than it is for a sample of another class. A hard picture of the class is seldom
that far off. So the samples that are disputed so deeply are nearly all wrong in a poisoned class,
and few elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from auditor.detectors.probing.group import TINY

MIN_IMPLAUSIBLE = 25
"""Implausible samples of a class from which it is measured: fewer predict one another by accident
(24 of clean CIFAR-10 rank 0.73 above others by their sharpness)."""

TOP = 0.95
"""Share of the others that a sample at the top lies above. A class's honest hard samples, often as
many as the wrong ones, pull a mean rank down and leave the top alone. Measured, 30 of 10,000 images
blended: 35–39 % at the top, 44–52 implausible; at 0.98 31 %, with more at the top by accident."""

DEPTH = 0.7
"""A label is implausible where it gets no more than this share of the samples with other labels.
Measured, WaNet 5 % of 10,000 CIFAR-10 images: at 0.7 405 samples of the target class, at 0.5 248,
and at most 61 and 37 in another; with plain disputes (probability under 0.3) 657 and 443."""

BINS = 12
"""Of own-label probability, equally full in the class: 80 samples each in a class of 1,000."""

START = 0.7
"""Chance of being wrong that an implausible sample starts with: the depth is the share of strangers
that it covers."""

ROUNDS = 6
"""Of predicting and judging; the last one moves the share of a class by under 0.005."""

LEAST_ODDS = 0.02
"""Least density of rightful samples against wrong ones in a bin: no bin alone is beyond doubt."""

MIN_SHARE, MAX_SHARE = 0.01, 0.9
"""The share of wrong samples in a class stays between these, so that the odds stay finite."""


def implausible(labels: np.ndarray, probabilities: np.ndarray, depth: float = DEPTH) -> np.ndarray:
    """(N,) bool: whose label the content finds no likelier than it does on other samples.

    Args:
        labels: (N,) int64, −1 where a sample has none.
        probabilities: (N, K) float, out-of-fold.
        depth: share of the samples with other labels that find the label at least as likely.
    """
    deep = np.zeros(len(labels), bool)
    leading = probabilities.argmax(axis=1)
    for label in np.unique(labels[labels >= 0]).tolist():
        given = np.asarray(probabilities[:, label])
        own, others = labels == label, (labels >= 0) & (labels != label)
        if others.any():
            bound = np.quantile(given[others], depth)
            deep |= own & (leading != label) & (given <= bound)
    return deep


def spread(leading: np.ndarray, n_classes: int) -> float:
    """Effective number of classes the content of (n,) samples points to: 1 / Σ share²."""
    counts = np.bincount(leading, minlength=n_classes)
    return float(counts.sum() ** 2 / max((counts.astype(np.float64) ** 2).sum(), TINY))


def precedence(first: np.ndarray, second: np.ndarray) -> float:
    """Chance that a value of ``first`` lies above one of ``second``, ties half: 0–1, 0.5 if empty.

    Mann & Whitney's U over the number of pairs, also the area under the ROC curve.
    """
    if not len(first) or not len(second):
        return 0.5
    ordered = np.sort(second)
    below = np.searchsorted(ordered, first, side="left")
    upto = np.searchsorted(ordered, first, side="right")
    return float((below + upto).mean() / 2 / len(second))


def at_top(first: np.ndarray, second: np.ndarray) -> float:
    """Share of ``first`` above `TOP` of the values of ``second``: 0–1, 0 where either is empty.

    The bound is one of the values, not a point between two: an interpolated bound that should
    equal a value misses it by a rounding, and all that lies on it then counts as above.
    """
    if not len(first) or not len(second):
        return 0.0
    return float((first > np.quantile(second, TOP, method="inverted_cdf")).mean())


def excess(share: float, n: int) -> float:
    """How far a share of ``n`` at the top lies above 1 − `TOP`, in standard errors of that share.

    Independent ranks without difference give a binomial count: mean 0, deviation 1.
    """
    chance = 1 - TOP
    return (share - chance) / float(np.sqrt(chance * TOP / n))


@dataclass(frozen=True, slots=True)
class Odds:
    """What content says of the samples of one class, wrong against rightful.

    Attributes:
        bins: (c,) int64, the bin of each sample's own-label probability.
        wrong: (B,) float64, share of the samples with other labels in each bin.
        all: (B,) float64, share of the class's samples in each bin.
    """

    bins: np.ndarray
    wrong: np.ndarray
    all: np.ndarray

    def log_ratio(self, share: float) -> np.ndarray:
        """(c,) log density of wrong samples against rightful ones, ``share`` of the class wrong.

        What is not wrong is rightful: its density is the class's less the wrong ones'.
        """
        rightful = np.maximum(self.all - share * self.wrong, LEAST_ODDS * self.wrong)
        ratio = (self.wrong + TINY) / (rightful / (1 - share) + TINY)
        logs: np.ndarray = np.log(ratio)[self.bins]
        return logs


def content_odds(own: np.ndarray, others: np.ndarray) -> Odds:
    """Odds from a label's probability in its class (c,) and on samples with other labels (m,)."""
    edges = np.unique(np.quantile(own, np.arange(1, BINS) / BINS))
    n_bins = len(edges) + 1
    bins = np.searchsorted(edges, own, side="right")
    strange = np.searchsorted(edges, others, side="right")
    return Odds(
        bins,
        np.bincount(strange, minlength=n_bins) / max(len(others), 1),
        np.bincount(bins, minlength=n_bins) / max(len(own), 1),
    )


def judge(predictions: np.ndarray, chance: np.ndarray, odds: Odds) -> np.ndarray:
    """One step of a mixture: (c,) chance of being wrong from a prediction and the content.

    Args:
        predictions: (c,) of being wrong, by what wrong samples share; normal in each part, with one
            variance, so that a higher prediction never speaks against it.
        chance: (c,) from the step before, 0–1.
        odds: of the content; taken as independent of the prediction.
    """
    share = float(np.clip(chance.mean(), MIN_SHARE, MAX_SHARE))
    weights = np.stack([chance, 1 - chance])
    totals = np.maximum(weights.sum(axis=1), TINY)
    high, low = weights @ predictions / totals
    centred = (predictions - np.array([[high], [low]])) ** 2
    variance = max(float((weights * centred).sum() / len(predictions)), TINY)
    shared = max(high - low, 0.0) / variance * (predictions - (high + low) / 2)
    logit = np.log(share / (1 - share)) + shared + odds.log_ratio(share)
    judged: np.ndarray = 1 / (1 + np.exp(-np.clip(logit, -50, 50)))
    return judged
