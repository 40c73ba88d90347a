"""What is said of the groups that a probe finds, in evidence tables: their figures, and who is in.

The detectors that search for such groups name their columns ``<detector>_<figure>``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import polars as pl

from auditor.detectors.probing.exclusivity import Measured
from auditor.detectors.probing.group import CUT

FIGURES: Mapping[str, type[pl.DataType]] = {
    "n": pl.Int64,
    "share": pl.Float64,
    "separation": pl.Float64,
    "contrast": pl.Float64,
    "gap": pl.Float64,
    "shoulder": pl.Float64,
    "excess": pl.Float64,
    "edge": pl.Float64,
    "strength": pl.Float64,
}
"""What is measured of a group, in the order of the tables; see `Group` and `Measured`."""


def figures(prefix: str, one: Measured) -> dict[str, object]:
    """The `FIGURES` of one group, each as ``<prefix>_<figure>``."""
    group = one.group
    values = {
        "n": group.size,
        "share": group.size / len(group.rows),
        "separation": group.separation,
        "contrast": group.contrast,
        "gap": group.gap,
        "shoulder": group.shoulder,
        "excess": one.excess,
        "edge": one.edge,
        "strength": group.strength,
    }
    return {f"{prefix}_{name}": values[name] for name in FIGURES}


def figures_schema(prefix: str) -> dict[str, type[pl.DataType]]:
    """Columns of `figures` and their types."""
    return {f"{prefix}_{name}": kind for name, kind in FIGURES.items()}


def sample_frame(rows: np.ndarray, scores: Mapping[str, np.ndarray]) -> pl.DataFrame:
    """Who is in a group, one row a sample.

    Args:
        rows: (N,) uint64 row ids.
        scores: name → (N,) float64, 0–1 with the members' cut at 0.5, NaN where nothing was
            measured.

    Returns:
        ``row``, ``<name>_score`` and ``<name>_member``, null where nothing was measured.
    """
    columns = {f"{name}_score": score for name, score in scores.items()}
    frame = pl.DataFrame({"row": rows} | columns).with_columns(pl.col(*columns).fill_nan(None))
    return frame.with_columns(
        (pl.col(f"{name}_score") > CUT).alias(f"{name}_member") for name in scores
    )


def nearest(labels: np.ndarray, groups: Iterable[Measured]) -> np.ndarray:
    """(N,) float64, 0–1: each row beside the nearest group of its class, NaN without one."""
    score = np.full(len(labels), np.nan)
    for one in groups:
        own = labels == one.group.label
        score[own] = np.fmax(score[own], one.scores(one.places))
    return score
