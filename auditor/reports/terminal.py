"""The report for people at a terminal or reading a CI log: the verdict first, then why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from auditor.interfaces import ReportFormat
from auditor.records import ClassSummary, Finding
from auditor.report import Report
from auditor.reports.text import (
    count,
    duration,
    measure,
    percent,
    plain,
    prose,
    shorten,
    shorten_end,
)
from auditor.reports.wording import (
    POWER_TITLE,
    VERDICT_WORDS,
    WITNESSES,
    busiest,
    leading,
    next_steps,
    place,
    power_note,
    reason,
    suggested_name,
    tally_words,
    witness_words,
    witnesses,
    worst_samples,
)

_FILE_WIDTH = 100
"""Columns where the report is written to a file: readable in an editor and in a CI log."""
_REASON_WIDTH = 30
"""Columns that a sample's reason needs to stand beside it and still be understood."""
_MAX_WIDTH = 140
"""Columns beyond which lines get too long to read; a wider terminal stays empty there."""
_FINDINGS, _CLASSES, _SAMPLES, _RULES = 12, 12, 10, 3
"""Entries shown at normal verbosity; together they fit a few screens whatever was found."""

_VERDICT_STYLE = {"pass": "bold green", "fail": "bold red", "incomplete": "bold yellow"}
_SEVERITY_STYLE = {
    "critical": "bold red",
    "high": "red",
    "medium": "yellow",
    "low": "cyan",
    "info": "dim",
}
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
    yield _verdict(report)
    if verbosity < 0:
        yield from _brief(report)
        return
    yield _facts(report)
    yield from _coverage(report)
    if any(run.status == "failed" for run in report.detectors):
        yield _heading("Failed detectors")
        yield from _not_run(report)
    yield from _findings(report, verbosity)
    yield from _classes(report, width, verbosity)
    yield from _samples(report, width, verbosity)
    if verbosity > 0:
        yield from _detectors(report)
    yield from _power(report)
    yield from _blind_spots(report)
    yield from _next(report, folder)


def _heading(text: str, note: str = "") -> RenderableType:
    return Padding(
        Text.assemble((text, "bold"), (f"  {note}" if note else "", "dim")), (1, 0, 0, 0)
    )


def _inset(content: RenderableType, left: int = 2) -> RenderableType:
    return Padding(content, (0, 0, 0, left), expand=False)


def _grid(*columns: Mapping[str, object], gap: int = 2) -> Table:
    table = Table.grid(padding=(0, gap, 0, 0), pad_edge=False)
    for column in columns:
        table.add_column(**column)  # type: ignore[arg-type]
    return table


def _verdict(report: Report) -> RenderableType:
    table = _grid({"no_wrap": True}, {"overflow": "fold"})
    style = _VERDICT_STYLE[report.verdict]
    table.add_row(Text(VERDICT_WORDS[report.verdict], style), Text(reason(report), "bold"))
    return table


def _facts(report: Report) -> RenderableType:
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


def _coverage(report: Report) -> Iterator[RenderableType]:
    coverage = report.coverage
    yield _heading("Coverage")
    table = _grid({"no_wrap": True}, {"justify": "right", "no_wrap": True}, {"overflow": "fold"})
    table.add_row(Text("discovered"), Text(count(coverage.discovered)), Text())
    table.add_row(Text("scanned"), Text(count(coverage.scanned)), Text())
    style = "yellow" if coverage.refused else ""
    table.add_row(
        Text("refused"), Text(count(coverage.refused), style), _counted(coverage.by_reason, style)
    )
    if coverage.not_samples:
        total = count(sum(coverage.not_samples.values()))
        table.add_row(Text("not samples"), Text(total), _counted(coverage.not_samples, "dim"))
    yield _inset(table)


def _counted(counts: Mapping[str, int], style: str) -> Text:
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    said = [f"{plain(name)} {count(number)}" for name, number in most[:8]]
    if len(most) > 8:
        said.append(f"{len(most) - 8} more kinds")
    return Text(" · ".join(said), style)


def _brief(report: Report) -> Iterator[RenderableType]:
    for finding in leading(report.findings):
        where = f" · {shorten(place(finding), 40)}" if place(finding) else ""
        line = Text.assemble(
            (f"{finding.severity:<8}", _SEVERITY_STYLE[finding.severity]),
            f"  {plain(finding.rule)}  {prose(finding.title)}{where}"
            f" · {count(finding.n_samples, 'sample')}",
        )
        yield line


def _findings(report: Report, verbosity: int) -> Iterator[RenderableType]:
    if not report.findings:
        yield _heading("Findings", "none")
        return
    findings = leading(report.findings)
    yield _heading("Findings", tally_words(findings))
    shown = findings if verbosity > 0 else findings[:_FINDINGS]
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
    table = _grid({"no_wrap": True, "width": 8}, {"overflow": "fold"})
    style = _SEVERITY_STYLE[finding.severity]
    table.add_row(Text(str(finding.severity), style), Group(*lines))
    return table


def _witness(finding: Finding, verbosity: int) -> Text:
    if verbosity > 0:
        return Text(f"  {plain(finding.rule)}  {prose(finding.message)}")
    said = f"  {plain(finding.rule)}  {witness_words(finding)}"
    return Text(said, no_wrap=True, overflow="ellipsis")


def _classes(report: Report, width: int, verbosity: int) -> Iterator[RenderableType]:
    if not report.classes:
        return
    shown = busiest(report.classes, len(report.classes) if verbosity > 0 else _CLASSES)
    few = len(shown) < len(report.classes)
    yield _heading("Classes", f"{len(shown)} of {len(report.classes)}, most flagged" if few else "")
    table = _grid(
        {"no_wrap": True, "overflow": "ellipsis", "max_width": width // 3},
        {"justify": "right", "no_wrap": True},
        {"justify": "right", "no_wrap": True},
        {"justify": "right", "no_wrap": True},
        {"no_wrap": True},
        {"no_wrap": True, "overflow": "ellipsis"},
    )
    table.add_row(*(Text(word, "dim") for word in ("class", "samples", "flagged", "", "", "")))
    most = max(max(line.n_flagged for line in shown), 1)
    for line in shown:
        table.add_row(*_class_cells(line, most, max(8, width // 5)))
    yield _inset(table)


def _class_cells(line: ClassSummary, most: int, room: int) -> list[Text]:
    name = Text(shorten(plain(line.name), 40), "" if line.n_samples else "dim")
    cells = [name, Text(count(line.n_samples)), Text(count(line.n_flagged))]
    if not line.n_flagged:
        return [*cells, Text(), Text(), Text("empty" if not line.n_samples else "", "dim")]
    bar = "█" * max(1, round(room * line.n_flagged / most))
    rules = _few(line.rules)
    share = Text(percent(line.n_flagged, line.n_samples))
    return [*cells, share, Text(bar, "red"), Text(rules, "dim")]


def _samples(report: Report, width: int, verbosity: int) -> Iterator[RenderableType]:
    if not report.n_flagged:
        return
    chosen = worst_samples(report.flagged, 5 * _SAMPLES if verbosity > 0 else _SAMPLES)
    some = chosen.height < report.n_flagged
    note = f"{chosen.height} of {count(report.n_flagged)} flagged" if some else ""
    yield _heading("Worst samples", note)
    samples = list(chosen.iter_rows(named=True))
    names = [shorten(_sample_name(sample), width // 2) for sample in samples]
    labels = [_label(sample, report.dataset.class_names) for sample in samples]
    lines = [
        f"{_score(sample['score']):>5}  {set_cell_size(name, max(map(cell_len, names)))}  "
        f"{set_cell_size(label, max(map(cell_len, labels)))}"
        for sample, name, label in zip(samples, names, labels, strict=True)
    ]
    room = width - 2 - max(map(cell_len, lines)) - 2
    together = groupby(zip(samples, lines, strict=True), key=lambda item: _why(item[0]))
    for why, run in together:
        members = [line for _, line in run]
        if len(members) == 1 and room >= _REASON_WIDTH:
            yield _inset(Text.assemble(members[0], "  ", (shorten_end(why, room), "dim")))
            continue
        yield _inset(Text(why, "dim"))
        yield from (_inset(Text(line, no_wrap=True, overflow="ellipsis")) for line in members)


def _why(sample: Mapping[str, Any]) -> str:
    return f"{_few(sample['rules'])}  {prose(sample['reason'] or '')}".strip()


def _few(rules: Sequence[str]) -> str:
    """Rule ids on a line that has other things to say: a clear trigger breaks many rules."""
    named = [plain(rule) for rule in rules]
    if len(named) <= _RULES:
        return " ".join(named)
    return f"{' '.join(sorted(named)[:_RULES])} +{len(named) - _RULES}"


def _sample_name(sample: Mapping[str, object]) -> str:
    record = sample["record"]
    return plain(str(sample["uri"])) + ("" if record is None else f" #{record}")


def _score(score: float | None) -> str:
    return "–" if score is None else f"{score:.3f}"


def _label(sample: Mapping[str, object], class_names: Sequence[str]) -> str:
    given = plain(str(sample["class_name"] if sample["class_name"] is not None else "–"))
    suggested = suggested_name(sample["suggested_label"], class_names)
    return shorten(given, 20) + (f" → {shorten(suggested, 20)}" if suggested else "")


def _detectors(report: Report) -> Iterator[RenderableType]:
    yield _heading("Detectors")
    table = _grid(
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
    yield _inset(table)
    if report.timings:
        spent = [f"{plain(name)} {duration(value)}" for name, value in report.timings.items()]
        yield _inset(Text("time: " + " · ".join(spent), "dim"))


def _not_run(report: Report) -> Iterator[RenderableType]:
    for run in report.detectors:
        if run.status == "failed":
            text = f"{plain(run.id)}: {prose(run.reason or 'no reason given')}"
            yield _item(Text(text, "yellow"))


def _power(report: Report) -> Iterator[RenderableType]:
    if not report.power:
        return
    yield _heading(POWER_TITLE, power_note(report))
    table = _grid({"no_wrap": True}, {"overflow": "fold"})
    for power in report.power:
        table.add_row(Text(plain(power.variant)), Text(str(power)))
    yield _inset(table)


def _blind_spots(report: Report) -> Iterator[RenderableType]:
    if not report.blind_spots:
        return
    yield _heading("Blind spots", "what this scan could not have seen")
    for spot in report.blind_spots:
        yield _item(Text(prose(spot)))


def _item(text: Text) -> RenderableType:
    table = _grid({"no_wrap": True}, {"overflow": "fold"}, gap=1)
    table.add_row(Text("·", "dim"), text)
    return _inset(table)


def _next(report: Report, folder: Path | None) -> Iterator[RenderableType]:
    steps = next_steps(report, folder)
    if not steps:
        return
    yield _heading("Next")
    table = _grid({"no_wrap": True}, {"overflow": "fold"})
    for step in steps:
        table.add_row(Text(step.advice), Text(step.command, "cyan"))
    yield _inset(table)


FORMAT = ReportFormat(id="terminal", filename="report.txt", render=render)
