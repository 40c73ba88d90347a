"""Report formats: each turns a finished ``Report`` into text and measures nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from auditor.errors import UsageError
from auditor.interfaces import ReportFormat
from auditor.report import Report
from auditor.reports import github, html, json, junit, markdown, sarif, terminal
from auditor.reports.atomic import Writer, write_together
from auditor.reports.notebook import notebook
from auditor.reports.parquet import write_evidence, write_flagged
from auditor.reports.terminal import print_report
from auditor.reports.wording import EVIDENCE_FILE, FLAGGED_FILE, HTML_FILE, JSON_FILE

FORMATS: tuple[ReportFormat, ...] = (
    terminal.FORMAT,
    json.FORMAT,
    html.FORMAT,
    sarif.FORMAT,
    junit.FORMAT,
    github.FORMAT,
    markdown.FORMAT,
)
"""Every text format, by the order in which help lists them; ``parquet`` has no text."""

FORMAT_IDS = (*(known.id for known in FORMATS), "parquet")
"""Every name that ``--output`` takes."""

__all__ = [
    "FORMATS",
    "FORMAT_IDS",
    "notebook",
    "print_report",
    "render",
    "save_report",
    "write_evidence",
    "write_flagged",
    "write_report",
]


def save_report(report: Report, folder: Path) -> None:
    """Write ``flagged.parquet``, ``evidence.parquet``, ``report.html`` and ``report.json``.

    Each file appears whole or not at all, ``report.json`` last: where it is, the others are too.

    Args:
        report: the result of a scan.
        folder: made with its parents where absent.

    Raises:
        UsageError: if the folder can not be written.
    """
    write_together(
        folder,
        {
            FLAGGED_FILE: _bound(write_flagged, report),
            EVIDENCE_FILE: _bound(write_evidence, report),
            HTML_FILE: _text(html.FORMAT, report),
            JSON_FILE: _text(json.FORMAT, report),
        },
    )


def write_report(report: Report, format_id: str, path: Path) -> None:
    """Write the report in one format to one file, whole or not at all.

    Args:
        report: the result of a scan.
        format_id: one of ``FORMAT_IDS``; ``parquet`` writes the flagged samples.
        path: the file; its folder is made where absent.

    Raises:
        UsageError: if there is no such format or the file can not be written.
    """
    if format_id == "parquet":
        write_together(path.parent, {path.name: _bound(write_flagged, report)})
        return
    write_together(path.parent, {path.name: _text(_format(format_id), report)})


def render(report: Report, format_id: str) -> str:
    """The report in one text format.

    Raises:
        UsageError: if there is no such text format.
    """
    return _format(format_id).render(report)


def _format(format_id: str) -> ReportFormat:
    for known in FORMATS:
        if known.id == format_id:
            return known
    raise UsageError(
        f"report format {format_id!r}: unknown; expected one of {', '.join(FORMAT_IDS)}"
    )


def _bound(write: Callable[[Report, BinaryIO], None], report: Report) -> Writer:
    return lambda file: write(report, file)


def _text(known: ReportFormat, report: Report) -> Writer:
    def write(file: BinaryIO) -> None:
        file.write(known.render(report).encode("utf-8", "backslashreplace"))

    return write
