"""Scores of published detectors, for comparison only: what of them helps is in the package.

Each takes a victim's activations or answers and gives one number a sample, higher more suspicious.
None has a gate that holds on clean data, so they are compared by how they rank.
"""

from __future__ import annotations

import numpy as np

MAD_TO_DEVIATION = 1.4826
SCAN_INDEX = float(np.e**2)
"""Tang et al. 2021, §5.3: a class is poisoned where its index exceeds e²."""

TRIM = 0.1
ROUNDS = 5


def scan_statistic(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """SCAn (Tang et al. 2021, §5.2): position between two means, and who its own rule flags.

    Returns:
        (N,) position along the line, 0–1, times the class's index, and (N,) bool: in the smaller
        population of a class whose index exceeds e².
    """
    score, minor, ratios = np.zeros(len(labels)), np.zeros(len(labels), bool), {}
    root = _within_root(features, labels)
    for label in np.unique(labels[labels >= 0]):
        rows = np.flatnonzero(labels == label)
        points = (features[rows] - features[rows].mean(axis=0)) @ root
        along, small, ratio = _two_means(points)
        score[rows], minor[rows], ratios[int(label)] = along, small, ratio * len(rows)
    values = np.array(list(ratios.values()))
    spread = MAD_TO_DEVIATION * float(np.median(np.abs(values - np.median(values))))
    for label, ratio in ratios.items():
        index = (ratio - float(np.median(values))) / max(spread, 1e-9)
        score[labels == label] *= max(index, 0.0)
        minor[labels == label] &= index > SCAN_INDEX
    return score, minor


def spectre(features: np.ndarray, labels: np.ndarray, n_directions: int = 32) -> np.ndarray:
    """SPECTRE (Hayase et al. 2021, Alg. 1–3): robustly whitened, scored by QUE.

    Deviation: the covariance is made robust by trimming the furthest tenth five times.
    """
    score = np.zeros(len(labels))
    for label in np.unique(labels[labels >= 0]):
        rows = np.flatnonzero(labels == label)
        centred = features[rows] - features[rows].mean(axis=0)
        _, vectors = np.linalg.eigh(centred.T @ centred)
        points = centred @ vectors[:, ::-1][:, :n_directions]
        kept = np.ones(len(points), bool)
        for _ in range(ROUNDS):
            white = (points - points[kept].mean(axis=0)) @ _inverse_root(np.cov(points[kept].T))
            far = (white**2).sum(axis=1)
            kept = far <= np.quantile(far, 1 - TRIM)
        moment = white.T @ white / len(white)
        values, directions = np.linalg.eigh(moment)
        excess = np.exp(4 * (values - 1) / max(values[-1] - 1, 1e-6) - 4)
        score[rows] = ((white @ directions) ** 2 @ excess) / excess.sum()
    return score


def deep_neighbours(features: np.ndarray, labels: np.ndarray, k: int = 50) -> np.ndarray:
    """Deep k-NN (Peri et al. 2020): share of the nearest activations with another label."""
    rows = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-9)
    out = np.empty(len(rows))
    for start in range(0, len(rows), 512):
        part = slice(start, start + 512)
        similarity = rows[part] @ rows.T
        np.put_along_axis(similarity, np.arange(len(rows))[part][:, None], -np.inf, axis=1)
        near = np.argpartition(similarity, -k, axis=1)[:, -k:]
        out[part] = (labels[near] != labels[part, None]).mean(axis=1)
    return out


def victim_loss(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Cross-entropy of the label under the victim (Yang et al. 2017); negated, Li et al. 2021."""
    top = logits.max(axis=1)
    total = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
    loss: np.ndarray = total - logits[np.arange(len(labels)), np.maximum(labels, 0)]
    return loss


def unlikely_activations(extremes: np.ndarray) -> np.ndarray:
    """FLARE-like (Hou et al. 2024): the layers' largest |z|, in robust deviations, the greatest."""
    logs = np.log(extremes)
    centre = np.median(logs, axis=0)
    spread = MAD_TO_DEVIATION * np.median(np.abs(logs - centre), axis=0)
    greatest: np.ndarray = ((logs - centre) / np.maximum(spread, 1e-9)).max(axis=1)
    return greatest


def _within_root(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    total = np.zeros((features.shape[1],) * 2)
    for label in np.unique(labels[labels >= 0]):
        rows = features[labels == label]
        total += np.cov(rows.T, bias=True) * len(rows)
    return _inverse_root(total / len(features))


def _inverse_root(covariance: np.ndarray) -> np.ndarray:
    width = len(covariance)
    covariance = covariance + 1e-2 * np.trace(covariance) / width * np.eye(width)
    values, vectors = np.linalg.eigh(covariance)
    root: np.ndarray = (vectors / np.sqrt(values)) @ vectors.T
    return root


def _two_means(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Position along the line, who is in the smaller population, likelihood ratio a sample."""
    _, vectors = np.linalg.eigh(points.T @ points)
    best: tuple[np.ndarray, np.ndarray, float] | None = None
    for direction in vectors[:, ::-1][:, :6].T:
        along = points @ direction
        small = along > np.quantile(along, 0.9)
        for _ in range(30):
            near, far = points[small].mean(axis=0), points[~small].mean(axis=0)
            along = (points - far) @ (near - far) / max(float((near - far) @ (near - far)), 1e-12)
            moved = along > 0.5
            if (moved == small).all() or not 2 < moved.sum() < len(moved) - 2:
                break
            small = moved
        share = small.mean()
        gap = points[small].mean(axis=0) - points[~small].mean(axis=0)
        ratio = float(share * (1 - share) * gap @ gap)
        if share > 0.5:
            small, along = ~small, 1 - along
        if best is None or ratio > best[2]:
            best = along, small, ratio
    assert best is not None
    return best
