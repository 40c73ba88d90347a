"""``flagged.parquet`` and ``evidence.parquet``: the report's tables, to be joined and filtered."""

from __future__ import annotations

from typing import BinaryIO

from auditor.errors import InternalError
from auditor.report import Report

FLAGGED_COLUMNS = (
    "row",
    "uri",
    "record",
    "sha256",
    "label",
    "class_name",
    "rules",
    "severity",
    "score",
    "suggested_label",
    "reason",
)
"""The contract of ``flagged.parquet``: these columns, in this order."""


def write_flagged(report: Report, file: BinaryIO) -> None:
    """Write one row a flagged sample, worst first.

    Args:
        report: the result of a scan; its values are written as they are, as data.
        file: open for binary writing.

    Raises:
        InternalError: if a column of the contract is missing.
    """
    missing = [name for name in FLAGGED_COLUMNS if name not in report.flagged.columns]
    if missing:
        raise InternalError(
            f"flagged.parquet: the report has no column {', '.join(missing)}; got "
            f"{', '.join(report.flagged.columns)}, expected {', '.join(FLAGGED_COLUMNS)}; "
            "build the frame with every column of the contract"
        )
    report.flagged.select(FLAGGED_COLUMNS).write_parquet(file)


def write_evidence(report: Report, file: BinaryIO) -> None:
    """Write one row a discovered sample: the ledger joined with the sample evidence.

    Args:
        report: the result of a scan.
        file: open for binary writing.
    """
    report.samples.write_parquet(file)
