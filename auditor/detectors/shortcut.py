"""The shortcut probe: does something too cheap predict the label, or that the label is disputed?

A natural class is hard to tell from raw pixels; samples with a trigger predict one another almost
perfectly. Per class the probe looks for the group that low-level views predict best leave-one-out
(``candidates``), and measures how far that group stands apart inside its class and how exclusive it
is to the class (``exclusivity``); ``standing`` asks the same of disputed labels. The trigger of a
group that could pass a gate is estimated and stamped on other images (``stamping``). No clean
reference and no assumed poison rate is needed.
"""

from __future__ import annotations

from collections.abc import Collection

import polars as pl

from auditor.detectors.probing.group import CUT
from auditor.detectors.probing.probe import VIEWS, fit
from auditor.detectors.probing.stamping import STAMPED_SCHEMA, stamp_best
from auditor.detectors.probing.standing import OPINIONS, Standing, fitted_rows, stand_apart
from auditor.detectors.probing.standing import tables as group_tables
from auditor.interfaces import Detector, Evidence, InapplicableError, Material

PREFIX = "shortcut"

STAMPED_ANY_SCHEMA = {
    name.replace("shortcut_", "shortcut_any_"): kind for name, kind in STAMPED_SCHEMA.items()
}


def measure(material: Material) -> Evidence:
    """Measure every class and the disputed samples; columns: ``docs/detectors/shortcut.md``.

    Raises:
        InapplicableError: too few labelled, distinct samples, or nothing varies.
    """
    standing = look(material)
    evidence = tables(standing, material)
    probe, generator = standing.probe, material.generator
    stamped = stamp_best(probe, standing.best, material.labels, generator)
    anywhere: dict[str, object] = {}
    if standing.spread is not None:
        spread = standing.spread
        figures = stamp_best(probe, [spread.measured], spread.disputed, generator)[0]
        anywhere = {n.replace("shortcut_", "shortcut_any_"): v for n, v in figures.items()}
    return {
        "sample": evidence["sample"],
        "class": _beside(evidence["class"], pl.DataFrame(stamped, schema=STAMPED_SCHEMA)),
        "dataset": _beside(
            evidence["dataset"], pl.DataFrame([anywhere], schema=STAMPED_ANY_SCHEMA)
        ),
    }


def _beside(left: pl.DataFrame, right: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([left, right], how="horizontal")


def look(material: Material, only: Collection[int] | None = None) -> Standing:
    """Search every class and the disputed samples for the group that stands out most.

    Args:
        material: pixels and labels, and views of the content where there are any.
        only: search these classes, for one group each, and nothing else.

    Raises:
        InapplicableError: too few labelled, distinct samples, or nothing varies.
    """
    index, by_class = fitted_rows(material)
    if only is not None:
        by_class = {label: rows for label, rows in by_class.items() if label in only}
    probe = fit(material.views["pixels"], index)
    if not probe.views:
        raise InapplicableError("all images are identical, so pixels predict nothing")
    return stand_apart(probe, by_class, material, OPINIONS, one_each=only is not None)


def tables(standing: Standing, material: Material) -> Evidence:
    """What the rules ask of the groups; nothing is stamped."""
    told = group_tables(PREFIX, standing, material)
    copies = pl.Series("shortcut_copy", standing.copies)
    return {
        "sample": told["sample"].with_columns(copies),
        "class": told["class"],
        "dataset": told["dataset"].with_columns(shortcut_copies=pl.lit(int(copies.sum()))),
    }


SHORTCUT = Detector(
    id="shortcut",
    version="8",
    title="Shortcut probe: a group of samples that low-level pixels predict too well",
    needs=frozenset({"pixels", "labels"}),
    params={"views": {name: list(view) for name, view in VIEWS.items()}, "cut": CUT},
    citation="Leave-one-out ridge in closed form (Cook & Weisberg 1982, §2.2), self-trained; "
    "spectral seeds after Tran et al. 2018",
    run=measure,
)
