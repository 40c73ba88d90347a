"""Dangerous content: files beside the samples that run code when they are opened as usual."""

from __future__ import annotations

import polars as pl

from auditor.interfaces import Evidence, FileCheck
from auditor.provenance.naming import name_some

WORDS = pl.concat_str(
    pl.col("uri"),
    pl.when(pl.col("calls") != "").then(pl.format(" ({})", pl.col("calls").str.head(120)))
    .when(pl.col("detail") != "").then(pl.format(" ({})", pl.col("detail").str.head(60)))
    .otherwise(pl.lit("")),
    ignore_nulls=True,
)  # fmt: skip


def measure(inventory: pl.DataFrame, samples: pl.DataFrame) -> Evidence:
    """Count what the isolated workers recognised.

    Returns:
        ``file``: ``contents_kind``, ``contents_detail``, ``contents_calls`` of each file that is
        more than plain data. ``dataset``: for each of ``unsafe`` (pickles that name callables which
        may run code), ``pickle`` (the others), ``loader`` (scripts that build a dataset, or
        documents that turn remote code on), ``program``, ``script``, ``pickled_metadata``,
        ``archive`` and ``unexamined``: ``contents_n_<kind>`` and ``contents_<kind>``, some names.
    """
    kind, calls = pl.col("kind"), pl.col("calls").fill_null("")
    groups = {
        "unsafe": (kind == "pickle") & (calls != ""),
        "pickle": (kind == "pickle") & (calls == ""),
        "loader": (kind == "loader") | pl.col("remote_code").fill_null(False),
        "program": kind == "program",
        "script": kind == "script",
        "pickled_metadata": kind == "pickled_metadata",
        "archive": kind == "archive",
        "unexamined": kind.is_null() | (kind == "unexamined"),
    }
    found: dict[str, list[int | str | None]] = {}
    for name, which in groups.items():
        rows = inventory.filter(which)
        found[f"contents_n_{name}"] = [rows.height]
        found[f"contents_{name}"] = [name_some(rows.select(WORDS).to_series())]
    texts = {f"contents_{name}": pl.String for name in groups}
    plain = ("other", "array", "parquet", "arrow")
    files = inventory.filter(~kind.is_in(plain)).select(
        "uri", contents_kind="kind", contents_detail="detail", contents_calls="calls"
    )
    return {"file": files, "dataset": pl.DataFrame(found, schema_overrides=texts)}


CONTENTS = FileCheck("contents", "1", "Dangerous content", measure)
