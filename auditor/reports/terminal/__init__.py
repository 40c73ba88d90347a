"""The report for people at a terminal or reading a CI log: the verdict first, then why."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from rich.console import Console, Group, RenderableType

from auditor.interfaces import ReportFormat
from auditor.report import Report
from auditor.reports.terminal import account, findings, flagged

_FILE_WIDTH = 100
"""Columns where the report is written to a file: readable in an editor and in a CI log."""
_MAX_WIDTH = 140
"""Columns beyond which lines get too long to read; a wider terminal stays empty there."""

# One character for one, so that columns stay aligned where only ASCII can be printed.
_ASCII = str.maketrans("…·–—→█▌×", "~:--># x")
_TRAILING = re.compile(r" +((?:\x1b\[0m)?)$", re.MULTILINE)


def print_report(
    report: Report, console: Console, verbosity: int = 0, folder: Path | None = None
) -> None:
    """Print the report.

    Args:
        report: the result of a scan.
        console: where to; its width, colour and encoding are respected.
        verbosity: below 0 the verdict and one line a finding; 0 the report; above 0 also the
            detectors, timings and evidence, and longer tables.
        folder: where the report was saved, to name its files in what to do next.
    """
    width = min(console.width, _MAX_WIDTH)
    body = Group(*_sections(report, width, verbosity, folder))
    with console.capture() as captured:
        console.print(body, width=width, highlight=False)
    # Rich fills lines with spaces, which only blur a log or a file.
    text = _TRAILING.sub(r"\1", captured.get())
    if console.options.ascii_only:
        text = text.translate(_ASCII).encode("ascii", "backslashreplace").decode("ascii")
    console.file.write(text)


def render(report: Report) -> str:
    """Write the report as plain text, 100 columns wide, without colour."""
    file = StringIO()
    console = Console(
        file=file, width=_FILE_WIDTH, color_system=None, force_terminal=False, legacy_windows=False
    )
    print_report(report, console)
    return file.getvalue()


def _sections(
    report: Report, width: int, verbosity: int, folder: Path | None
) -> Iterator[RenderableType]:
    yield account.verdict(report)
    if verbosity < 0:
        yield from findings.brief(report)
        return
    yield account.facts(report)
    yield from account.coverage(report)
    yield from account.failed(report)
    yield from findings.in_full(report, verbosity)
    yield from flagged.classes(report, width, verbosity)
    yield from flagged.samples(report, width, verbosity)
    if verbosity > 0:
        yield from account.detectors(report)
    yield from account.power(report)
    yield from account.blind_spots(report)
    yield from account.next_steps(report, folder)


FORMAT = ReportFormat(id="terminal", filename="report.txt", render=render)
