"""Loss: how surprised the out-of-fold network is by each sample's label.

Poisoning that lowers accuracy puts samples where the loss is high; so do wrong labels and hard
images. The robust score says how high for its class.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from auditor.interfaces import Detector, Evidence, InapplicableError, Material

BLOCK = 65_536

FLOOR = 1e-6
"""Least probability: the loss ends at 13.8, where float32 softmax stops telling apart."""

MAD_TO_DEVIATION = 1.4826
"""Deviation of a normal sample over its median absolute deviation (Rousseeuw & Croux 1993)."""

MIN_ROWS = 20
"""Fewer samples of a class make its median deviation too rough (± 16 % at 20)."""


def cross_entropy(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N, K) probabilities and (N,) labels → (N,) float64 −ln p(label); NaN without a label."""
    losses = np.full(len(labels), np.nan)
    for start in range(0, len(labels), BLOCK):
        part = slice(start, start + BLOCK)
        given = labels[part]
        rows = np.flatnonzero(given >= 0)
        chosen = np.asarray(probabilities[part])[rows, given[rows]].astype(np.float64)
        losses[start + rows] = -np.log(np.maximum(chosen, FLOOR))
    return losses


def robust_score(losses: np.ndarray) -> np.ndarray:
    """(n,) losses → (n,) log-losses in robust deviations from their median.

    Losses are skewed over four decades; their logarithms are nearly symmetric.
    """
    values = np.log(losses + FLOOR)
    centre = np.median(values)
    spread = MAD_TO_DEVIATION * float(np.median(np.abs(values - centre)))
    scores: np.ndarray = (values - centre) / max(spread, 1e-9)
    return scores


def measure(material: Material) -> Evidence:
    """Loss of each sample and its place within its class and fold; class means."""
    probabilities = material.views["probabilities"]
    labels = material.labels
    losses = cross_entropy(probabilities, labels)
    if np.isnan(losses).all():
        raise InapplicableError("no sample has a label")
    fold = np.asarray(material.views["fold"])
    scores = np.full(len(labels), np.nan)
    for label in range(material.n_classes):
        for number in np.unique(fold):
            index = np.flatnonzero((labels == label) & (fold == number))
            if index.size >= MIN_ROWS:
                scores[index] = robust_score(losses[index])
        material.progress(label + 1, material.n_classes)
    known = labels >= 0
    counts = np.bincount(labels[known], minlength=material.n_classes)
    sums = np.bincount(labels[known], losses[known], material.n_classes)
    present = np.flatnonzero(counts)
    return {
        "sample": pl.DataFrame(
            {
                "row": material.rows,
                "loss_value": pl.Series(losses).fill_nan(None),
                "loss_score": pl.Series(scores).fill_nan(None),
            }
        ),
        "class": pl.DataFrame(
            {"label": present.astype(np.int64), "loss_mean": sums[present] / counts[present]}
        ),
    }


LOSS = Detector(
    id="loss",
    version="1",
    title="Loss of the given label under the out-of-fold network",
    needs=frozenset({"probabilities", "fold", "labels"}),
    params={"min_rows": MIN_ROWS},
    citation="Yang et al. 2017, Generative Poisoning Attack Method Against Neural Networks, §V",
    run=measure,
)
