"""Evidence tables of the probes that measure one group, or a few, a class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

from auditor.detectors.exclusivity import Measured
from auditor.detectors.group import CUT
from auditor.interfaces import Material

FIGURES = ("separation", "contrast", "gap", "shoulder", "excess", "strength")


def class_frame(name: str, best: Sequence[Measured]) -> pl.DataFrame:
    """One row a class: ``label``, ``<name>_n`` and the `FIGURES` of its best group."""
    rows = [
        {
            "label": one.group.label,
            f"{name}_n": one.group.size,
            f"{name}_separation": one.group.separation,
            f"{name}_contrast": one.group.contrast,
            f"{name}_gap": one.group.gap,
            f"{name}_shoulder": one.group.shoulder,
            f"{name}_excess": one.excess,
            f"{name}_strength": one.group.strength,
        }
        for one in best
    ]
    schema = {"label": pl.Int64, f"{name}_n": pl.Int64}
    return pl.DataFrame(
        rows, schema=schema | {f"{name}_{figure}": pl.Float64 for figure in FIGURES}
    )


def sample_frame(name: str, material: Material, best: Sequence[Measured]) -> pl.DataFrame:
    """``<name>_score`` and ``<name>_member``: each row beside the groups of its class.

    The nearest group counts; null where a sample has no label or its class was not searched.
    """
    column = f"{name}_score"
    frame = pl.DataFrame({"row": material.rows, column: nearest(material.labels, best)})
    return frame.with_columns(pl.col(column).fill_nan(None)).with_columns(
        (pl.col(column) > CUT).alias(f"{name}_member")
    )


def nearest(labels: np.ndarray, groups: Iterable[Measured]) -> np.ndarray:
    """(N,) float64, 0–1: each row beside the nearest group of its class, NaN without one."""
    score = np.full(len(labels), np.nan)
    for one in groups:
        own = labels == one.group.label
        score[own] = np.fmax(score[own], one.scores(one.places))
    return score
