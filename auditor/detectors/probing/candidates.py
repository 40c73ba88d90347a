"""Groups inside one class that a low-level view predicts from one another.

Leave-one-out self-training: start from a seed group G, fit the indicator of G, read every sample's
leave-one-out prediction p, keep the samples of the class whose p lies nearer to the group's mean
than to the rest's, repeat. p leaves the sample itself out, so noise does not confirm itself: a
group that shares a trigger grows to all its samples, any other drifts or dies out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from auditor.detectors.probing.group import CUT
from auditor.detectors.probing.ridge import leave_one_out

SEED_SHARES = (0.005, 0.03, 0.15, 0.5)
"""Shares of the class in a label seed: poison is 0.3 % … 15 % of most target classes, and half of
one where a tenth of ten classes is poisoned: from smaller seeds only the clearest fifth of it was
found (white square, CIFAR-10: 205 of 1,000; from a half 823)."""

SPECTRAL_SHARES = (0.01, 0.05)
SPECTRAL_DIRECTIONS = 6
"""Leading whitened directions that are tried; triggers measured so far lay in the first six."""

POWER_STEPS = 6
MIN_SEED = 20
"""Smallest seed: fewer samples do not predict one another out of noise."""

ROUNDS = 8
STRICT_ROUNDS = 4
STRICT_CUT = 0.7
"""The first rounds cut stricter, so that a seed that is mostly wrong sheds its wrong samples."""


@dataclass(frozen=True, slots=True)
class Groups:
    """m groups after self-training.

    Attributes:
        members: (n, m) bool.
        predictions: (n, m) float32, leave-one-out.
    """

    members: np.ndarray
    predictions: np.ndarray


def top(scores: np.ndarray, share: float) -> np.ndarray:
    """(n,) bool: the ``share`` of highest scores, ``MIN_SEED`` at least."""
    chosen = np.zeros(len(scores), dtype=bool)
    count = max(MIN_SEED, round(share * len(scores)))
    chosen[np.argsort(-scores, kind="stable")[:count]] = True
    return chosen


def label_seeds(whitened: np.ndarray, leverage: np.ndarray, n: int) -> list[np.ndarray]:
    """Seeds from the class's own leave-one-out prediction: samples the view finds too easy."""
    ones = np.ones((len(whitened), 1), dtype=np.float32)
    fitted = whitened @ (whitened.T @ ones) + len(whitened) / n
    scores = leave_one_out(fitted, ones, leverage[:, None])[:, 0]
    return [top(scores, share) for share in SEED_SHARES]


def spectral_seeds(whitened: np.ndarray, generator: np.random.Generator) -> list[np.ndarray]:
    """Seeds from the extremes along the class's leading whitened directions.

    The whole dataset has unit variance in every whitened direction, so one that the class alone
    fills, as a trigger does, leads its spectrum (cf. Tran et al. 2018, whitened). It finds triggers
    in classes that are easy anyway, where label seeds hold natural samples only.
    """
    centred = whitened - whitened.mean(axis=0)
    size = min(SPECTRAL_DIRECTIONS + 4, *centred.shape)
    basis = generator.standard_normal((centred.shape[1], size)).astype(np.float32)
    for _ in range(POWER_STEPS):
        basis, _ = np.linalg.qr(centred.T @ (centred @ basis))
    along = centred @ basis
    _, rotation = np.linalg.eigh(along.T @ along)
    along = along @ rotation[:, ::-1][:, :SPECTRAL_DIRECTIONS]
    along = along - np.median(along, axis=0)
    signed = [sign * column for column in along.T for sign in (1, -1)]
    return [top(scores, share) for scores in signed for share in SPECTRAL_SHARES]


def settle(predictions: np.ndarray, members: np.ndarray, cut: float) -> np.ndarray:
    """One step: (n, m) bool, the samples beyond ``cut`` between the two means of p."""
    inside = members.sum(axis=0)
    mean_in = (predictions * members).sum(axis=0) / np.maximum(inside, 1)
    mean_out = (predictions * ~members).sum(axis=0) / np.maximum(len(members) - inside, 1)
    kept: np.ndarray = predictions > mean_out + cut * (mean_in - mean_out)
    kept[:, (inside == 0) | (mean_in <= mean_out)] = False
    return kept


def self_train(whitened: np.ndarray, leverage: np.ndarray, seeds: np.ndarray, n: int) -> Groups:
    """Grow the seeds (n_k, m) bool inside a class from its whitened rows (n_k, d).

    ``n`` is the number of fitted rows of the whole dataset; outside the class T is zero.
    """
    members = seeds
    for step in range(ROUNDS + 1):
        targets = members.astype(np.float32)
        fitted = whitened @ (whitened.T @ targets) + targets.sum(axis=0) / np.float32(n)
        predictions = leave_one_out(fitted, targets, leverage[:, None])
        if step < ROUNDS:
            members = settle(predictions, members, STRICT_CUT if step < STRICT_ROUNDS else CUT)
    return Groups(members, predictions)
