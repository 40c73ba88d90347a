"""Who stands apart in one probe: the best group of every class, and of the disputed labels.

Two questions are asked of a probe. Inside each class: which samples does it predict from one
another, and does no other class show what they share? Then, where content probabilities exist, the
same of all samples whose label the content disputes, taken as one class: triggers that lead to many
labels show there. Label noise shows in neither, because nothing cheap predicts it. The second
question is asked twice, of what the network and of what a linear classifier makes of the content: a
network that has learnt a trigger disputes none of the labels that it brings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import polars as pl

from auditor.detectors.labels.implausible import spread as effective_number
from auditor.detectors.probing.exclusivity import Measured, best_of_each
from auditor.detectors.probing.figures import figures, figures_schema, nearest, sample_frame
from auditor.detectors.probing.group import Group
from auditor.detectors.probing.probe import Probe, score_all, search
from auditor.detectors.probing.searching import MIN_CLASS_ROWS, Search
from auditor.interfaces import Evidence, InapplicableError, Material

MIN_ROWS = 100
"""Labelled distinct samples; below it nothing can stand apart."""

MAX_OWN_PROBABILITY = 0.3
"""A label is disputed where another class leads and the label itself gets less than this."""

SURE_GAP = 0.75
"""Gap from which a group of disputed samples claims undisputed ones too. Measured at 10,000
CIFAR-10 images: all-to-all 5 % gap 0.90, 28 of 28 claimed are poisoned; the same by texture gap
0.56, where 3 of 42 are; sample-specific triggers gap 0.21, where 29 of 44 would be."""


NETWORK: Mapping[str, str] = {"network": "probabilities"}
OPINIONS: Mapping[str, str] = {**NETWORK, "linear": "plain"}
"""Who may dispute a label, and the view that says so. The linear classifier judges by textures: of
what it disputes, much is alike in texture and sharpness on clean data too (of 10,000 Fashion-MNIST
images 19 % at the top by sharpness, in two classes), so only probes of places ask it."""

MIN_SPREAD = 25
"""Members below which a group among disputed samples is chance, however clear."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A group among the samples whose label one opinion disputes.

    Attributes:
        measured: the group.
        disputed: (N,) int64, 1 where this opinion disputes the label, 0 not, −1 unlabelled.
        opinion: a key of `OPINIONS`.
    """

    measured: Measured
    disputed: np.ndarray
    opinion: str

    @property
    def merit(self) -> tuple[bool, float]:
        """What decides between the groups of two opinions."""
        return self.measured.group.size >= MIN_SPREAD, self.measured.merit


@dataclass(frozen=True, slots=True)
class Standing:
    """The groups of one probe.

    Attributes:
        probe: the probe.
        best: the best group of each class, by label.
        further: label → the groups found beside the best one, each as far out as it must be.
        disputed: (N,) int64, 1 where the network disputes the label, 0 not, −1 unlabelled; None
            where no network was trained.
        shown: (N,) int64, the class that the network sees in each image; None as above.
        spread: the best group among disputed samples; None where there are too few of them.
        copies: (N,) bool, members of groups that are one picture many times, which were set aside.
    """

    probe: Probe
    best: Sequence[Measured]
    further: Mapping[int, Sequence[Measured]]
    disputed: np.ndarray | None
    shown: np.ndarray | None
    spread: Spread | None
    copies: np.ndarray


def fitted_rows(material: Material) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """The rows that are fitted, and those of each class that is large enough to be searched.

    Near-duplicates predict one another as triggered samples do, so only the first of each counts.

    Raises:
        InapplicableError: too few labelled, distinct samples.
    """
    index = np.flatnonzero((material.labels >= 0) & (material.duplicate_of < 0))
    labels = material.labels[index]
    by_class = {int(label): index[labels == label] for label in np.unique(labels)}
    large = {label: rows for label, rows in by_class.items() if len(rows) >= MIN_CLASS_ROWS}
    if len(by_class) < 2 or len(index) < MIN_ROWS or not large:
        raise InapplicableError(
            f"{len(index)} labelled distinct samples in {len(by_class)} classes; "
            f"needs 2 classes, {MIN_ROWS} samples and a class of {MIN_CLASS_ROWS}"
        )
    return index, large


def stand_apart(
    probe: Probe,
    by_class: Mapping[int, np.ndarray],
    material: Material,
    opinions: Mapping[str, str] = NETWORK,
    *,
    one_each: bool = False,
) -> Standing:
    """Search every class, then the disputed samples.

    Args:
        probe: fitted.
        by_class: label → fitted rows.
        material: labels, and views of the content.
        opinions: of `OPINIONS`, those that may dispute labels.
        one_each: look for one group of each class and for nothing else.
    """
    groups: list[Group] = []
    for done, (label, rows) in enumerate(by_class.items()):
        groups += search(probe, label, rows, material.generator)
        material.progress(done + 1, len(by_class) + 2)
    looked = Search(probe, material, dict(by_class), np.zeros(len(material.labels), dtype=bool))
    first = best_of_each(probe, groups, material.labels)
    nobody = np.empty(0, np.int64)
    best = [one for it in first if (one := looked.without_copies(it, nobody)) is not None]
    further = {one.group.label: [] if one_each else looked.further(one) for one in best}
    material.progress(len(by_class) + 1, len(by_class) + 2)
    disputes = {name: _disputed(material, view) for name, view in opinions.items()}
    spreads = [
        _spread(probe, name, disputed, material.generator)
        for name, disputed in disputes.items()
        if disputed is not None and not one_each
    ]
    found = [one for one in spreads if one is not None]
    spread = max(found, key=lambda one: one.merit, default=None)
    material.progress(len(by_class) + 2, len(by_class) + 2)
    content = material.views.get(NETWORK["network"])
    shown = None if content is None else content.argmax(axis=1)
    return Standing(probe, best, further, disputes["network"], shown, spread, looked.copies)


def _disputed(material: Material, view: str) -> np.ndarray | None:
    """(N,) int64, 1 where the opinion ``view`` disputes the label, 0 not, −1 unlabelled."""
    probabilities = material.views.get(view)
    if probabilities is None:
        return None
    labels = material.labels
    own = probabilities[np.arange(len(labels)), np.maximum(labels, 0)]
    disputed = (probabilities.argmax(axis=1) != labels) & (own < MAX_OWN_PROBABILITY)
    return np.where(labels < 0, -1, disputed.astype(np.int64))


def _spread(
    probe: Probe, opinion: str, disputed: np.ndarray, generator: np.random.Generator
) -> Spread | None:
    """The best group among the disputed samples of all classes; None where they are too few."""
    rows = probe.index[disputed[probe.index] == 1]
    if not MIN_CLASS_ROWS <= len(rows) < len(probe.index):
        return None
    best = best_of_each(probe, search(probe, 1, rows, generator), disputed)
    return Spread(best[0], disputed, opinion) if best else None


def sample_table(prefix: str, standing: Standing, material: Material) -> pl.DataFrame:
    """Each row's place beside the best group of its class, and beside the disputed group.

    Scores lie in 0–1 with the members' cut at 0.5; null where nothing was measured.
    """
    score = nearest(material.labels, chain(standing.best, *standing.further.values()))
    scores = {prefix: score, f"{prefix}_any": _anywhere(standing, len(score))}
    return sample_frame(material.rows, scores)


def _anywhere(standing: Standing, n: int) -> np.ndarray:
    """(n,) places beside the disputed group; undisputed samples count where its edge is sure."""
    anywhere = np.full(n, np.nan)
    if standing.spread is None:
        return anywhere
    spread, disputed = standing.spread.measured, standing.spread.disputed
    anywhere[disputed >= 0] = 0
    if spread.group.gap >= SURE_GAP:
        places = spread.group.position(score_all(standing.probe, [spread.group])[:, 0])
        anywhere[disputed == 0] = spread.scores(places[disputed == 0])
    anywhere[disputed == 1] = spread.scores(spread.places)
    return anywhere


def tables(prefix: str, standing: Standing, material: Material) -> Evidence:
    """All that a probe tells of its groups: samples, classes and the disputed samples."""
    return {
        "sample": sample_table(prefix, standing, material),
        "class": pl.DataFrame(class_rows(prefix, standing), schema=class_schema(prefix)),
        "dataset": pl.DataFrame([any_row(prefix, standing)], schema=any_schema(prefix)),
    }


def class_schema(prefix: str) -> dict[str, type[pl.DataType]]:
    """Columns of `class_rows` and their types."""
    disputes = dict.fromkeys(_dispute_names(prefix), pl.Float64)
    return {"label": pl.Int64} | _group_schema(prefix) | disputes


def class_rows(prefix: str, standing: Standing) -> list[dict[str, object]]:
    """The figures of each class's best group."""
    return [
        {"label": one.group.label}
        | _group_row(prefix, one, standing.probe)
        | _disputes(prefix, one, standing)
        for one in standing.best
    ]


def any_schema(prefix: str) -> dict[str, type[pl.DataType]]:
    """Columns of `any_row` and their types."""
    more = {f"{prefix}_any_disputed": pl.Float64, f"{prefix}_any_opinion": pl.String}
    return _group_schema(f"{prefix}_any") | more


def any_row(prefix: str, standing: Standing) -> dict[str, object]:
    """The figures of the disputed group; all null where there is none."""
    if standing.spread is None:
        return dict.fromkeys(any_schema(prefix))
    spread, opinion = standing.spread.measured, standing.spread.opinion
    share = spread.group.size / (spread.group.size + spread.hits)
    more = {f"{prefix}_any_disputed": share, f"{prefix}_any_opinion": opinion}
    return _group_row(f"{prefix}_any", spread, standing.probe) | more


def _group_schema(prefix: str) -> dict[str, type[pl.DataType]]:
    return figures_schema(prefix) | {f"{prefix}_view": pl.String}


def _group_row(prefix: str, one: Measured, probe: Probe) -> dict[str, object]:
    return figures(prefix, one) | {f"{prefix}_view": list(probe.views)[one.group.view]}


def _dispute_names(prefix: str) -> tuple[str, str, str]:
    return f"{prefix}_disputed", f"{prefix}_disputed_rest", f"{prefix}_spread"


def _disputes(prefix: str, one: Measured, standing: Standing) -> dict[str, object]:
    """How often content disputes the labels of the members, and of the rest of their class.

    A group of wrongly labelled samples that look alike is disputed too, but recurs in the class it
    belongs to; a group that is disputed and exclusive owes its label to the pattern. Unless a whole
    kind of things was misfiled: of how many classes the content says the disputed members are, by
    their effective number, is 1 there.
    """
    names = _dispute_names(prefix)
    if standing.disputed is None or standing.shown is None:
        return dict.fromkeys(names)
    rows, members = one.group.rows, one.group.members
    doubted = standing.disputed[rows] == 1
    seen = standing.shown[rows[members & doubted]]
    spread = effective_number(seen, int(standing.shown.max()) + 1) if seen.size else None
    shares = (float(doubted[part].mean()) for part in (members, ~members))
    return dict(zip(names, (*shares, spread), strict=True))
