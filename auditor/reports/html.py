"""``report.html``: the whole report as one page that loads nothing and sends nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import polars as pl

from auditor.interfaces import ReportFormat
from auditor.records import Finding, Severity
from auditor.report import Report
from auditor.reports.pictures import Pictures, Shot, choose, map_view, trigger_view
from auditor.reports.text import count, duration, measure, percent, plain, prose, shorten
from auditor.reports.wording import (
    POWER_TITLE,
    VERDICT_WORDS,
    WITNESSES,
    busiest,
    leading,
    place,
    power_note,
    reason,
    suggested_name,
    tally_words,
    witness_words,
    witnesses,
    worst_samples,
)

if TYPE_CHECKING:
    from jinja2 import Environment

FLAGGED_ROWS = 500
"""Flagged samples in the page; a browser sorts and filters that many without a pause."""
_FINDINGS, _CLASSES, _REFUSALS = 100, 200, 200
"""Cards and lines in the page: with the pictures' budget they keep it well below 1.5 MB."""


def render(report: Report) -> str:
    """Write the report as one HTML page.

    Everything from the dataset goes through ``text.plain`` and autoescaping, and the page's
    content-security policy allows its own style and script by their hashes and nothing else.
    """
    style, script = _asset("report.css"), _asset("report.js")
    page = environment().get_template("report.html.j2")
    return page.render(
        style=_trusted(style),
        style_hash=_trusted(_csp_hash(style)),
        script=_trusted(script),
        script_hash=_trusted(_csp_hash(script)),
        **_view(report),
    )


@cache
def environment() -> Environment:
    """Make the template environment: autoescape always, every value made plain on its way out."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("auditor.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=False,
        keep_trailing_newline=True,
    )


def _finalize(value: object) -> object:
    # Markup is the template's own; every other string may hold a name from the dataset.
    return plain(value) if type(value) is str else value


def _trusted(text: str) -> str:
    from markupsafe import Markup

    return Markup(text)


def _asset(name: str) -> str:
    return resources.files("auditor.reports").joinpath("templates", name).read_text("utf-8")


def _csp_hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _view(report: Report) -> dict[str, Any]:
    findings = leading(report.findings)
    shown = findings[:_FINDINGS]
    listed = worst_samples(report.flagged, FLAGGED_ROWS)
    pictures = choose(report, shown, listed["row"].to_list())
    view: dict[str, Any] = {
        "verdict": report.verdict,
        "word": VERDICT_WORDS[report.verdict],
        "reason": reason(report),
        "root": report.dataset.root,
        "facts": short_facts(report),
        "tiles": _tiles(report),
        "findings": [
            _card(report, finding, *strips)
            for finding, strips in zip(shown, pictures.strips, strict=True)
        ],
        "findings_note": tally_words(findings),
        "witnesses_title": WITNESSES,
        "findings_left": count(len(findings) - len(shown)) if len(findings) > len(shown) else "",
        "thumbnails": [
            picture(row, data, small) for row, (data, small) in sorted(pictures.images.items())
        ],
        "map": _map(report),
        "coverage": _coverage(report),
        "power": [(power.variant, str(power)) for power in report.power],
        "power_title": POWER_TITLE,
        "power_note": power_note(report) if report.power else "",
        "blind_spots": [prose(spot) for spot in report.blind_spots],
        "detectors": _detectors(report),
        "detectors_note": _detectors_note(report),
        "footer": _footer(report),
        **_classes(report),
        **_flagged(report, listed, pictures),
        **_refusals(report),
    }
    view["sections"] = _sections(view)
    return view


def _sections(view: Mapping[str, Any]) -> list[tuple[str, str]]:
    every = [
        ("findings", "Findings", True),
        ("map", "Map", view["map"]),
        ("classes", "Classes", view["classes"]),
        ("flagged", "Flagged samples", view["flagged"]),
        ("coverage", "Coverage", True),
        ("power", POWER_TITLE, view["power"]),
        ("blind-spots", "Blind spots", view["blind_spots"]),
        ("detectors", "Detectors", True),
    ]
    return [(anchor, name) for anchor, name, there in every if there]


def picture(row: int, data: str, small: bool, label: str = "") -> dict[str, object]:
    """Prepare one embedded thumbnail for a template."""
    return {"row": row, "data": _trusted(data), "small": small, "label": shorten(plain(label), 100)}


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


def _tiles(report: Report) -> list[dict[str, str]]:
    coverage, flagged = report.coverage, report.n_flagged
    touched = sum(1 for line in report.classes if line.n_flagged)
    classes = f"in {touched} of {count(len(report.classes), 'class', 'classes')}"
    bad_finding = "bad" if report.verdict == "fail" else ""
    return [
        _tile("scanned", coverage.scanned, f"of {count(coverage.discovered)} discovered"),
        _tile("flagged", flagged, percent(flagged, coverage.scanned), bad_finding),
        _tile("findings", len(leading(report.findings)), classes if touched else "", bad_finding),
        _tile("refused", coverage.refused, "", "warn" if coverage.refused else ""),
        _tile("fails from", report.fail_on, f"exit code {report.exit_code}"),
    ]


def _tile(name: str, value: int | str, note: str, mood: str = "") -> dict[str, str]:
    shown = count(value) if isinstance(value, int) else value
    return {"name": name, "value": shown, "note": note, "mood": mood if value else ""}


def _card(
    report: Report, finding: Finding, flagged: Sequence[Shot], normal: Sequence[Shot]
) -> dict[str, Any]:
    more = f"{len(flagged)} of {count(finding.n_samples)}" if flagged else ""
    about = [count(finding.n_samples, "sample")] if finding.n_samples else []
    about.append(f"{finding.confidence} confidence")
    return {
        "severity": str(finding.severity),
        "rule": finding.rule,
        "title": prose(finding.title),
        "place": shorten(place(finding), 80),
        "about": " · ".join(about),
        "message": prose(finding.message),
        "evidence": [(name, measure(value)) for name, value in finding.evidence.items()],
        "remedy": prose(finding.remedy),
        "flagged": [_shot(shot) for shot in flagged],
        "flagged_more": more,
        "normal": [_shot(shot) for shot in normal],
        "trigger": trigger_view(report, finding),
        "witnesses": [
            (other.rule, witness_words(other), prose(other.message))
            for other in witnesses(finding, report.findings)
        ],
    }


def _shot(shot: Shot) -> dict[str, Any]:
    score = "" if shot.score is None else f"{shot.score:.3f}"
    note = f"→ {shorten(plain(shot.suggested), 14)}" if shot.suggested else score
    said = [shot.name, shot.given, f"score {score}" if score else ""]
    return {"row": shot.row, "note": note, "label": ", ".join(part for part in said if part)}


def _map(report: Report) -> dict[str, Any] | None:
    view = map_view(report)
    return None if view is None else {**view, "data": _trusted(view["data"])}


def _classes(report: Report) -> dict[str, Any]:
    shown = busiest(report.classes, _CLASSES)
    most = max((line.n_samples for line in shown), default=0) or 1
    few = len(shown) < len(report.classes)
    lines = [
        {
            "name": shorten(plain(line.name), 60),
            "n_samples": count(line.n_samples),
            "n_flagged": count(line.n_flagged),
            "share": percent(line.n_flagged, line.n_samples) if line.n_flagged else "",
            "width": _width(line.n_samples, most),
            "bad": _width(line.n_flagged, most),
            "rules": line.rules,
        }
        for line in shown
    ]
    note = f"{len(shown)} of {len(report.classes)}, most flagged first" if few else ""
    return {"classes": lines, "classes_note": note}


def _width(part: int, whole: int) -> int:
    """Length of a bar, 0–1000; what is there at all stays visible."""
    return 0 if not part or not whole else min(1000, max(4, round(1000 * part / whole)))


def _flagged(report: Report, shown: pl.DataFrame, pictures: Pictures) -> dict[str, Any]:
    names = report.dataset.class_names
    rows = [_flagged_row(sample, names, pictures) for sample in shown.iter_rows(named=True)]
    left = report.n_flagged - shown.height
    note = f"worst {count(shown.height)} of {count(report.n_flagged)}" if left else ""
    return {
        "flagged": rows,
        "flagged_rules": sorted({rule for row in rows for rule in row["rules"]}),
        "flagged_left": count(left) if left else "",
        "flagged_note": note or count(report.n_flagged),
    }


def _flagged_row(
    sample: Mapping[str, Any], names: Sequence[str], pictures: Pictures
) -> dict[str, Any]:
    severity = sample["severity"] or ""
    known = severity in set(Severity)
    record = "" if sample["record"] is None else f" #{sample['record']}"
    return {
        "row": sample["row"],
        "thumb": sample["row"] in pictures.images,
        "name": shorten(plain(sample["uri"]), 120) + record,
        "score": "–" if sample["score"] is None else f"{sample['score']:.3f}",
        "given": shorten(plain(sample["class_name"] or ""), 60),
        "suggested": shorten(suggested_name(sample["suggested_label"], names), 60),
        "severity": severity if known else "",
        "rank": Severity(severity).rank if known else -1,
        "rules": sample["rules"],
        "reason": prose(sample["reason"] or ""),
    }


def _coverage(report: Report) -> dict[str, Any]:
    coverage = report.coverage
    bad = _width(coverage.refused, coverage.discovered)
    others = sum(coverage.not_samples.values())
    lines = [
        ("discovered", count(coverage.discovered), ""),
        ("scanned", count(coverage.scanned), percent(coverage.scanned, coverage.discovered)),
        ("refused", count(coverage.refused), _kinds(coverage.by_reason)),
        ("not samples", count(others), _kinds(coverage.not_samples)),
    ]
    label = f"{coverage.scanned} of {coverage.discovered} samples scanned"
    return {"at": 1000 - bad, "width": bad, "lines": lines, "label": label}


def _kinds(counts: Mapping[str, int]) -> str:
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    said = [f"{plain(name)} {count(number)}" for name, number in most[:12]]
    return " · ".join(said) + (f" · {len(most) - 12} more kinds" if len(most) > 12 else "")


def _refusals(report: Report) -> dict[str, Any]:
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


def _detectors(report: Report) -> list[dict[str, str]]:
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


def _detectors_note(report: Report) -> str:
    states = [run.status for run in report.detectors]
    named = [("ok", "ran"), ("inapplicable", "did not apply"), ("failed", "failed")]
    return " · ".join(f"{states.count(s)} {word}" for s, word in named if s in states)


def _footer(report: Report) -> list[tuple[str, str]]:
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


FORMAT = ReportFormat(id="html", filename="report.html", render=render)
