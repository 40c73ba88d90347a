"""Ways out of the dataset: links, special files, and names that lead elsewhere."""

from __future__ import annotations

import polars as pl

from auditor.interfaces import Evidence, FileCheck
from auditor.provenance.naming import name_some


def measure(inventory: pl.DataFrame, samples: pl.DataFrame) -> Evidence:
    """Count what points out of the dataset's folder.

    Returns:
        ``dataset``: ``links_n_leaving`` (links whose target lies outside), ``links_n_escaping``
        (samples that a table names by a path outside), ``links_n_special`` (pipes, sockets,
        devices), each with some names in ``links_leaving``, ``links_escaping``, ``links_special``.
        ``sample``: ``links_escapes``.
    """
    kind = pl.col("kind")
    leaving = inventory.filter((kind == "link") & pl.col("leaves"))
    special = inventory.filter(kind == "special")
    escapes = pl.col("refusal").fill_null("") == "path_escape"
    escaping = samples.filter(escapes)
    arrows = leaving.select(pl.format("{} → {}", "uri", pl.col("detail").str.head(60))).to_series()
    where = escaping.select(pl.coalesce("detail", "uri")).to_series()
    dataset = pl.DataFrame(
        {
            "links_n_leaving": [leaving.height],
            "links_leaving": [name_some(arrows)],
            "links_n_escaping": [escaping.height],
            "links_escaping": [name_some(where)],
            "links_n_special": [special.height],
            "links_special": [name_some(special["uri"])],
        },
        schema_overrides=dict.fromkeys(
            ("links_leaving", "links_escaping", "links_special"), pl.String
        ),
    )
    return {"sample": samples.select("row", links_escapes=escapes), "dataset": dataset}


LINKS = FileCheck("links", "1", "Ways out of the dataset", measure)
