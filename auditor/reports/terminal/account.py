"""The scan's account of itself: what it read, what ran, what it could not have seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from auditor.report import Report
from auditor.reports import wording
from auditor.reports.terminal.layout import grid, heading, inset, item
from auditor.reports.text import count, duration, plain, prose
from auditor.reports.wording import POWER_TITLE, VERDICT_WORDS, power_note, reason

_VERDICT_STYLE = {"pass": "bold green", "fail": "bold red", "incomplete": "bold yellow"}


def verdict(report: Report) -> RenderableType:
    """The verdict and its reason."""
    table = grid({"no_wrap": True}, {"overflow": "fold"})
    style = _VERDICT_STYLE[report.verdict]
    table.add_row(Text(VERDICT_WORDS[report.verdict], style), Text(reason(report), "bold"))
    return table


def facts(report: Report) -> RenderableType:
    """Which dataset it was, and with which network it was looked at."""
    dataset = report.dataset
    parts = [plain(dataset.format), count(dataset.n_samples, "sample")]
    parts.append(count(dataset.n_classes, "class", "classes") if dataset.n_classes else "no labels")
    parts.append(f"fingerprint {_short_digest(dataset.fingerprint)}")
    lines = [Text(plain(dataset.root)), Text(" · ".join(parts), "dim")]
    if report.reference is not None:
        net = report.reference
        text = f"reference network {plain(net.name)} on {plain(net.device)}"
        if net.accuracy is not None:
            text += f", {100 * net.accuracy:.0f} % out-of-fold accuracy"
        lines.append(Text(text, "dim"))
    return Padding(Group(*lines), (1, 0, 0, 2), expand=False)


def _short_digest(fingerprint: str) -> str:
    scheme, _, digits = plain(fingerprint).rpartition(":")
    return f"{scheme}:{digits[:16]}" if scheme else digits[:16]


def coverage(report: Report) -> Iterator[RenderableType]:
    """How many samples were found, scanned and refused."""
    covered = report.coverage
    yield heading("Coverage")
    table = grid({"no_wrap": True}, {"justify": "right", "no_wrap": True}, {"overflow": "fold"})
    table.add_row(Text("discovered"), Text(count(covered.discovered)), Text())
    table.add_row(Text("scanned"), Text(count(covered.scanned)), Text())
    style = "yellow" if covered.refused else ""
    table.add_row(
        Text("refused"), Text(count(covered.refused), style), _counted(covered.by_reason, style)
    )
    if covered.not_samples:
        total = count(sum(covered.not_samples.values()))
        table.add_row(Text("not samples"), Text(total), _counted(covered.not_samples, "dim"))
    yield inset(table)


def _counted(counts: Mapping[str, int], style: str) -> Text:
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    said = [f"{plain(name)} {count(number)}" for name, number in most[:8]]
    if len(most) > 8:
        said.append(f"{len(most) - 8} more kinds")
    return Text(" · ".join(said), style)


def failed(report: Report) -> Iterator[RenderableType]:
    """The detectors that broke, where some did."""
    broken = [run for run in report.detectors if run.status == "failed"]
    if broken:
        yield heading("Failed detectors")
    for run in broken:
        text = f"{plain(run.id)}: {prose(run.reason or 'no reason given')}"
        yield item(Text(text, "yellow"))


def detectors(report: Report) -> Iterator[RenderableType]:
    """What became of every detector, and how long the stages took."""
    yield heading("Detectors")
    table = grid(
        {"no_wrap": True},
        {"no_wrap": True},
        {"justify": "right", "no_wrap": True},
        {"overflow": "fold"},
    )
    for run in report.detectors:
        style = {"ok": "", "inapplicable": "dim", "failed": "bold red"}[run.status]
        name = f"{plain(run.id)} {plain(run.version)}"
        why = Text(prose(run.reason or ""), style)
        table.add_row(Text(name), Text(run.status, style), Text(duration(run.seconds)), why)
    yield inset(table)
    if report.timings:
        spent = [f"{plain(name)} {duration(value)}" for name, value in report.timings.items()]
        yield inset(Text("time: " + " · ".join(spent), "dim"))


def power(report: Report) -> Iterator[RenderableType]:
    """How much poison would have been caught, where that was measured."""
    if not report.power:
        return
    yield heading(POWER_TITLE, power_note(report))
    table = grid({"no_wrap": True}, {"overflow": "fold"})
    for one in report.power:
        table.add_row(Text(plain(one.variant)), Text(str(one)))
    yield inset(table)


def blind_spots(report: Report) -> Iterator[RenderableType]:
    """What could not have been seen."""
    if not report.blind_spots:
        return
    yield heading("Blind spots", "what this scan could not have seen")
    for spot in report.blind_spots:
        yield item(Text(prose(spot)))


def next_steps(report: Report, folder: Path | None) -> Iterator[RenderableType]:
    """What to do now; with files by name where the report was saved."""
    steps = wording.next_steps(report, folder)
    if not steps:
        return
    yield heading("Next")
    table = grid({"no_wrap": True}, {"overflow": "fold"})
    for step in steps:
        table.add_row(Text(step.advice), Text(step.command, "cyan"))
    yield inset(table)
