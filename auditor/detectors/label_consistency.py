"""Label consistency: does the content agree with the label?

Out-of-fold probabilities of the network and of a ridge classifier on its penultimate layer
(``second_opinion``) say how likely each label is wrong (``noise``); the labels of the nearest
neighbours in that layer are shown beside them.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from auditor.detectors.labels.confidence import CONFIDENT
from auditor.detectors.labels.neighbours import MAX_REFERENCE, N_NEIGHBOURS, neighbour_agreement
from auditor.detectors.labels.noise import MIN_CLASS, Judgement, judge_labels
from auditor.detectors.labels.second_opinion import STRENGTH, both_opinions
from auditor.interfaces import Detector, Evidence, InapplicableError, Material

WRONG = 0.5
"""Posterior above which a label is counted as wrong: the choice with the fewest errors."""


def agreement_by_fold(material: Material) -> np.ndarray:
    """(N,) float32, 0–1: neighbours that carry the sample's label; NaN without a label."""
    fold = np.asarray(material.views["fold"])
    agreement = np.full(len(fold), np.nan, np.float32)
    numbers = np.unique(fold)
    for done, number in enumerate(numbers):
        index = np.flatnonzero((fold == number) & (material.labels >= 0))
        features = material.views["penultimate"][index]
        agreement[index] = neighbour_agreement(features, material.labels[index], material.generator)
        material.progress(done + 1, len(numbers))
    return agreement


def class_evidence(judgement: Judgement, labels: np.ndarray, n_classes: int) -> pl.DataFrame:
    """Per class the share of labels thought wrong and what those samples are most often."""
    wrong = np.nan_to_num(judgement.posterior) > WRONG
    judged = ~np.isnan(judgement.posterior)
    size = np.bincount(labels[judged], minlength=n_classes)
    moved = np.bincount(
        labels[wrong] * n_classes + judgement.suggested[wrong], minlength=n_classes**2
    ).reshape(n_classes, n_classes)
    present = np.flatnonzero(size)
    n_wrong = moved[present].sum(axis=1)
    return pl.DataFrame(
        {
            "label": present.astype(np.int64),
            "label_consistency_noise_rate": n_wrong / size[present],
            "label_consistency_confused_with": pl.Series(
                [int(moved[k].argmax()) if moved[k].any() else None for k in present],
                dtype=pl.Int64,
            ),
            "label_consistency_confused_share": moved[present].max(axis=1) / size[present],
        }
    )


def dataset_evidence(judgement: Judgement) -> pl.DataFrame:
    """The rate of wrong labels, with the interval that the floor's own sampling error gives."""
    judged = ~np.isnan(judgement.posterior)
    rate = float(judgement.posterior[judged].mean(dtype=np.float64))
    floor = judgement.floor
    scale = rate / floor.rate if floor.rate > 0 else 1.0
    wrong = np.nan_to_num(judgement.posterior) > WRONG
    return pl.DataFrame(
        {
            "label_consistency_noise_rate": [rate],
            "label_consistency_noise_low": [min(1.0, scale * floor.low)],
            "label_consistency_noise_high": [min(1.0, scale * floor.high)],
            "label_consistency_wrong_share": [float(wrong.sum() / judged.sum())],
        }
    )


def measure(material: Material) -> Evidence:
    """Judge every label.

    Raises:
        InapplicableError: no class has 20 labelled samples.
    """
    labels = material.labels
    views = material.views
    fold = np.asarray(views["fold"])
    probabilities = both_opinions(views["probabilities"], views["penultimate"], fold, labels)
    judgement = judge_labels(probabilities, labels)
    if np.isnan(judgement.posterior).all():
        agreed = float((judgement.suggested == labels)[labels >= 0].mean())
        if not np.isnan(judgement.given).all():
            raise InapplicableError(
                f"the reference agrees with only {agreed:.0%} of the labels: it knows too little "
                "of this dataset to tell a wrong label from a hard image"
            )
        raise InapplicableError(f"no class has {MIN_CLASS} samples with a label")
    sample = pl.DataFrame(
        {
            "row": material.rows,
            "label_consistency_posterior": pl.Series(judgement.posterior).fill_nan(None),
            "label_consistency_given": pl.Series(judgement.given).fill_nan(None),
            "label_consistency_suggested": judgement.suggested.astype(np.int64),
            "label_consistency_neighbours": pl.Series(agreement_by_fold(material)).fill_nan(None),
        }
    )
    classes = class_evidence(judgement, labels, material.n_classes)
    return {"sample": sample, "class": classes, "dataset": dataset_evidence(judgement)}


LABEL_CONSISTENCY = Detector(
    id="label_consistency",
    version="3",
    title="Label consistency: labels that the content disputes",
    needs=frozenset({"probabilities", "penultimate", "fold", "labels"}),
    params={
        "n_neighbours": N_NEIGHBOURS,
        "max_reference": MAX_REFERENCE,
        "min_class": MIN_CLASS,
        "confident": CONFIDENT,
        "strength": STRENGTH,
    },
    citation="Northcutt, Jiang, Chuang 2021, Confident Learning; Efron 2004; Zhu et al. 2022; "
    "Wolpert 1992",
    run=measure,
)
