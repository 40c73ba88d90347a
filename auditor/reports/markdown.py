"""Markdown for a job summary or a pull-request comment (GitHub flavoured)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from auditor.interfaces import ReportFormat
from auditor.records import Finding
from auditor.report import Report
from auditor.reports.text import count, percent, plain, prose, shorten
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
    witness_words,
    witnesses,
    worst_samples,
)

_MARKS = {"pass": "✅", "fail": "❌", "incomplete": "⚠️"}
_CLASSES, _SAMPLES = 12, 10
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~$-])")
_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", ":": "&#58;"})
# A zero-width space keeps `@team` from notifying anyone, as dependency bots do it.
_MENTION = "@&#8203;"


def render(report: Report) -> str:
    """Write the verdict, the findings, the flagged classes and the worst samples."""
    parts = [
        f"## {_MARKS[report.verdict]} auditor: {VERDICT_WORDS[report.verdict]}",
        f"**{escape(reason(report))}**",
        _facts(report),
        *_findings(report),
        *_classes(report),
        *_samples(report),
        *_power(report),
        *_blind_spots(report),
    ]
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Make text show as it is: no markup, HTML, link, mention or table cell comes of it."""
    text = _SPECIAL.sub(r"\\\1", prose(text).translate(_HTML))
    # Entities carry characters that the pattern has just escaped.
    text = text.replace("&\\#58;", "&#58;").replace("www.", "www&#46;")
    return text.replace("@", _MENTION)


def code(text: str, width: int = 80) -> str:
    """Show untrusted text as a code span that it can not close, also inside a table."""
    text = shorten(plain(text), width).replace("|", "\\|")
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if longest or text != text.strip() else ""
    return f"{fence}{pad}{text}{pad}{fence}" if text else ""


def _facts(report: Report) -> str:
    dataset, coverage = report.dataset, report.coverage
    facts = [
        f"{code(dataset.root)}",
        f"{count(coverage.discovered)} discovered",
        f"{count(coverage.scanned)} scanned",
        f"{count(coverage.refused)} refused",
    ]
    said = " · ".join(facts) + f"<br>fingerprint {code(dataset.fingerprint)}"
    if coverage.by_reason:
        most = sorted(coverage.by_reason.items(), key=lambda item: (-item[1], item[0]))
        said += "<br>refused: " + " · ".join(f"{code(name)} {count(n)}" for name, n in most[:10])
    return said


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _findings(report: Report) -> Iterator[str]:
    if not report.findings:
        return
    findings = leading(report.findings)
    yield f"### Findings ({len(findings)})"
    rows = [
        [
            str(finding.severity),
            code(finding.rule),
            f"{escape(finding.title)}. {escape(finding.message)}"
            f"{_remedy(finding)}{_witnesses(finding, report)}",
            code(place(finding), 40),
            count(finding.n_samples),
        ]
        for finding in findings
    ]
    yield _table(["severity", "rule", "what was found, what to do", "where", "samples"], rows[:50])
    if len(rows) > 50:
        yield f"…and {count(len(rows) - 50, 'more finding')} in report.json."


def _remedy(finding: Finding) -> str:
    return f"<br>**Do:** {escape(finding.remedy)}" if finding.remedy else ""


def _witnesses(finding: Finding, report: Report) -> str:
    said = [
        f"<br>{code(other.rule)} {escape(witness_words(other))}"
        for other in witnesses(finding, report.findings)
    ]
    return f"<br>{WITNESSES}{''.join(said)}" if said else ""


def _classes(report: Report) -> Iterator[str]:
    flagged = [line for line in report.classes if line.n_flagged]
    if not flagged:
        return
    yield "### Classes with flagged samples"
    rows = [
        [
            code(line.name, 40),
            count(line.n_samples),
            count(line.n_flagged),
            percent(line.n_flagged, line.n_samples),
        ]
        for line in busiest(flagged, _CLASSES)
    ]
    yield _table(["class", "samples", "flagged", "share"], rows)


def _samples(report: Report) -> Iterator[str]:
    if not report.n_flagged:
        return
    yield f"### Worst samples (of {count(report.n_flagged)} flagged)"
    rows = []
    for sample in worst_samples(report.flagged, _SAMPLES).iter_rows(named=True):
        record = "" if sample["record"] is None else f" #{sample['record']}"
        suggested = suggested_name(sample["suggested_label"], report.dataset.class_names)
        score = "–" if sample["score"] is None else f"{sample['score']:.3f}"
        name = code(f"{sample['uri']}{record}")
        given = code(str(sample["class_name"] or ""), 40)
        rows.append([score, name, given, code(suggested, 40), escape(sample["reason"] or "")])
    yield _table(["score", "sample", "class", "suggested", "reason"], rows)


def _power(report: Report) -> Iterator[str]:
    if report.power:
        yield f"### {POWER_TITLE}"
        yield f"{escape(power_note(report))}."
        yield _table(["attack", "count"], [[code(p.variant), str(p)] for p in report.power])


def _blind_spots(report: Report) -> Iterator[str]:
    if report.blind_spots:
        yield "### Blind spots"
        yield "\n".join(f"- {escape(spot)}" for spot in report.blind_spots)


FORMAT = ReportFormat(id="markdown", filename="report.md", render=render)
