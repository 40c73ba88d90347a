"""What samples with implausible labels share: by it, how they stand among three kinds of others.

In each class, the samples whose label is implausible are predicted from columns that say nothing of
content, each left out of its own fit. Wrong labels alone predict nothing; those that come with one
way of processing stand above the rest of their class, above the implausible samples of other
classes and above all others. In such a class, prediction and content together tell who belongs to
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from auditor.detectors.labels.implausible import (
    MIN_IMPLAUSIBLE,
    START,
    TOP,
    Odds,
    at_top,
    content_odds,
    excess,
    judge,
    precedence,
    spread,
)
from auditor.detectors.probing.exclusivity import MAX_SCORES
from auditor.detectors.probing.probe import Probe, predict
from auditor.detectors.probing.ridge import blocks, leave_one_out
from auditor.interfaces import Material

COUNTS = ("n", "share", "spread")
"""Figures of a class's implausible samples, the same in every view."""

RANKS = ("within", "among", "alike", "top", "excess")
"""Figures of how they stand in one view."""

ANYWHERE = ("within", "alike", "top", "excess", "labels")
"""Figures of how all implausible samples, whatever their label, stand in one view; ``labels``: the
effective number of labels of those above 95 % of the plausible ones."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of one view: whose labels are implausible, and what it shows of them.

    Attributes:
        probe: one view of all samples, fitted on distinct labelled ones, their leverage filled.
        deep: (N,) bool, implausible labels.
        material: labels and content probabilities.
    """

    probe: Probe
    deep: np.ndarray
    material: Material


@dataclass(frozen=True, slots=True)
class Fitted:
    """What is known of the n fitted rows of a question.

    Attributes:
        own: (n,) int64 labels.
        wrong: (n,) bool, implausible labels.
        leading: (n,) int64, the class that the content points to.
    """

    own: np.ndarray
    wrong: np.ndarray
    leading: np.ndarray


def fitted_of(material: Material, index: np.ndarray, deep: np.ndarray) -> Fitted:
    """The rows ``index`` of a material; ``deep``: (N,) bool, implausible labels."""
    leading = material.views["probabilities"][index].argmax(axis=1)
    return Fitted(material.labels[index], deep[index], leading)


def counts(fitted: Fitted, label: int, n_classes: int) -> dict[str, float]:
    """`COUNTS` of one class."""
    inside = fitted.own == label
    group = inside & fitted.wrong
    n = int(group.sum())
    return dict(
        zip(
            COUNTS,
            (n, n / int(inside.sum()), spread(fitted.leading[group], n_classes)),
            strict=True,
        )
    )


def ranks(
    question: Question, asked: Mapping[int, np.ndarray]
) -> dict[int, dict[str, float | None]]:
    """`RANKS` of the classes asked for: label → its implausible fitted rows."""
    probe, n = question.probe, len(question.deep)
    fitted = fitted_of(question.material, probe.index, question.deep)
    width = max(1, MAX_SCORES // n)
    chosen = list(asked)
    found: dict[int, dict[str, float | None]] = {}
    for start in range(0, len(chosen), width):
        part = chosen[start : start + width]
        targets = np.zeros((n, len(part)), np.float32)
        for column, label in enumerate(part):
            targets[asked[label], column] = 1
        scores = predictions(probe, probe.index, targets)
        for label, score in zip(part, scores.T, strict=True):
            found[label] = dict(zip(RANKS, _ranks(score, fitted, label), strict=True))
    return found


def _ranks(score: np.ndarray, fitted: Fitted, label: int) -> tuple[float | None, ...]:
    """`RANKS` of one class from the predictions (n,) of the fitted rows."""
    inside, wrong = fitted.own == label, fitted.wrong
    group, rest, others = inside & wrong, score[inside & ~wrong], score[wrong & ~inside]
    members = score[group]
    alike, top = _beside_peers(score, fitted, group)
    top = min(top, at_top(members, rest))
    among = None
    if len(others) >= MIN_IMPLAUSIBLE:
        among, top = precedence(members, others), min(top, at_top(members, others))
    return precedence(members, rest), among, alike, top, excess(top, int(group.sum()))


def _beside_peers(score: np.ndarray, fitted: Fitted, group: np.ndarray) -> tuple[float, float]:
    """Rank, and share at the top, of a group above samples labelled as its content shows."""
    alike = top = 0.0
    n = int(group.sum())
    for content in np.unique(fitted.leading[group]).tolist():
        part = score[group & (fitted.leading == content)]
        # A wrong label from one class has the looks of that class: it must stand above it.
        peers = score[(fitted.own == content) & (fitted.leading == content)]
        alike += len(part) * precedence(part, peers) / n
        top += len(part) * at_top(part, peers) / n
    return alike, top


def anywhere(question: Question) -> dict[str, float]:
    """`ANYWHERE`: implausible samples of all classes together, of which there must be some."""
    index = question.probe.index
    fitted = fitted_of(question.material, index, question.deep)
    targets = question.deep.astype(np.float32)[:, None]
    score = predictions(question.probe, index, targets)[:, 0]
    members, rest = score[fitted.wrong], score[~fitted.wrong]
    alike, top = _beside_peers(score, fitted, fitted.wrong)
    top = min(top, at_top(members, rest))
    first = members > np.quantile(rest, TOP)
    labels = spread(fitted.own[fitted.wrong][first], question.material.n_classes)
    figures = precedence(members, rest), alike, top, excess(top, len(members)), labels
    return dict(zip(ANYWHERE, figures, strict=True))


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


def chances(
    question: Question, label: int, fitted: np.ndarray, members: np.ndarray, rounds: int
) -> np.ndarray:
    """(c,) chance that each sample of a class, in row order, is one of its wrong ones.

    Args:
        question: the view.
        label: the class.
        fitted: (f,) int64, its distinct rows.
        members: (n,) int64, the implausible ones of them.
        rounds: of predicting and judging.
    """
    labels = question.material.labels
    own = np.flatnonzero(labels == label)
    given = np.asarray(question.material.views["probabilities"][:, label], np.float64)
    odds = content_odds(given[own], given[(labels >= 0) & (labels != label)])
    return _judged(question, own, odds, np.isin(own, fitted), members, rounds)


def chances_anywhere(question: Question, rounds: int) -> np.ndarray:
    """(m,) chance that each labelled sample, in row order, is wrong, whatever its label."""
    labels = question.material.labels
    own = np.flatnonzero(labels >= 0)
    given = np.asarray(question.material.views["probabilities"][own], np.float64)
    right = np.zeros(given.shape, bool)
    right[np.arange(len(own)), labels[own]] = True
    odds = content_odds(given[right], given[~right])
    distinct = np.isin(own, question.probe.index)
    return _judged(question, own, odds, distinct, own[distinct & question.deep[own]], rounds)


def _judged(
    question: Question,
    own: np.ndarray,
    odds: Odds,
    distinct: np.ndarray,
    members: np.ndarray,
    rounds: int,
) -> np.ndarray:
    """Rounds of predicting who is wrong among the rows ``own``, and judging; (len(own),) chances.

    ``distinct``: which of them are fitted; ``members``: rows that start as wrong.
    """
    targets = np.zeros((len(question.deep), 1), np.float32)
    targets[members] = START
    chance = np.zeros(len(own))
    for _ in range(rounds):
        predicted = predictions(question.probe, own, targets)[:, 0].astype(np.float64)
        chance = judge(predicted, np.where(distinct, targets[own, 0], 0.0), odds)
        targets[own, 0] = np.where(distinct, chance, 0.0)
    return chance
