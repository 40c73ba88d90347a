"""What is flagged: the classes with most of it, and the worst samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import RenderableType
from rich.text import Text

from auditor.records import ClassSummary
from auditor.report import Report
from auditor.reports.terminal.layout import grid, heading, inset
from auditor.reports.text import count, percent, plain, prose, shorten, shorten_end
from auditor.reports.wording import busiest, suggested_name, worst_samples

_CLASSES, _SAMPLES, _RULES = 12, 10, 3
"""Entries shown at normal verbosity, and rule ids named beside one."""
_REASON_WIDTH = 30
"""Columns that a sample's reason needs to stand beside it and still be understood."""


def classes(report: Report, width: int, verbosity: int) -> Iterator[RenderableType]:
    """The classes with most flagged samples; above verbosity 0 all of them."""
    if not report.classes:
        return
    shown = busiest(report.classes, len(report.classes) if verbosity > 0 else _CLASSES)
    few = len(shown) < len(report.classes)
    yield heading("Classes", f"{len(shown)} of {len(report.classes)}, most flagged" if few else "")
    table = grid(
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
    yield inset(table)


def _class_cells(line: ClassSummary, most: int, room: int) -> list[Text]:
    name = Text(shorten(plain(line.name), 40), "" if line.n_samples else "dim")
    cells = [name, Text(count(line.n_samples)), Text(count(line.n_flagged))]
    if not line.n_flagged:
        return [*cells, Text(), Text(), Text("empty" if not line.n_samples else "", "dim")]
    bar = "█" * max(1, round(room * line.n_flagged / most))
    rules = _few(line.rules)
    share = Text(percent(line.n_flagged, line.n_samples))
    return [*cells, share, Text(bar, "red"), Text(rules, "dim")]


def samples(report: Report, width: int, verbosity: int) -> Iterator[RenderableType]:
    """The worst samples, those with one reason together below it and set in."""
    if not report.n_flagged:
        return
    chosen = worst_samples(report.flagged, 5 * _SAMPLES if verbosity > 0 else _SAMPLES)
    some = chosen.height < report.n_flagged
    note = f"{chosen.height} of {count(report.n_flagged)} flagged" if some else ""
    yield heading("Worst samples", note)
    rows = list(chosen.iter_rows(named=True))
    names = [shorten(_sample_name(sample), width // 2) for sample in rows]
    labels = [_label(sample, report.dataset.class_names) for sample in rows]
    lines = [
        f"{_score(sample['score']):>5}  {set_cell_size(name, max(map(cell_len, names)))}  "
        f"{set_cell_size(label, max(map(cell_len, labels)))}"
        for sample, name, label in zip(rows, names, labels, strict=True)
    ]
    room = width - 2 - max(map(cell_len, lines)) - 2
    together = groupby(zip(rows, lines, strict=True), key=lambda item: _why(item[0]))
    for why, run in together:
        members = [line for _, line in run]
        if len(members) == 1 and room >= _REASON_WIDTH:
            yield inset(Text.assemble(members[0], "  ", (shorten_end(why, room), "dim")))
            continue
        yield inset(Text(why, "dim"))
        below = (Text(f"  {line}", no_wrap=True, overflow="ellipsis") for line in members)
        yield from map(inset, below)


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
