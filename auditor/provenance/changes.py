"""Files that changed while they were scanned: what was measured need not be what is there."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from auditor.interfaces import Evidence
from auditor.provenance.naming import name_some


def measure_changes(uris: Sequence[str], samples: pl.DataFrame) -> Evidence:
    """Name the files that changed.

    Args:
        uris: files whose size, change time or inode differ from those at discovery.
        samples: the ledger.

    Returns:
        ``sample``: ``changes_changed``. ``dataset``: ``changes_n`` files, ``changes_files``.
    """
    names = pl.Series("uri", list(uris), dtype=pl.String)
    sample = samples.select("row", changes_changed=pl.col("uri").is_in(names.implode()))
    dataset = pl.DataFrame(
        {"changes_n": [len(names)], "changes_files": [name_some(names)]},
        schema_overrides={"changes_files": pl.String},
    )
    return {"sample": sample, "dataset": dataset}
