"""The cards of the findings, with their pictures and witnesses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from auditor.records import Finding
from auditor.report import Report
from auditor.reports.pictures import Shot, trigger_view
from auditor.reports.text import count, measure, plain, prose, shorten
from auditor.reports.wording import place, witness_words, witnesses


def card(
    report: Report, finding: Finding, flagged: Sequence[Shot], normal: Sequence[Shot]
) -> dict[str, Any]:
    """One finding: its words, the samples it names and unflagged ones of the same class."""
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
        # What was not measured says nothing here; report.json lists it.
        "evidence": [
            (name, measure(value)) for name, value in finding.evidence.items() if value is not None
        ],
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
