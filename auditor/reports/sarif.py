"""SARIF 2.1.0, for code-scanning dashboards: one result a finding, its worst samples as places."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from urllib.parse import quote

from auditor.interfaces import ReportFormat
from auditor.records import DetectorRun, Finding, Severity
from auditor.report import Report
from auditor.reports.json import dump
from auditor.reports.text import prose
from auditor.reports.wording import ordered
from auditor.tables import members

_LOCATIONS = 100
"""Places a result names; GitHub's code scanning shows no more than that."""
_LEVELS = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "note",
    Severity.INFO: "note",
}
# The middle of each CVSS v3 band, which is how GitHub turns the number back into a word.
_SCORES = {
    Severity.CRITICAL: "9.5",
    Severity.HIGH: "8.0",
    Severity.MEDIUM: "5.5",
    Severity.LOW: "2.0",
    Severity.INFO: "0.0",
}


def render(report: Report) -> str:
    """Write the report as a SARIF log with one run."""
    findings = ordered(report.findings)
    rules = list({finding.rule: _rule(finding) for finding in reversed(findings)}.values())
    rules.sort(key=lambda rule: str(rule["id"]))
    index = {rule["id"]: at for at, rule in enumerate(rules)}
    run = {
        "tool": {
            "driver": {
                "name": report.tool.get("name", "auditor"),
                "version": report.tool.get("version", ""),
                "rules": rules,
            }
        },
        "invocations": [_invocation(report)],
        "results": [_result(report, finding, index[finding.rule]) for finding in findings],
        "columnKind": "unicodeCodePoints",
        "properties": {
            "verdict": report.verdict,
            "fingerprint": report.dataset.fingerprint,
            "discovered": report.coverage.discovered,
            "scanned": report.coverage.scanned,
            "refused": report.coverage.refused,
        },
    }
    return dump(
        {
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [run],
        }
    )


def _rule(finding: Finding) -> dict[str, object]:
    return {
        "id": finding.rule,
        "shortDescription": {"text": prose(finding.title)},
        "help": {"text": prose(finding.remedy) or prose(finding.title)},
        "defaultConfiguration": {"level": _LEVELS[finding.severity]},
        "properties": {
            "security-severity": _SCORES[finding.severity],
            "precision": {"high": "high", "medium": "medium", "low": "low"}[finding.confidence],
            "tags": ["security"],
        },
    }


def _result(report: Report, finding: Finding, rule_index: int) -> dict[str, object]:
    identity = f"{finding.rule}\0{finding.scope}\0{finding.key}".encode("utf-8", "backslashreplace")
    return {
        "ruleId": finding.rule,
        "ruleIndex": rule_index,
        "level": _LEVELS[finding.severity],
        "message": {"text": prose(finding.message) or prose(finding.title)},
        "locations": _locations(report, finding),
        "partialFingerprints": {"auditorFinding/v1": hashlib.sha256(identity).hexdigest()},
        "properties": {
            "confidence": finding.confidence,
            "scope": finding.scope,
            "key": finding.key,
            "n_samples": finding.n_samples,
            "evidence": finding.evidence,
        },
    }


def _locations(report: Report, finding: Finding) -> list[dict[str, object]]:
    named = members(report.flagged, finding).head(_LOCATIONS)
    if not named.height:
        return [_location(report.dataset.root)]
    columns = zip(named["uri"].to_list(), named["record"].to_list(), strict=True)
    return [_location(uri, record) for uri, record in columns]


def _location(uri: str, record: int | None = None) -> dict[str, object]:
    safe = quote(uri.encode("utf-8", "backslashreplace"))
    location: dict[str, object] = {
        # The region is what viewers need to show anything; a sample has no lines.
        "physicalLocation": {"artifactLocation": {"uri": safe}, "region": {"startLine": 1}}
    }
    if record is not None:
        location["logicalLocations"] = [{"name": f"record {record}", "kind": "element"}]
    return location


def _invocation(report: Report) -> dict[str, object]:
    failed = [run for run in report.detectors if run.status == "failed"]
    notes = [*_failures(failed), *_refusals(report)]
    return {
        "executionSuccessful": not failed,
        "exitCode": report.exit_code,
        "toolExecutionNotifications": notes,
    }


def _failures(failed: Sequence[DetectorRun]) -> list[dict[str, object]]:
    return [
        {"level": "error", "message": {"text": f"{run.id} failed: {prose(run.reason or '')}"}}
        for run in failed
    ]


def _refusals(report: Report) -> list[dict[str, object]]:
    reasons = sorted(report.coverage.by_reason.items())
    return [
        {"level": "warning", "message": {"text": f"{number} samples refused: {prose(name)}"}}
        for name, number in reasons
    ]


FORMAT = ReportFormat(id="sarif", filename="report.sarif", render=render)
