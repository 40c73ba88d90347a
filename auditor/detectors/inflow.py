"""Inflow: does one class take wrong labels from all others, without giving any back?

Whoever gives one label to pictures of everything, with whatever trigger on them, moves labels one
way. Hard pictures and careless annotation go both ways: where ships are called planes, planes are
called ships. So a class that content says holds pictures of all other classes, none of which hold
its own, was fed. Nothing is asked of the pictures: it works for triggers that no view shows, as
long as the network has not learnt them.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from auditor.detectors.labels.implausible import implausible, spread
from auditor.detectors.probing.figures import sample_frame
from auditor.detectors.probing.group import CUT
from auditor.interfaces import Detector, Evidence, InapplicableError, Material

DEPTH = 0.5
"""Depth of an implausible label, stricter than where a view is asked besides. Measured on ten
poisoned scans of 10,000 CIFAR-10 images: at 0.5 the excess of other classes stays under 3.0 (poison
up to 14.6), at 0.7 it reaches 4.2, at 0.85 4.9."""

MIN_CLASSES = 4
"""With three classes, what comes evenly from all others comes from two, as one confusion does."""

FIGURES = ("n", "reach", "excess", "median")


def flows(labels: np.ndarray, leading: np.ndarray, n_classes: int) -> np.ndarray:
    """(K, K) float64: samples labelled as the row whose content is the column's."""
    flow = np.zeros((n_classes, n_classes))
    np.add.at(flow, (labels, leading), 1)
    return flow


def one_way(coming: np.ndarray, going: np.ndarray) -> np.ndarray:
    """How much more comes than goes, in standard errors of a difference of counts."""
    lead: np.ndarray = (coming - going) / np.sqrt(coming + going + 1)
    return lead


def inflow(flow: np.ndarray, label: int) -> tuple[float, float]:
    """``excess`` of all that comes into a class, and ``median`` over the classes it comes from."""
    others = np.arange(len(flow)) != label
    coming, going = flow[label, others], flow[others, label]
    return float(one_way(coming.sum(), going.sum())), float(np.median(one_way(coming, going)))


def chances(flow: np.ndarray, labels: np.ndarray, leading: np.ndarray) -> np.ndarray:
    """(n,) chance that each implausible sample is wrong: the part of its flow that is one-way."""
    back = flow[leading, labels] + 0.5
    chance: np.ndarray = 1 - np.minimum(1, back / (flow[labels, leading] + 0.5))
    return chance


def measure(material: Material) -> Evidence:
    """Measure classes and samples; columns: ``docs/detectors/inflow.md``.

    Raises:
        InapplicableError: too few classes.
    """
    if material.n_classes < MIN_CLASSES:
        raise InapplicableError(f"{material.n_classes} classes; needs {MIN_CLASSES}")
    labels, probabilities = material.labels, material.views["probabilities"]
    deep = implausible(labels, probabilities, DEPTH)
    # Copies of one picture are one mistake.
    counted = np.flatnonzero(deep & (material.duplicate_of < 0))
    leading = probabilities.argmax(axis=1)
    flow = flows(labels[counted], leading[counted], material.n_classes)
    score = np.where(labels >= 0, 0.0, np.nan)
    score[deep] = chances(flow, labels[deep], leading[deep])
    classes = []
    for label in np.unique(labels[labels >= 0]).tolist():
        own = counted[labels[counted] == label]
        reach = spread(leading[own], material.n_classes) / (material.n_classes - 1)
        figures = (len(own), reach, *inflow(flow, label))
        classes.append({"label": label} | dict(zip(_columns(), figures, strict=True)))
    schema: dict[str, type[pl.DataType]] = {"label": pl.Int64} | dict.fromkeys(
        _columns(), pl.Float64
    )
    suggested = pl.Series("inflow_suggested", np.where(deep, leading, -1)).replace(-1, None)
    return {
        "sample": sample_frame(material.rows, {"inflow": score}).with_columns(suggested),
        "class": pl.DataFrame(classes, schema=schema | {"inflow_n": pl.Int64}),
    }


def _columns() -> list[str]:
    return [f"inflow_{name}" for name in FIGURES]


INFLOW = Detector(
    id="inflow",
    version="2",
    title="Inflow: classes that take wrong labels from all others and give none back",
    needs=frozenset({"probabilities", "labels"}),
    params={"depth": DEPTH, "cut": CUT},
    citation="Joint counts of given and likely labels (Northcutt et al. 2021, §3), asked for "
    "asymmetry (Bowker 1948)",
    run=measure,
)
