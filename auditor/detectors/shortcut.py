"""The shortcut probe: does something too cheap predict the label, or that the label is disputed?

A natural class is hard to tell from raw pixels; samples with a trigger predict one another almost
perfectly. Per class the probe looks for the group that low-level views predict best leave-one-out
(``candidates``), and measures how far that group stands apart inside its class and how exclusive it
is to the class (``exclusivity``). Where content probabilities exist it asks the same of the samples
whose label the content disputes, taken as one class: triggers that lead to many labels show there,
plain label noise does not. No clean reference and no assumed poison rate is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from auditor.detectors.exclusivity import Measured, best_of_each
from auditor.detectors.group import CUT, Group
from auditor.detectors.probe import VIEWS, Probe, fit, search
from auditor.detectors.stamping import STAMPED_SCHEMA, stamp_best
from auditor.interfaces import Detector, Evidence, InapplicableError, Material

MIN_ROWS = 100
MIN_CLASS_ROWS = 40
"""Below these a group of 20 is no minority of its class and nothing can stand apart."""

MAX_OWN_PROBABILITY = 0.3
"""A label is disputed where another class leads and the label itself gets less than this."""

CLASS_SCHEMA: Mapping[str, type[pl.DataType]] = {
    "label": pl.Int64,
    "shortcut_n": pl.Int64,
    "shortcut_separation": pl.Float64,
    "shortcut_contrast": pl.Float64,
    "shortcut_gap": pl.Float64,
    "shortcut_shoulder": pl.Float64,
    "shortcut_excess": pl.Float64,
    "shortcut_strength": pl.Float64,
    "shortcut_view": pl.String,
    **STAMPED_SCHEMA,
}
DATASET_SCHEMA: Mapping[str, type[pl.DataType]] = {
    **{
        name.replace("shortcut_", "shortcut_any_"): kind
        for name, kind in CLASS_SCHEMA.items()
        if name != "label"
    },
    "shortcut_any_disputed": pl.Float64,
}


def measure(material: Material) -> Evidence:
    """Measure every class and the disputed samples; columns: ``docs/detectors/shortcut.md``.

    Raises:
        InapplicableError: too few labelled, distinct samples, or nothing varies.
    """
    index, by_class = _fitted_rows(material)
    probe = fit(material.views["pixels"], index)
    if not probe.views:
        raise InapplicableError("all images are identical, so pixels predict nothing")
    groups: list[Group] = []
    for done, (label, rows) in enumerate(by_class.items()):
        groups += search(probe, label, rows, material.generator)
        material.progress(done + 1, len(by_class) + 2)
    best = best_of_each(probe, groups, material.labels)
    material.progress(len(by_class) + 1, len(by_class) + 2)
    disputed = _disputed(material)
    spread = _spread(probe, disputed, material.generator) if disputed is not None else None
    stamped = stamp_best(probe, best, material.labels, material.generator)
    any_stamped = (
        stamp_best(probe, [spread], disputed, material.generator)
        if spread is not None and disputed is not None
        else [{}]
    )
    material.progress(len(by_class) + 2, len(by_class) + 2)
    names = list(probe.views)
    return {
        "sample": _samples(material, best, disputed, spread),
        "class": pl.DataFrame(
            [
                {"label": one.group.label, **_figures(one, names), **more}
                for one, more in zip(best, stamped, strict=True)
            ],
            schema=CLASS_SCHEMA,
        ),
        "dataset": _dataset(spread, names, any_stamped[0]),
    }


def _fitted_rows(material: Material) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """The rows that are fitted, and those of each class that is large enough to be searched.

    Near-duplicates predict one another as triggered samples do, so only the first of each counts.
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


def _disputed(material: Material) -> np.ndarray | None:
    """(N,) int64: 1 where content disputes the label, 0 not, −1 unlabelled; None if unknown."""
    probabilities = material.views.get("probabilities")
    if probabilities is None:
        return None
    labels = material.labels
    own = probabilities[np.arange(len(labels)), np.maximum(labels, 0)]
    disputed = (probabilities.argmax(axis=1) != labels) & (own < MAX_OWN_PROBABILITY)
    return np.where(labels < 0, -1, disputed.astype(np.int64))


def _spread(probe: Probe, disputed: np.ndarray, generator: np.random.Generator) -> Measured | None:
    """The best group among the disputed samples of all classes; None where they are too few."""
    rows = probe.index[disputed[probe.index] == 1]
    if not MIN_CLASS_ROWS <= len(rows) < len(probe.index):
        return None
    return next(iter(best_of_each(probe, search(probe, 1, rows, generator), disputed)), None)


def _samples(
    material: Material,
    best: Sequence[Measured],
    disputed: np.ndarray | None,
    spread: Measured | None,
) -> pl.DataFrame:
    """Each row's place beside the best group of its class, and beside the disputed group."""
    score = np.full(len(material.rows), np.nan)
    for one in best:
        score[material.labels == one.group.label] = one.scores(one.places)
    anywhere = np.full(len(material.rows), np.nan)
    if spread is not None and disputed is not None:
        anywhere[disputed >= 0] = 0
        anywhere[disputed == 1] = spread.scores(spread.places)
    columns = {"shortcut_score": score, "shortcut_any_score": anywhere}
    frame = pl.DataFrame({"row": material.rows} | columns).with_columns(
        pl.col(*columns).fill_nan(None)
    )
    return frame.with_columns(
        (pl.col(name) > CUT).alias(name.replace("score", "member")) for name in columns
    )


def _figures(one: Measured, views: Sequence[str]) -> dict[str, float | int | str]:
    return {
        "shortcut_n": one.group.size,
        "shortcut_separation": one.group.separation,
        "shortcut_contrast": one.group.contrast,
        "shortcut_gap": one.group.gap,
        "shortcut_shoulder": one.group.shoulder,
        "shortcut_excess": one.excess,
        "shortcut_strength": one.group.strength,
        "shortcut_view": views[one.group.view],
    }


def _dataset(
    spread: Measured | None, views: Sequence[str], stamped: Mapping[str, float | int | None]
) -> pl.DataFrame:
    """One row; all null where no probabilities exist or too few labels are disputed."""
    if spread is None:
        return pl.DataFrame([dict.fromkeys(DATASET_SCHEMA)], schema=DATASET_SCHEMA)
    figures = {
        name.replace("shortcut_", "shortcut_any_"): value
        for name, value in {**_figures(spread, views), **stamped}.items()
    }
    share = spread.group.size / (spread.group.size + spread.hits)
    return pl.DataFrame([figures | {"shortcut_any_disputed": share}], schema=DATASET_SCHEMA)


SHORTCUT = Detector(
    id="shortcut",
    version="2",
    title="Shortcut probe: a group of samples that low-level pixels predict too well",
    needs=frozenset({"pixels", "labels"}),
    params={"views": {name: list(view) for name, view in VIEWS.items()}, "cut": CUT},
    citation="Leave-one-out ridge in closed form (Cook & Weisberg 1982, §2.2), self-trained; "
    "spectral seeds after Tran et al. 2018",
    run=measure,
)
