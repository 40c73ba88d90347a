"""Exact duplicates: samples with the same bytes, and those of them that disagree on the label."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from auditor.interfaces import Check, Evidence


def measure(samples: pl.DataFrame, views: Mapping[str, np.ndarray]) -> Evidence:
    """Group samples by the sha256 of their encoded bytes.

    Returns:
        ``sample``: ``duplicates_of`` (row of the group's first member, null for that member and
        for single samples), ``duplicates_n`` (group size ≥ 1), ``duplicates_conflict`` (labels
        differ within the group), ``duplicates_across_splits``. ``dataset``: ``duplicates_extra``
        (samples beyond the first of their group), ``duplicates_share`` (of the scanned, 0–1).
    """
    scanned = samples.filter(pl.col("status") == "scanned")
    group = scanned.select(
        "row",
        duplicates_of=_others(pl.col("row").first().over("sha256")),
        duplicates_n=pl.len().over("sha256").cast(pl.Int64),
        duplicates_conflict=pl.col("label").drop_nulls().n_unique().over("sha256") > 1,
        duplicates_across_splits=pl.col("split").drop_nulls().n_unique().over("sha256") > 1,
    )
    extra = group["duplicates_of"].is_not_null().sum()
    dataset = pl.DataFrame(
        {"duplicates_extra": [extra], "duplicates_share": [extra / max(1, scanned.height)]}
    )
    return {"sample": group, "dataset": dataset}


def _others(first: pl.Expr) -> pl.Expr:
    return pl.when(first == pl.col("row")).then(None).otherwise(first)


DUPLICATES = Check("duplicates", "1", "Exact duplicates", measure)
