"""The scan's account of itself: what it read, what was refused, what ran."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auditor.report import Report
from auditor.reports.text import (
    bar_length,
    count,
    duration,
    measure,
    percent,
    plain,
    prose,
    shorten,
)
from auditor.reports.wording import leading

_REFUSALS = 200
"""Lines in the page, one a refused sample."""


def short_facts(report: Report) -> list[str]:
    """Say what kind of dataset it is, in a few short parts."""
    dataset, reference = report.dataset, report.reference
    facts = [dataset.format, count(dataset.n_samples, "sample")]
    facts.append(count(dataset.n_classes, "class", "classes") if dataset.n_classes else "no labels")
    if reference is not None:
        accuracy = ""
        if reference.accuracy is not None:
            accuracy = f", {100 * reference.accuracy:.0f} % out-of-fold accuracy"
        facts.append(f"reference network {reference.name} on {reference.device}{accuracy}")
    return facts


def tiles(report: Report) -> list[dict[str, str]]:
    """The figures at the top."""
    covered, flagged = report.coverage, report.n_flagged
    touched = sum(1 for line in report.classes if line.n_flagged)
    classes = f"in {touched} of {count(len(report.classes), 'class', 'classes')}"
    bad_finding = "bad" if report.verdict == "fail" else ""
    return [
        _tile("scanned", covered.scanned, f"of {count(covered.discovered)} discovered"),
        _tile("flagged", flagged, percent(flagged, covered.scanned), bad_finding),
        _tile("findings", len(leading(report.findings)), classes if touched else "", bad_finding),
        _tile("refused", covered.refused, "", "warn" if covered.refused else ""),
        _tile("fails from", report.fail_on, f"exit code {report.exit_code}"),
    ]


def _tile(name: str, value: int | str, note: str, mood: str = "") -> dict[str, str]:
    shown = count(value) if isinstance(value, int) else value
    return {"name": name, "value": shown, "note": note, "mood": mood if value else ""}


def coverage(report: Report) -> dict[str, Any]:
    """How many samples were found, scanned and refused."""
    covered = report.coverage
    bad = bar_length(covered.refused, covered.discovered)
    others = sum(covered.not_samples.values())
    lines = [
        ("discovered", count(covered.discovered), ""),
        ("scanned", count(covered.scanned), percent(covered.scanned, covered.discovered)),
        ("refused", count(covered.refused), _kinds(covered.by_reason)),
        ("not samples", count(others), _kinds(covered.not_samples)),
    ]
    label = f"{covered.scanned} of {covered.discovered} samples scanned"
    return {"at": 1000 - bad, "width": bad, "lines": lines, "label": label}


def _kinds(counts: Mapping[str, int]) -> str:
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    said = [f"{plain(name)} {count(number)}" for name, number in most[:12]]
    return " · ".join(said) + (f" · {len(most) - 12} more kinds" if len(most) > 12 else "")


def refusals(report: Report) -> dict[str, Any]:
    """What was refused, and why."""
    shown = report.refusals.head(_REFUSALS)
    lines = [
        (
            shorten(plain(line["uri"] or ""), 120)
            + ("" if line["record"] is None else f" #{line['record']}"),
            line["refusal"] or "",
            prose(line["detail"] or ""),
        )
        for line in shown.iter_rows(named=True)
    ]
    left = report.refusals.height - shown.height
    return {"refusals": lines, "refusals_left": count(left) if left else ""}


def detectors(report: Report) -> list[dict[str, str]]:
    """What became of every detector."""
    return [
        {
            "id": run.id,
            "version": run.version,
            "status": run.status,
            "time": duration(run.seconds),
            "note": prose(run.reason or ""),
            "params": ", ".join(f"{key} {measure(run.params[key])}" for key in sorted(run.params)),
        }
        for run in report.detectors
    ]


def detectors_note(report: Report) -> str:
    """How many of them ran."""
    states = [run.status for run in report.detectors]
    named = [("ok", "ran"), ("inapplicable", "did not apply"), ("failed", "failed")]
    return " · ".join(f"{states.count(s)} {word}" for s, word in named if s in states)


def footer(report: Report) -> list[tuple[str, str]]:
    """What it takes to repeat the scan."""
    dataset, reference = report.dataset, report.reference
    options = [f"{key}={report.options[key]}" for key in sorted(report.options)]
    lines = [
        ("dataset fingerprint", dataset.fingerprint),
        ("tool", " ".join(report.tool[key] for key in ("name", "version") if key in report.tool)),
        ("options", " ".join(options)),
    ]
    if reference is not None:
        lines.append(("reference network", f"{reference.name} {reference.digest}"))
    if report.timings:
        spent = [f"{name} {duration(seconds)}" for name, seconds in report.timings.items()]
        lines.append(("time", " · ".join(spent)))
    return lines
