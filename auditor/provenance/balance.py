"""Class balance, and datasets from which little can be learnt whatever their content."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from auditor.interfaces import Check, Evidence


def measure(samples: pl.DataFrame, views: Mapping[str, np.ndarray]) -> Evidence:
    """Count samples by class.

    Returns:
        ``class``: ``balance_n``, ``balance_share`` (of the labelled, 0–1), ``balance_ratio``
        (to the median class). ``dataset``: ``balance_n_classes`` (with samples),
        ``balance_smallest``, ``balance_imbalance`` (largest ÷ smallest class),
        ``balance_unlabelled``, ``balance_distinct`` (different contents).
    """
    scanned = samples.filter(pl.col("status") == "scanned")
    labelled = scanned.filter(pl.col("label").is_not_null())
    counts = labelled.group_by("label").agg(balance_n=pl.len().cast(pl.Int64)).sort("label")
    classes = counts.with_columns(
        balance_share=pl.col("balance_n") / max(1, labelled.height),
        balance_ratio=pl.col("balance_n") / pl.col("balance_n").median(),
    )
    sizes = counts["balance_n"]
    smallest = sizes.min() if counts.height else None
    dataset = pl.DataFrame(
        {
            "balance_n_classes": [counts.height],
            "balance_smallest": [smallest],
            "balance_imbalance": [sizes.max() / sizes.min() if counts.height else None],  # type: ignore[operator]
            "balance_unlabelled": [scanned.height - labelled.height],
            "balance_distinct": [scanned["sha256"].n_unique()],
            "balance_n": [scanned.height],
        },
        schema_overrides={"balance_smallest": pl.Int64, "balance_imbalance": pl.Float64},
    )
    return {"class": classes, "dataset": dataset}


BALANCE = Check("balance", "1", "Class balance", measure)
