"""The shortcut probe: does something too cheap predict the label, or that the label is disputed?

A natural class is hard to tell from raw pixels; samples with a trigger predict one another almost
perfectly. Per class the probe looks for the group that low-level views predict best leave-one-out
(``candidates``), and measures how far that group stands apart inside its class and how exclusive it
is to the class (``exclusivity``); ``standing`` asks the same of disputed labels. The trigger of a
group that could pass a gate is estimated and stamped on other images (``stamping``). No clean
reference and no assumed poison rate is needed.
"""

from __future__ import annotations

import polars as pl

from auditor.detectors.group import CUT
from auditor.detectors.probe import VIEWS, fit
from auditor.detectors.stamping import STAMPED_SCHEMA, stamp_best
from auditor.detectors.standing import (
    any_row,
    any_schema,
    class_rows,
    class_schema,
    fitted_rows,
    sample_table,
    stand_apart,
)
from auditor.interfaces import Detector, Evidence, InapplicableError, Material

PREFIX = "shortcut"

CLASS_SCHEMA = class_schema(PREFIX) | dict(STAMPED_SCHEMA)
DATASET_SCHEMA = any_schema(PREFIX) | {
    name.replace("shortcut_", "shortcut_any_"): kind for name, kind in STAMPED_SCHEMA.items()
}


def measure(material: Material) -> Evidence:
    """Measure every class and the disputed samples; columns: ``docs/detectors/shortcut.md``.

    Raises:
        InapplicableError: too few labelled, distinct samples, or nothing varies.
    """
    index, by_class = fitted_rows(material)
    probe = fit(material.views["pixels"], index)
    if not probe.views:
        raise InapplicableError("all images are identical, so pixels predict nothing")
    standing = stand_apart(probe, by_class, material)
    stamped = stamp_best(probe, standing.best, material.labels, material.generator)
    rows = zip(class_rows(PREFIX, standing), stamped, strict=True)
    anywhere = any_row(PREFIX, standing)
    if standing.spread is not None and standing.disputed is not None:
        figures = stamp_best(probe, [standing.spread], standing.disputed, material.generator)[0]
        anywhere |= {n.replace("shortcut_", "shortcut_any_"): v for n, v in figures.items()}
    return {
        "sample": sample_table(PREFIX, standing, material),
        "class": pl.DataFrame([row | dict(more) for row, more in rows], schema=CLASS_SCHEMA),
        "dataset": pl.DataFrame([anywhere], schema=DATASET_SCHEMA),
    }


SHORTCUT = Detector(
    id="shortcut",
    version="5",
    title="Shortcut probe: a group of samples that low-level pixels predict too well",
    needs=frozenset({"pixels", "labels"}),
    params={"views": {name: list(view) for name, view in VIEWS.items()}, "cut": CUT},
    citation="Leave-one-out ridge in closed form (Cook & Weisberg 1982, §2.2), self-trained; "
    "spectral seeds after Tran et al. 2018",
    run=measure,
)
