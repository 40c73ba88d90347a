"""What the command shows: the report on standard output, progress on standard error."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from auditor.interfaces import Progress as Advance
from auditor.records import Rule
from auditor.report import Report
from auditor.reports import print_report
from auditor.reports.terminal.layout import SEVERITY_STYLE
from auditor.reports.text import plain

SHOW_AFTER = 2.0
"""Seconds; a stage shorter than this shows no bar."""


class RateColumn(ProgressColumn):
    """Items a second of the running task."""

    def render(self, task: Task) -> Text:
        """Show the rate once it is known."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None or not task.total else f"{speed:,.0f}/s", style="dim")


class Display:
    """A scan's observer that draws progress bars, and the printer of its result.

    Args:
        color: ``auto``, ``always`` or ``never``; ``NO_COLOR`` and ``FORCE_COLOR`` count in auto.
        progress: show bars; None means only where standard error is a terminal outside CI.
        verbosity: −1 quiet, 0 normal, 1 verbose.
    """

    def __init__(
        self, color: Literal["auto", "always", "never"] | str, progress: bool | None, verbosity: int
    ) -> None:
        force = True if color == "always" else None
        no_color = True if color == "never" else None
        self.out = Console(force_terminal=force, no_color=no_color, highlight=False)
        self.err = Console(stderr=True, no_color=no_color, highlight=False)
        in_ci = bool(os.environ.get("CI"))
        self._bars = progress if progress is not None else self.err.is_terminal and not in_ci
        self._forced = progress is True and not self.err.is_terminal
        self._verbosity = verbosity

    @contextmanager
    def stage(self, title: str) -> Iterator[Advance]:
        """Draw one stage: a bar once it takes longer than two seconds, gone when it is done."""
        if not self._bars:
            yield lambda done, total: None
            return
        if self._forced:
            yield self._lines(title)
            return
        columns = (
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24),
            MofNCompleteColumn(), RateColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
        )  # fmt: skip
        with Progress(*columns, console=self.err, transient=True) as bars:
            started = time.monotonic()
            task = bars.add_task(title, total=None, visible=False)

            def advance(done: int, total: int) -> None:
                late = time.monotonic() - started > SHOW_AFTER
                bars.update(task, completed=done, total=total, visible=late)

            yield advance

    def _lines(self, title: str) -> Advance:
        """Progress as lines, for a log that was asked to have it: at most one in ten seconds."""
        said = [time.monotonic() - 8.0]

        def advance(done: int, total: int) -> None:
            now = time.monotonic()
            if now - said[0] >= 10.0:
                said[0] = now
                self.err.print(f"{title}: {done:,} of {total:,}", soft_wrap=True)

        return advance

    def warn(self, text: str) -> None:
        """Print one line to standard error; control characters are neutralised."""
        self.err.print(Text(plain(text), style="yellow"), soft_wrap=True)

    def show(self, report: Report, folder: Path) -> None:
        """Print the report to standard output."""
        print_report(report, self.out, self._verbosity, folder)

    def say(self, text: str) -> None:
        """Print plain lines to standard output; control characters are neutralised."""
        for line in text.splitlines():
            self.out.print(Text(plain(line)), soft_wrap=True)

    def entry(self, name: str, title: str, detail: str, source: str) -> None:
        """One entry of a list: name and title, then detail and source indented."""
        self.out.print(Text.assemble((name, "bold"), "  ", title))
        for line in (detail, source):
            if line:
                self.out.print(Padding(Text(line, style="dim"), (0, 0, 0, 4)))

    def rules(self, rules: Sequence[Rule]) -> None:
        """The table of rules."""
        table = Table.grid(padding=(0, 2, 0, 0))
        for rule in rules:
            severity = Text(rule.severity.value, style=SEVERITY_STYLE[rule.severity.value])
            table.add_row(Text(rule.id, style="bold"), severity, rule.scope, rule.title)
        self.out.print(table)
        self.out.print(Text("\nauditor explain RULE tells more of one.", style="dim"))

    def explain(self, rule: Rule) -> None:
        """One rule in full."""
        style = SEVERITY_STYLE[rule.severity.value]
        self.out.print(Text.assemble((rule.id, "bold"), "  ", (rule.title, "bold")))
        self.out.print(
            Text.assemble((rule.severity.value, style), f" severity, {rule.confidence.value} "
                          f"confidence, judged per {rule.scope}")
        )  # fmt: skip
        parts = {
            "Why it matters": rule.why,
            "Fires when": rule.when,
            "Names the samples where": rule.members or "",
            "What to do": rule.remedy,
            "See": ", ".join(rule.tags),
        }
        for title, text in parts.items():
            if text:
                self.out.print(Padding(Text(title, style="bold"), (1, 0, 0, 0)))
                self.out.print(Padding(Text(text), (0, 0, 0, 2)))
