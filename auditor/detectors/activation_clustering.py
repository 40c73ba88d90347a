"""Activation clustering: do a class's activations fall into two clusters?

Chen's size and silhouette thresholds call every clean class poisoned whose photos come in two
kinds, so they are measured here and not trusted alone: the two clusters must also stand apart
along the line between their centres, further than any single population does, in both folds.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy.linalg import eigh

from auditor.detectors.subpopulation import (
    MIN_BLOCK,
    class_blocks,
    class_table,
    nullable,
    read_block,
)
from auditor.interfaces import Detector, Evidence, Material

N_COMPONENTS = 10
"""Chen et al. 2018, §4: ten dimensions, whatever the network."""

SILHOUETTE_ROWS = 1_000
"""The silhouette takes n² distances; of 1,000 rows its standard error is below 0.01."""

N_STARTS = 3


def principal_components(rows: np.ndarray, n_components: int) -> np.ndarray:
    """(n, D) float32 centred rows → (n, min(D, n_components)) float32 principal components."""
    width = rows.shape[1]
    gram = (rows.T @ rows).astype(np.float64)
    _, vectors = eigh(gram, subset_by_index=[max(width - n_components, 0), width - 1])
    components: np.ndarray = rows @ vectors.astype(np.float32)
    return components


def cluster(rows: np.ndarray, seed: int) -> tuple[np.ndarray, dict[str, float]]:
    """Two clusters of centred activations and how real they are.

    Args:
        rows: (n, D) float32, centred.
        seed: of the starting centres and the silhouette's sample.

    Returns:
        (n,) bool, who is in the smaller cluster, and the measures ``separation`` (distance of the
        centres over the sum of both deviations along the line between them: 1.3 for a normal
        population cut in two), ``share`` of the smaller cluster and ``silhouette`` (−1…1).
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    reduced = principal_components(rows, N_COMPONENTS)
    model = KMeans(2, n_init=N_STARTS, random_state=seed).fit(reduced)
    minor = model.labels_ == int(np.argmin(np.bincount(model.labels_, minlength=2)))
    if not 0 < minor.sum() < len(minor):
        return minor, {"separation": 0.0, "share": 0.0, "silhouette": 0.0}
    line = reduced @ (reduced[minor].mean(axis=0) - reduced[~minor].mean(axis=0))
    spread = float(line[minor].std() + line[~minor].std())
    gap = float(line[minor].mean() - line[~minor].mean())
    step = -(-len(minor) // SILHOUETTE_ROWS)
    some = slice(None, None, step)
    mixed = np.unique(minor[some]).size > 1
    silhouette = float(silhouette_score(reduced[some], minor[some])) if mixed else 0.0
    return minor, {
        "separation": gap / max(spread, 1e-6 * abs(gap), 1e-30),
        "share": float(minor.mean()),
        "silhouette": silhouette,
    }


def measure(material: Material) -> Evidence:
    """Cluster each class within each fold; null where a class has under 60 samples in a fold."""
    blocks = class_blocks(material)
    minority = np.full(len(material.labels), np.nan)
    found: dict[int, list[dict[str, float]]] = {}
    seed = int(material.generator.integers(2**31))
    for done, block in enumerate(blocks):
        rows = read_block(material.views["penultimate"], block)
        minority[block.index], measures = cluster(rows, seed)
        found.setdefault(block.label, []).append(
            {f"activation_clustering_{name}": value for name, value in measures.items()}
        )
        material.progress(done + 1, len(blocks))
    sample = pl.DataFrame(
        {
            "row": material.rows,
            "activation_clustering_minority": nullable(minority, pl.Boolean),
        }
    )
    return {"sample": sample, "class": class_table(found)}


ACTIVATION_CLUSTERING = Detector(
    id="activation_clustering",
    version="1",
    title="Activation clustering: two clusters within a class",
    needs=frozenset({"penultimate", "probabilities", "fold", "labels"}),
    params={"n_components": N_COMPONENTS, "min_block": MIN_BLOCK, "n_starts": N_STARTS},
    citation="Chen et al. 2018, Detecting Backdoor Attacks by Activation Clustering",
    run=measure,
)
