"""Sharpness: do samples with implausible labels share where their images are less sharp?

A warp between pixels leaves no pattern of pixels, and weakens fine detail in the same places of
every image it is stamped on (``detail.py``). It is too faint to gather samples without
help: the other probes, which start from what samples share, do not see it. Here the content starts:
in each class, the samples whose label is implausible are predicted from their sharpness, each left
out of its own fit. Wrong labels alone predict nothing; those that come with one way of processing
stand above the rest of their class, above the implausible samples of other classes and above all
others. In such a class, prediction and content together tell who belongs to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from auditor.detectors.detail import N_COLUMNS, local_detail
from auditor.detectors.exclusivity import MAX_SCORES
from auditor.detectors.implausible import (
    DEPTH,
    ROUNDS,
    START,
    content_odds,
    implausible,
    judge,
    precedence,
    spread,
)
from auditor.detectors.probe import Probe, fill_leverage, fit_matrix, predict
from auditor.detectors.ridge import blocks, leave_one_out
from auditor.detectors.standing import fitted_rows
from auditor.detectors.subpopulation import nullable
from auditor.interfaces import Detector, Evidence, InapplicableError, Material

STRENGTH = 0.1
"""λ, relative to the mean diagonal of the Gram: 0.05 and 0.2 find 335 and 334 (337 and 347 with
another seed) of 500 warped samples."""

MIN_IMPLAUSIBLE = 25
"""Implausible samples of a class from which it is measured: fewer predict one another by accident
(24 of clean CIFAR-10 rank 0.73 above others)."""

CUT = 0.8
"""Chance of being wrong from which a sample is a member. Measured, WaNet 5 % of 10,000 CIFAR-10
images, two seeds: 67 % and 67 % found with 9 and 22 of 9,500 clean ones; at 0.5, 80 % and 86 % with
23 and 50."""

BLOCK = 1024

FIGURES = ("n", "share", "within", "among", "alike", "spread")


@dataclass(frozen=True, slots=True)
class Question:
    """What the detector asks about: the fitted probe, and whose labels are implausible.

    Attributes:
        probe: the sharpness of all samples, fitted on distinct labelled ones.
        deep: (N,) bool, implausible labels.
        material: labels and content probabilities.
    """

    probe: Probe
    deep: np.ndarray
    material: Material


def sharpness_of(pixels: np.ndarray) -> np.ndarray:
    """(N, `N_COLUMNS`) uint8 sharpness of (N, 32, 32, 3) uint8 images, block by block."""
    coded = np.empty((len(pixels), N_COLUMNS), np.uint8)
    for start in range(0, len(pixels), BLOCK):
        coded[start : start + BLOCK] = local_detail(pixels[start : start + BLOCK])
    return coded


def measure(material: Material) -> Evidence:
    """Measure classes and samples; columns: ``docs/detectors/sharpness.md``.

    Raises:
        InapplicableError: too few labelled, distinct samples, or images without detail.
    """
    index, by_class = fitted_rows(material)
    probe = fit_matrix(
        sharpness_of(material.views["pixels"]), index, {"sharpness": (None, STRENGTH)}
    )
    if not probe.views:
        raise InapplicableError("all images are equally sharp everywhere")
    fill_leverage(probe, index)
    deep = implausible(material.labels, material.views["probabilities"])
    question = Question(probe, deep, material)
    asked = {
        label: rows[deep[rows]]
        for label, rows in by_class.items()
        if MIN_IMPLAUSIBLE <= deep[rows].sum() < len(rows)
    }
    rows = _rank(question, asked)
    score = np.full(len(deep), np.nan)
    for done, (label, members) in enumerate(asked.items()):
        own = np.flatnonzero(material.labels == label)
        score[own] = _chances(question, label, by_class[label], members, own)
        material.progress(done + 1, len(asked))
    columns = {
        "row": material.rows,
        "sharpness_score": nullable(score, pl.Float64),
        "sharpness_member": nullable(np.where(np.isnan(score), np.nan, score > CUT), pl.Boolean),
    }
    return {"sample": pl.DataFrame(columns), "class": rows}


def predictions(probe: Probe, rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Predictions (len(rows), m) float32 of ``targets`` (N, m) float32; leave-one-out where fitted.

    Rows that were not fitted have no leverage, and their target does not count.
    """
    (ridge,) = probe.views.values()
    sums = np.zeros((len(probe.mean), targets.shape[1]))
    involved = probe.index[targets[probe.index].any(axis=1)]
    for part, centred in blocks(probe.images, involved, probe.mean):
        sums += centred.T @ targets[part]
    mean = targets[involved].sum(axis=0) / np.float32(probe.n)
    fitted = predict(probe, rows, ridge.weights(sums).astype(np.float32)) + mean
    leverage = probe.leverage[0, rows][:, None]
    known = np.where(leverage > 0, targets[rows], fitted)
    return leave_one_out(fitted, known.astype(np.float32), leverage)


def _rank(question: Question, asked: Mapping[int, np.ndarray]) -> pl.DataFrame:
    """How a class's implausible samples rank by sharpness above three kinds of others."""
    probe, deep, material = question.probe, question.deep, question.material
    labels, n = material.labels, len(deep)
    own, wrong = labels[probe.index], deep[probe.index]
    leading = material.views["probabilities"].argmax(axis=1)[probe.index]
    width = max(1, MAX_SCORES // n)
    rows: list[dict[str, object]] = []
    chosen = list(asked)
    for start in range(0, len(chosen), width):
        part = chosen[start : start + width]
        targets = np.zeros((n, len(part)), np.float32)
        for column, label in enumerate(part):
            targets[asked[label], column] = 1
        scores = predictions(probe, probe.index, targets)
        for label, score in zip(part, scores.T, strict=True):
            figures = _figures(score, own == label, wrong, own, leading, material.n_classes)
            names = (f"sharpness_{name}" for name in FIGURES)
            rows.append({"label": label} | dict(zip(names, figures, strict=True)))
    schema: dict[str, type[pl.DataType]] = {"label": pl.Int64}
    schema |= {f"sharpness_{name}": pl.Float64 for name in FIGURES}
    return pl.DataFrame(rows, schema=schema | {"sharpness_n": pl.Int64})


def _figures(
    score: np.ndarray,
    inside: np.ndarray,
    wrong: np.ndarray,
    own: np.ndarray,
    leading: np.ndarray,
    n_classes: int,
) -> tuple[float | None, ...]:
    """`FIGURES` of one class.

    Args:
        score: (n,) predictions of the fitted rows.
        inside: (n,) bool, of the class.
        wrong: (n,) bool, implausible labels.
        own: (n,) int64 labels.
        leading: (n,) int64, the class that the content points to.
        n_classes: K.
    """
    group, among = inside & wrong, wrong & ~inside
    alike = 0.0
    for content in np.unique(leading[group]).tolist():
        part = group & (leading == content)
        # A wrong label from one class has the detail of that class: it must stand above it.
        peers = (own == content) & (leading == content)
        alike += int(part.sum()) * precedence(score[part], score[peers])
    n = int(group.sum())
    return (
        n,
        n / int(inside.sum()),
        precedence(score[group], score[inside & ~wrong]),
        precedence(score[group], score[among]) if among.sum() >= MIN_IMPLAUSIBLE else None,
        alike / n,
        spread(leading[group], n_classes),
    )


def _chances(
    question: Question, label: int, fitted: np.ndarray, members: np.ndarray, own: np.ndarray
) -> np.ndarray:
    """(len(own),) chance that each sample of a class is one of its wrong ones.

    ``fitted``: the distinct rows of the class; ``members``: the implausible ones of them.
    """
    labels = question.material.labels
    given = np.asarray(question.material.views["probabilities"][:, label], np.float64)
    odds = content_odds(given[own], given[(labels >= 0) & (labels != label)])
    targets = np.zeros((len(labels), 1), np.float32)
    targets[members] = START
    distinct = np.isin(own, fitted)
    for _ in range(ROUNDS):
        predicted = predictions(question.probe, own, targets)[:, 0].astype(np.float64)
        chance = judge(predicted, np.where(distinct, targets[own, 0], 0.0), odds)
        targets[own, 0] = np.where(distinct, chance, 0.0)
    return chance


SHARPNESS = Detector(
    id="sharpness",
    version="1",
    title="Sharpness: samples with implausible labels that lack detail in the same places",
    needs=frozenset({"pixels", "probabilities", "labels"}),
    params={"strength": STRENGTH, "depth": DEPTH, "min_implausible": MIN_IMPLAUSIBLE, "cut": CUT},
    citation="Leave-one-out ridge in closed form (Cook & Weisberg 1982, §2.2) on traces of "
    "resampling (cf. Popescu & Farid 2005); the two are joined as a mixture",
    run=measure,
)
