"""The views of a pretrained backbone: its features and probabilities fitted on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from auditor.features.backbone import Backbone
from auditor.features.calibration import fit_temperature, softmax
from auditor.features.folds import N_FOLDS, assign_folds, content_keys, training_rows
from auditor.interfaces import InapplicableError, Progress
from auditor.records import Reference

RIDGE = 1e-2
"""Share of the mean feature variance added to each; within a factor of 10 the accuracy stays."""

MIN_TRAINING = 10
BLOCK = 4_096


def pretrained_views(
    batches: Iterator[np.ndarray],
    labels: np.ndarray,
    n_classes: int,
    out: Path,
    seed: int,
    backbone: Backbone,
    progress: Progress,
) -> Reference:
    """Write the same views as ``train_reference``, from a pretrained backbone.

    Args:
        batches: (B, H, W, 3) uint8 images, all samples in order.
        labels: (N,) int64 in 0…K−1, or −1.
        n_classes: K.
        out: an existing folder; gets ``probabilities.npy``, ``penultimate.npy``, ``fold.npy``.
        seed: decides the folds.
        backbone: from ``load_backbone``.
        progress: called with (done, total) in images.

    Raises:
        InapplicableError: fewer than two classes or ten samples in one half.
    """
    features, keys = _embed_all(batches, len(labels), out, seed, backbone, progress)
    folds = assign_folds(keys, labels)
    scores = np.lib.format.open_memmap(
        _temporary(out, "probabilities"),
        mode="w+",
        dtype=np.float32,
        shape=(len(labels), n_classes),
    )
    correct = 0
    for fold in range(N_FOLDS):
        rows = training_rows(keys, labels, folds, fold)
        _require_enough(labels[rows])
        mean, weights, bias = fit_ridge(features, rows, labels, n_classes)
        asked = np.flatnonzero(folds == fold)
        for start in range(0, asked.size, BLOCK):
            part = asked[start : start + BLOCK]
            scores[part] = (features[part].astype(np.float32) - mean) @ weights + bias
        correct += int((scores[asked].argmax(axis=1) == labels[asked]).sum())
        temperature = fit_temperature(scores[asked], labels[asked])
        for start in range(0, asked.size, BLOCK):
            part = asked[start : start + BLOCK]
            scores[part] = softmax(scores[part] / temperature)
    fold_view = np.lib.format.open_memmap(
        _temporary(out, "fold"), mode="w+", dtype=np.int8, shape=(len(labels),)
    )
    fold_view[:] = folds
    for name, view in (("penultimate", features), ("probabilities", scores), ("fold", fold_view)):
        view.flush()
        _temporary(out, name).replace(out / f"{name}.npy")
    accuracy = correct / int((labels >= 0).sum())
    return Reference(backbone.name, backbone.digest, backbone.device, accuracy)


def fit_ridge(
    features: np.ndarray, rows: np.ndarray, labels: np.ndarray, n_classes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One-against-all ridge regression of the labels on standardised features.

    Args:
        features: (N, D) float, may be memory-mapped; read in blocks.
        rows: (M,) indices to fit.
        labels: (N,) int64, 0…K−1 in ``rows``.
        n_classes: K.

    Returns:
        (D,) mean, (D, K) weights and (K,) bias, float32: scores are (x − mean)·weights + bias.
    """
    width = features.shape[1]
    ordered = np.sort(rows)
    total, product = np.zeros(width), np.zeros((width, n_classes))
    gram = np.zeros((width, width))
    counts = np.bincount(labels[ordered], minlength=n_classes)
    origin = features[ordered[0]].astype(np.float32)
    for start in range(0, ordered.size, BLOCK):
        part = ordered[start : start + BLOCK]
        block = features[part].astype(np.float32) - origin
        total += block.sum(axis=0, dtype=np.float64)
        gram += block.T @ block
        targets = np.zeros((part.size, n_classes), np.float32)
        targets[np.arange(part.size), labels[part]] = 1.0
        product += block.T @ targets
    mean = total / ordered.size
    gram -= ordered.size * np.outer(mean, mean)
    product -= np.outer(mean, counts)
    scale = np.sqrt(np.maximum(np.diag(gram) / ordered.size, 1e-12))
    gram = gram / np.outer(scale, scale) + RIDGE * ordered.size * np.eye(width)
    weights = np.linalg.solve(gram, product / scale[:, None]) / scale[:, None]
    bias = counts / ordered.size
    return (
        (mean + origin).astype(np.float32),
        weights.astype(np.float32),
        bias.astype(np.float32),
    )


def _embed_all(
    batches: Iterator[np.ndarray],
    n_samples: int,
    out: Path,
    seed: int,
    backbone: Backbone,
    progress: Progress,
) -> tuple[np.memmap, np.ndarray]:
    """Features (N, D) float16 on disk, and the content keys (N,)."""
    features: np.memmap | None = None
    keys = np.empty(n_samples, np.uint64)
    done = 0
    for batch in batches:
        found = backbone.embed(batch)
        if features is None:
            features = np.lib.format.open_memmap(
                _temporary(out, "penultimate"),
                mode="w+",
                dtype=np.float16,
                shape=(n_samples, found.shape[1]),
            )
        part = slice(done, done + len(batch))
        features[part] = np.clip(found, -6e4, 6e4)
        keys[part] = content_keys(batch, seed)
        done += len(batch)
        progress(done, n_samples)
    if features is None or done != n_samples:
        raise InapplicableError(f"got {done} images for {n_samples} labels")
    return features, keys


def _require_enough(labels: np.ndarray) -> None:
    n_classes = np.unique(labels).size
    if labels.size < MIN_TRAINING or n_classes < 2:
        raise InapplicableError(
            f"needs {MIN_TRAINING} labelled images of 2 classes in each half of the data, one "
            f"half has {labels.size} of {n_classes}"
        )


def _temporary(out: Path, name: str) -> Path:
    return out / f".{name}.npy.partial"
