"""Materials made for tests of detectors."""

import numpy as np

from auditor.interfaces import Material


def material(labels: np.ndarray, n_classes: int, seed: int = 0, **views: np.ndarray) -> Material:
    n = len(labels)
    return Material(
        rows=np.arange(100, 100 + n, dtype=np.uint64),
        labels=labels,
        n_classes=n_classes,
        views=views,
        duplicate_of=np.full(n, -1),
        generator=np.random.default_rng(seed),
        progress=lambda done, total: None,
    )


def activations(
    n: int, n_classes: int, seed: int, width: int = 24
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Labels, skewed activations with correlated noise, confident probabilities and folds."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    centres = rng.normal(0, 3, (n_classes, width))
    mixing = rng.normal(size=(width, width)) / np.sqrt(width)
    features = centres[labels] + rng.gamma(2.0, 1.0, (n, width)) @ mixing
    probabilities = np.full((n, n_classes), 0.1 / n_classes, np.float32)
    probabilities[np.arange(n), labels] += 0.9
    fold = (np.arange(n) // n_classes % 2).astype(np.int8)
    return labels, features.astype(np.float16), probabilities, fold
