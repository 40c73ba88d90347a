"""A reproducible part of a dataset (``--sample N``), chosen before anything is read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from auditor.readers.catalog import Catalog, Shard


def subsample(catalog: Catalog, size: int, seed: int) -> Catalog:
    """Keep ``size`` samples drawn without replacement; refused files stay known.

    The draw depends on the seed and on how many samples there are, so that the same dataset gives
    the same part. Parquet row groups are still read whole, only the chosen rows are decoded.
    """
    total = catalog.n_samples
    if size >= total:
        return catalog
    generator = np.random.default_rng([seed, total])
    chosen = np.sort(generator.choice(total, size, replace=False))
    shards = []
    start = 0
    for shard in catalog.shards:
        stop = start + shard.known.height
        rows = chosen[(chosen >= start) & (chosen < stop)] - start
        if len(rows):
            shards.append(narrow(shard, rows))
        start = stop
    note = f"Only {size:,} of {total:,} samples were scanned (--sample {size})."
    return replace(catalog, shards=tuple(shards), notes=(*catalog.notes, note))


def narrow(shard: Shard, rows: np.ndarray) -> Shard:
    """The shard with only the samples at the positions ``rows``: (K,) integers, ascending."""
    task = dict(shard.task)
    if "paths" in task:
        task["paths"] = [task["paths"][row] for row in rows]
    elif "rows" in task:
        task["rows"] = [task["rows"][row] for row in rows]
    else:
        task["rows"] = rows.tolist()
    return Shard(task, shard.known[rows])
