"""Sources: who supplied how much, and of which classes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from auditor.interfaces import Check, Evidence
from auditor.provenance.naming import name_some

DOMINANT = 0.5
"""Share of a class from which one source decides what is learnt of it."""

ELSEWHERE = 0.1
"""Share of the other classes up to which a source that supplies most of one is unusual."""

MIN_CLASS = 20
"""Samples of a class below which one supplier is no news."""


def measure(samples: pl.DataFrame, views: Mapping[str, np.ndarray]) -> Evidence:
    """Share out the samples that have a source.

    Returns:
        ``source``: ``sources_n`` (samples), ``sources_share`` (of all with a source), both of every
        source. ``class``: ``sources_top`` (the class's largest source), ``sources_top_share`` (its
        share of the class), ``sources_top_elsewhere`` (its share of all other classes).
        ``dataset``: ``sources_n_sources``, ``sources_n_dominated`` (classes of which one source
        supplies half or more, and hardly any of the others) and ``sources_dominated``, some names.
    """
    known = samples.filter((pl.col("status") == "scanned") & pl.col("source").is_not_null())
    counts = known.group_by("source").agg(sources_n=pl.len().cast(pl.Int64)).sort("source")
    shares = counts.with_columns(sources_share=pl.col("sources_n") / max(1, known.height))
    labelled = known.filter(pl.col("label").is_not_null())
    classes = _by_class(labelled)
    dominated = classes.filter(
        (pl.col("sources_top_share") >= DOMINANT)
        & (pl.col("sources_top_elsewhere") <= ELSEWHERE)
        & (pl.col("n_class") >= MIN_CLASS)
    )
    words = dominated.select(
        pl.format(
            "{} ({} of {} from {})",
            "class_name",
            "n_here",
            "n_class",
            pl.col("sources_top").str.head(60),
        )
    )
    dataset = pl.DataFrame(
        {
            "sources_n_sources": [counts.height],
            "sources_n_dominated": [dominated.height],
            "sources_dominated": [name_some(words.to_series())],
        },
        schema_overrides={"sources_dominated": pl.String},
    )
    kept = classes.select("label", "sources_top", "sources_top_share", "sources_top_elsewhere")
    return {"source": shares, "class": kept, "dataset": dataset}


def _by_class(labelled: pl.DataFrame) -> pl.DataFrame:
    """The largest source of each class, and what it supplies of the others; null if alone."""
    cells = labelled.group_by("label", "class_name", "source").agg(n_here=pl.len())
    n_class, n_source = pl.col("n_here").sum().over("label"), pl.col("n_here").sum().over("source")
    others = labelled.height - n_class
    table = cells.with_columns(
        n_class=n_class,
        sources_top_share=pl.col("n_here") / n_class,
        sources_top_elsewhere=pl.when(others > 0).then((n_source - pl.col("n_here")) / others),
    )
    ordered = table.sort(["label", "n_here", "source"], descending=[False, True, False])
    return ordered.unique("label", keep="first", maintain_order=True).rename(
        {"source": "sources_top"}
    )


SOURCES = Check("sources", "1", "Sources", measure)
