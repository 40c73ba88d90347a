"""Read back what a scan saved: ``report.json`` and the ledger in ``evidence.parquet``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from auditor.errors import UsageError
from auditor.ingest import fingerprint

MAX_REPORT = 1 << 28
"""A report.json above 256 MiB is none of ours: it holds findings, not samples."""

LEDGER = ("row", "uri", "record", "sha256", "class_name", "split", "source", "status", "refusal")


def read_saved(folder: Path) -> tuple[dict[str, Any], pl.DataFrame]:
    """Read a report's folder, and check that its two files are of the same scan.

    Returns:
        (what ``report.json`` holds, the ledger joined with the sample evidence).

    Raises:
        UsageError: a file is missing or malformed, or they are of different scans.
    """
    try:
        file = folder / "report.json"
        if file.stat().st_size > MAX_REPORT:
            raise ValueError("report.json is over 256 MiB")
        said: dict[str, Any] = json.loads(file.read_text("utf-8"))
        samples = pl.read_parquet(folder / "evidence.parquet")
        missing = [name for name in LEDGER if name not in samples.columns]
        if missing:
            raise ValueError(f"evidence.parquet has no column {', '.join(missing)}")
        same = fingerprint(samples) == said["dataset"]["fingerprint"]
        needed = (said["options"], said["findings"], said["coverage"], said["tool"]["version"])
        if None in needed:
            raise ValueError("report.json is incomplete")
    except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
        raise UsageError(
            f"report {str(folder)!r}: can not be read ({type(error).__name__}: {error}); expected "
            "the folder that `auditor scan --report` wrote"
        ) from None
    if not same:
        raise UsageError(
            f"report {str(folder)!r}: report.json and evidence.parquet are of different scans; "
            "scan again"
        )
    return said, samples
