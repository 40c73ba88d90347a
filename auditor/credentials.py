"""Content credentials (C2PA): the few samples that carry them are read again and validated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

import polars as pl

from auditor.engines import WorkerPool
from auditor.interfaces import Evidence
from auditor.readers import Catalog
from auditor.readers.credentials import FINDINGS

MAX_CHECKED = 20_000
"""Samples that are validated, the first ones: each takes some milliseconds."""


def check_credentials(catalog: Catalog, samples: pl.DataFrame, pool: WorkerPool) -> Evidence:
    """Validate the credentials that the first pass saw; without c2pa-python they are only counted.

    Returns:
        ``sample``: ``credentials_state`` (``Valid``, ``Invalid``, ``Trusted`` or ``Unreadable``),
        ``credentials_codes`` (what is wrong), ``credentials_invalid``, ``credentials_generated``
        (made by a trained model), ``credentials_no_training`` (training on it is not allowed).
        ``dataset``: ``credentials_n``, ``credentials_n_unchecked``.
    """
    rows = samples.filter(pl.col("credentials").fill_null(False))["row"].to_list()
    chosen = rows[:MAX_CHECKED] if find_spec("c2pa") is not None else []
    found: list[dict[str, Any]] = []
    places: list[int] = []
    for keys, task in _tasks(catalog, chosen):
        places += keys
        found += pool.run(task).to_pylist()
    names = FINDINGS.names
    columns = {name: [one[name] for one in found] for name in names}
    table = pl.DataFrame(
        {"row": places, **columns},
        schema={"row": pl.UInt64, "state": pl.String, "codes": pl.String,
                "generated": pl.Boolean, "no_training": pl.Boolean},
    ).select(
        "row",
        pl.col(*names).name.prefix("credentials_"),
        credentials_invalid=pl.col("state").is_in(["Invalid", "Unreadable"]),
    )  # fmt: skip
    unchecked = len(rows) - int(table["credentials_state"].count())
    dataset = pl.DataFrame({"credentials_n": [len(rows)], "credentials_n_unchecked": [unchecked]})
    return {"sample": table, "dataset": dataset}


def _tasks(catalog: Catalog, rows: list[int]) -> Iterator[tuple[list[int], Mapping[str, Any]]]:
    """(rows, task) of each shard that holds some."""
    start = 0
    for shard in catalog.shards:
        stop = start + shard.known.height
        keys = [row for row in rows if start <= row < stop]
        if keys:
            picks = [row - start for row in keys]
            yield keys, {**shard.task, "kind": "credentials", "picks": picks}
        start = stop
