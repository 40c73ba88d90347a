"""Two decoders, one file: some images are decoded a second time, by the decoder of most trainers.

A file that two decoders read differently can show one picture here and another one in training.
"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import polars as pl

from auditor.engines import WorkerPool
from auditor.interfaces import Evidence
from auditor.readers import Catalog
from auditor.readers.catalog import Shard
from auditor.readers.decoders import LIBRARY
from auditor.readers.sampling import narrow

MAX_COMPARED = 500
"""Distinct images drawn from all, and as many again from those of rare making. Two decoders and the
comparison take 1 ms of CPU time for a JPEG of 224×224 pixels."""

MAX_PIXELS = 300_000_000
"""Pixels that are decoded twice in all, some seconds: 500 photographs of a camera are too many."""

MAX_TABLE_SHARDS = 64
"""Shards of tables that are opened: to reach a row, its row group is read up to it."""

RARE = 5
"""Images whose encoder fewer than this many share: a crafted file seldom looks like its peers."""

DIFFERS = 16.0
"""Difference from which two pictures count as different, as rule FMT011 says. Measured: 0.0 on all
of 2,000 clean photographs (Imagenette) and 2,000 CIFAR-10 images; 16-bit BMP files, whose 5 bits
the decoders widen differently, reach 5.4."""


def has_second_decoder() -> bool:
    """Whether OpenCV is installed; nothing is imported."""
    return find_spec(LIBRARY) is not None


def compare_decoders(catalog: Catalog, samples: pl.DataFrame, pool: WorkerPool) -> Evidence:
    """Decode a bounded part of the images with both decoders.

    Returns:
        ``sample``: ``decoders_difference``, 0–255 (`readers.decoders.difference`), null where not
        compared; copies share it. ``dataset``: ``decoders_n_compared``, ``decoders_n_differ``.
    """
    chosen = np.asarray(_chosen(catalog, samples), np.int64)
    parts, rows = [], []
    for start, shard in _starts(catalog):
        picks = chosen[(chosen >= start) & (chosen < start + shard.known.height)]
        if len(picks):
            parts.append({**narrow(shard, picks - start).task, "kind": "decoders"})
            rows += picks.tolist()
    found = [value for table in pool.imap(parts) for value in table["difference"].to_pylist()]
    table = pl.DataFrame(
        {"row": rows, "decoders_difference": found},
        schema={"row": pl.UInt64, "decoders_difference": pl.Float32},
    )
    content = samples.select("row", "sha256").join(table, on="row").drop("row")
    sample = samples.select("row", "sha256").join(
        content, on="sha256", how="left", maintain_order="left"
    )
    values = sample["decoders_difference"]
    dataset = pl.DataFrame(
        {
            "decoders_n_compared": [int(values.count())],
            "decoders_n_differ": [int((values >= DIFFERS).sum())],
        }
    )
    return {"sample": sample.drop("sha256"), "dataset": dataset}


def _chosen(catalog: Catalog, samples: pl.DataFrame) -> list[int]:
    """Rows to compare, ascending: by digest, which no order of files or rows moves."""
    size = pl.col("width").cast(pl.UInt64) * pl.col("height")
    distinct = (
        samples.filter(pl.col("status") == "scanned", pl.col("row") < catalog.n_samples)
        .unique("sha256", keep="first", maintain_order=True)
        .select("row", "sha256", size=size, peers=pl.len().over("encoder"))
        .sort("sha256")
    )
    rare = distinct.filter(pl.col("peers") < RARE).head(MAX_COMPARED)
    # The drawn ones come first: rare makings must not use all the pixels up.
    queue = pl.concat([distinct.head(MAX_COMPARED), rare]).unique("row", maintain_order=True)
    starts = [start for start, _ in _starts(catalog)]
    tables = ["paths" not in shard.task for shard in catalog.shards]
    opened: set[int] = set()
    pixels, rows = 0, []
    for row, area in queue.select("row", "size").iter_rows():
        place = int(np.searchsorted(starts, row, side="right")) - 1
        full = tables[place] and place not in opened and len(opened) >= MAX_TABLE_SHARDS
        if full or pixels + area > MAX_PIXELS:
            continue
        opened |= {place} if tables[place] else set()
        pixels += area
        rows.append(row)
    return sorted(rows)


def _starts(catalog: Catalog) -> list[tuple[int, Shard]]:
    """(first row, shard) of every shard that holds samples."""
    starts = np.cumsum([0, *(shard.known.height for shard in catalog.shards)])
    return list(zip(starts.tolist(), catalog.shards, strict=False))
