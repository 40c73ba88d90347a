"""Impostors in a network that learnt the whole dataset: half of the data teaches a trigger less.

The reference's two networks each learn from half of the poison and are asked about the other half;
a victim learns from all of it and is asked about what it learnt. It fits wrong labels too, by heart
and one by one: they are no population apart, which is what is asked for here.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from auditor.detectors.impostor import (
    MIN_GROUP,
    N_DIRECTIONS,
    N_SPLITS,
    NOTHING,
    find,
    without_copies,
)
from auditor.detectors.populations.subpopulation import MIN_BLOCK, Block
from auditor.detectors.probing.figures import sample_frame
from auditor.interfaces import Detector, Evidence, Material


def measure(material: Material) -> Evidence:
    """Score samples and classes; null where the victim agrees with under 60 samples of a class."""
    logits = np.asarray(material.views["victim_logits"])
    agreed = logits.argmax(axis=1) == material.labels
    blocks = [
        without_copies(
            Block(label, 0, np.flatnonzero(agreed & (material.labels == label))), material
        )
        for label in range(material.n_classes)
    ]
    one_network = np.zeros(len(material.labels), np.int8)
    features = material.views["victim_penultimate"]
    score, found = find(material, blocks, features, logits, one_network)
    labels = sorted(found)
    classes = {"label": pl.Series(labels, dtype=pl.Int64)} | {
        f"victim_impostor_{name}": pl.Series([found[k][0][name] for k in labels], dtype=pl.Float64)
        for name in NOTHING
    }
    return {
        "sample": sample_frame(material.rows, {"victim_impostor": score}),
        "class": pl.DataFrame(classes),
    }


VICTIM_IMPOSTOR = Detector(
    id="victim_impostor",
    version="1",
    title="Impostors in a network that learnt the whole dataset",
    needs=frozenset({"pixels", "victim_penultimate", "victim_logits", "labels"}),
    params={
        "n_directions": N_DIRECTIONS, "n_splits": N_SPLITS, "min_block": MIN_BLOCK,
        "min_group": MIN_GROUP,
    },
    citation="As impostor; a network trained on the suspected data itself as in Tang et al. 2021",
    run=measure,
)  # fmt: skip
