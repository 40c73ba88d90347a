"""Remote data that a dataset names: what others can change after you have looked at it."""

from __future__ import annotations

import polars as pl

from auditor.interfaces import Evidence, FileCheck
from auditor.provenance.naming import name_some


def measure(inventory: pl.DataFrame, samples: pl.DataFrame) -> Evidence:
    """Sum up the addresses in cards, Croissant metadata, DVC files and lists.

    Returns:
        ``file``: ``references_urls``, ``references_insecure`` (sent without encryption),
        ``references_mutable`` (naming a branch), ``references_unhashed`` (without a digest beside
        them). ``dataset``: ``references_n_insecure`` …, and in ``references_insecure`` … the files
        that name them with an example.
    """
    words = pl.format("{} ({})", "uri", pl.col("example").str.head(100))
    named = inventory.filter(pl.col("urls").fill_null(0) > 0)
    found: dict[str, list[int | str | None]] = {}
    for kind in ("insecure", "mutable", "unhashed"):
        rows = named.filter(pl.col(kind) > 0)
        found[f"references_n_{kind}"] = [int(rows[kind].sum())]
        found[f"references_{kind}"] = [name_some(rows.select(words).to_series())]
    texts = {f"references_{kind}": pl.String for kind in ("insecure", "mutable", "unhashed")}
    files = named.select(
        "uri",
        references_urls="urls",
        references_insecure="insecure",
        references_mutable="mutable",
        references_unhashed="unhashed",
    )
    return {"file": files, "dataset": pl.DataFrame(found, schema_overrides=texts)}


REFERENCES = FileCheck("references", "1", "References to remote data", measure)
