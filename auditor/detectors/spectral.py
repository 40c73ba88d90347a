"""Spectral signatures: does one direction of a class's activations hide a second population?

A backdoor that the network learnt gives triggered samples a common direction, which the top
right-singular vector of the centred class finds. Without whitening that vector is mostly natural
variation; the pooled within-class covariance takes it out. No removal budget: the class is measured
by how far its best minority stands apart along the direction, in both folds.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from auditor.detectors.populations.subpopulation import (
    MIN_BLOCK,
    MIN_MINOR,
    SHRINKAGE,
    best_split,
    class_blocks,
    class_table,
    leading,
    nullable,
    read_block,
    second_moment,
    whitener,
)
from auditor.interfaces import Detector, Evidence, Material


def squared_projection(
    rows: np.ndarray, gram: np.ndarray, root: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, float]:
    """Project centred rows, whitened first if a whitener is given, on their top singular vector.

    Args:
        rows: (n, D) float32, centred.
        gram: (D, D) float64, rowsᵀ·rows.
        root: (D, D) float32, symmetric, by which the rows are multiplied first.

    Returns:
        (n,) projections, (n,) squared projections over their mean, and the ratio of the first to
        the second eigenvalue of the covariance. Source: Tran et al. 2018, Spectral Signatures in
        Backdoor Attacks, Algorithm 1; deviation: scores are divided by their mean.
    """
    if root is None:
        values, vectors = leading(gram, 2)
        direction = vectors[:, -1].astype(np.float32)
    else:
        # S·RᵀR·S instead of the whitened rows' own product: D³ and not n·D², and n is larger.
        values, vectors = leading((root @ gram.astype(np.float32) @ root).astype(np.float64), 2)
        direction = root @ vectors[:, -1].astype(np.float32)
    projection = rows @ direction
    squared = projection.astype(np.float64) ** 2
    return (
        projection,
        squared / max(squared.mean(), 1e-30),
        float(values[-1] / max(values[0], 1e-30)),
    )


def measure(material: Material) -> Evidence:
    """Score samples and classes; null where a class has under 60 samples in a fold."""
    blocks = class_blocks(material)
    features = material.views["penultimate"]
    n = len(material.labels)
    plain, score, minority = np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan)
    found: dict[int, list[dict[str, float]]] = {}
    roots = {
        fold: whitener(features, [block for block in blocks if block.fold == fold])
        for fold in {block.fold for block in blocks}
    }
    for done, block in enumerate(blocks):
        rows = read_block(features, block)
        gram = second_moment(rows)
        plain[block.index] = squared_projection(rows, gram)[1]
        projection, score[block.index], gap = squared_projection(rows, gram, roots[block.fold])
        split = best_split(projection)
        minority[block.index] = split.minor
        found.setdefault(block.label, []).append(
            {
                "spectral_separation": split.separation,
                "spectral_share": split.share,
                "spectral_gap": gap,
            }
        )
        material.progress(done + 1, len(blocks))
    sample = pl.DataFrame(
        {
            "row": material.rows,
            "spectral_plain": nullable(plain, pl.Float64),
            "spectral_score": nullable(score, pl.Float64),
            "spectral_minority": nullable(minority, pl.Boolean),
        }
    )
    return {"sample": sample, "class": class_table(found)}


SPECTRAL = Detector(
    id="spectral",
    version="2",
    title="Spectral signatures: a second population along one direction of a class",
    needs=frozenset({"penultimate", "probabilities", "fold", "labels"}),
    params={"min_block": MIN_BLOCK, "min_minor": MIN_MINOR, "shrinkage": SHRINKAGE},
    citation="Tran, Li, Madry 2018, Spectral Signatures in Backdoor Attacks",
    run=measure,
)
