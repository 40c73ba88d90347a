"""Features that lean on the label as natural ones do, and what content says of the labels."""

import numpy as np

CLASSES = 4


def leaning(n: int, seed: int, width: int, lean: float) -> tuple[np.ndarray, np.ndarray]:
    """Correlated skewed features, (n, width) float32, and labels (n,) of four classes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, n)
    mixing = np.random.default_rng(1).normal(size=(width, width)) / np.sqrt(width)
    features = rng.gamma(3.0, 1.0, (n, width)) @ mixing
    features += lean * np.random.default_rng(2).normal(size=(CLASSES, width))[labels]
    return features.astype(np.float32), labels.astype(np.int64)


def content(labels: np.ndarray, wrong: float, seed: int) -> np.ndarray:
    """(N, K) float32 probabilities: 0.7 for ``labels`` but for a share ``wrong``, 0.1 else."""
    rng = np.random.default_rng(seed)
    guess = rng.integers(0, CLASSES, len(labels))
    leading = np.where(rng.random(len(labels)) < wrong, guess, labels)
    probabilities = np.full((len(labels), CLASSES), 0.1, np.float32)
    probabilities[np.arange(len(labels)), leading] = 0.7
    return probabilities


def pictures(shown: np.ndarray, seed: int = 9) -> np.ndarray:
    """(N, 8, 8, 3) uint8: noise around a colour of the class that each picture shows."""
    rng = np.random.default_rng(seed)
    colours = np.random.default_rng(8).integers(60, 190, (CLASSES, 8, 8, 3))
    return np.clip(colours[shown] + rng.normal(0, 60, (len(shown), 8, 8, 3)), 0, 255).astype("u1")
