"""Pointers left where data should be: the content was never fetched, so nobody looked at it."""

from __future__ import annotations

import json
import posixpath

import polars as pl

from auditor.interfaces import Evidence, FileCheck
from auditor.provenance.naming import name_some


def measure(inventory: pl.DataFrame, samples: pl.DataFrame) -> Evidence:
    """Count Git LFS and git-annex pointers, and DVC outputs that are absent.

    Returns:
        ``sample``: ``pointers_pointer``. ``dataset``: ``pointers_n`` (samples and files that hold
        a pointer), ``pointers_files`` (some names), ``pointers_n_absent`` (files and folders that
        a ``.dvc`` file stands for and that are not there), ``pointers_absent``.
    """
    is_pointer = pl.col("refusal").fill_null("") == "pointer"
    files = inventory.filter(pl.col("kind") == "pointer")["uri"]
    named = pl.concat([samples.filter(is_pointer)["uri"], files])
    absent = _absent(inventory, samples)
    dataset = pl.DataFrame(
        {
            "pointers_n": [len(named)],
            "pointers_files": [name_some(named)],
            "pointers_n_absent": [len(absent)],
            "pointers_absent": [name_some(pl.Series(absent, dtype=pl.String))],
        },
        schema_overrides={"pointers_files": pl.String, "pointers_absent": pl.String},
    )
    return {"sample": samples.select("row", pointers_pointer=is_pointer), "dataset": dataset}


def _absent(inventory: pl.DataFrame, samples: pl.DataFrame) -> list[str]:
    documents = inventory.filter(pl.col("document") == "dvc")
    if documents.is_empty():
        return []
    uris = pl.concat([samples["uri"], inventory["uri"]]).drop_nulls().unique()
    absent = []
    for uri, outs in documents.select("uri", "outs").iter_rows():
        for out in json.loads(outs):
            name = posixpath.normpath(posixpath.join(posixpath.dirname(uri), str(out)))
            if not ((uris == name) | uris.str.starts_with(name + "/")).any():
                absent.append(name)
    return absent


POINTERS = FileCheck("pointers", "1", "Pointers instead of data", measure)
