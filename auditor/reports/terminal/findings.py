"""The findings: all in a line each, or the worst in full with their witnesses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from auditor.records import Finding
from auditor.report import Report
from auditor.reports.terminal.layout import SEVERITY_STYLE, grid, heading
from auditor.reports.text import count, measure, plain, prose, shorten
from auditor.reports.wording import (
    WITNESSES,
    leading,
    place,
    tally_words,
    witness_words,
    witnesses,
)

_SHOWN = 12
"""Findings in full at normal verbosity; with the classes and samples shown they fit a few screens
whatever was found."""


def brief(report: Report) -> Iterator[RenderableType]:
    """A line a finding."""
    for finding in leading(report.findings):
        where = f" · {shorten(place(finding), 40)}" if place(finding) else ""
        yield Text.assemble(
            (f"{finding.severity:<8}", SEVERITY_STYLE[finding.severity]),
            f"  {plain(finding.rule)}  {prose(finding.title)}{where}"
            f" · {count(finding.n_samples, 'sample')}",
        )


def in_full(report: Report, verbosity: int) -> Iterator[RenderableType]:
    """The worst findings with what to do about them; above verbosity 0 all, with evidence."""
    if not report.findings:
        yield heading("Findings", "none")
        return
    findings = leading(report.findings)
    yield heading("Findings", tally_words(findings))
    shown = findings if verbosity > 0 else findings[:_SHOWN]
    for index, finding in enumerate(shown):
        told = _finding(finding, witnesses(finding, report.findings), verbosity)
        yield Padding(told, (1 if index else 0, 0, 0, 2), expand=False)
    left = Counter((f.rule, f.severity) for f in findings[len(shown) :])
    if left:
        said = [f"{n} {severity} {plain(rule)}" for (rule, severity), n in left.items()]
        text = f"and {' · '.join(said)}: in report.json, or here with -v"
        yield Padding(Text(text), (1, 0, 0, 2), expand=False)


def _finding(finding: Finding, others: Sequence[Finding], verbosity: int) -> RenderableType:
    where = shorten(place(finding), 60)
    head = Text.assemble((plain(finding.rule), "bold"), "  ", (prose(finding.title), "bold"))
    samples = count(finding.n_samples, "sample") if finding.n_samples else ""
    about = " · ".join(filter(None, [where, samples]))
    if finding.confidence != "high" or verbosity > 0:
        about += f"{' · ' if about else ''}{finding.confidence} confidence"
    lines: list[RenderableType] = [head, *([Text(about)] if about else [])]
    lines.append(Text(prose(finding.message)))
    if verbosity > 0 and finding.evidence:
        shown = [f"{plain(name)} {measure(value)}" for name, value in finding.evidence.items()]
        lines.append(Text(" · ".join(shown), "dim"))
    if finding.remedy:
        lines.append(Text.assemble(("do: ", "bold"), prose(finding.remedy)))
    if others:
        lines.append(Text(WITNESSES, "bold"))
        lines.extend(_witness(other, verbosity) for other in others)
    table = grid({"no_wrap": True, "width": 8}, {"overflow": "fold"})
    style = SEVERITY_STYLE[finding.severity]
    table.add_row(Text(str(finding.severity), style), Group(*lines))
    return table


def _witness(finding: Finding, verbosity: int) -> Text:
    if verbosity > 0:
        return Text(f"  {plain(finding.rule)}  {prose(finding.message)}")
    said = f"  {plain(finding.rule)}  {witness_words(finding)}"
    return Text(said, no_wrap=True, overflow="ellipsis")
