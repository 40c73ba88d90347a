"""GitHub Actions workflow commands: one annotation a finding, on the run's page."""

from __future__ import annotations

from collections.abc import Iterator

from auditor.interfaces import ReportFormat
from auditor.report import Report
from auditor.reports.text import plain, prose
from auditor.reports.wording import VERDICT_WORDS, failing, leading, place, reason, title

_MOST = 10
"""GitHub shows ten annotations of each level a step and drops the rest without a word."""


def render(report: Report) -> str:
    """Write the verdict and the findings as workflow commands, worst first."""
    return "\n".join(_commands(report)) + "\n"


def _commands(report: Report) -> Iterator[str]:
    verdict = VERDICT_WORDS[report.verdict]
    level = {"pass": "notice", "fail": "error", "incomplete": "error"}[report.verdict]
    yield _command(level, f"auditor: {verdict}", f"{title(report)}: {reason(report)}")
    bad = failing(report)
    left = {"error": _MOST, "warning": _MOST, "notice": _MOST}
    left[level] -= 1
    for finding in leading(report.findings):
        level = "error" if finding in bad else "warning"
        if finding.severity.rank <= 1:
            level = "notice" if finding not in bad else "error"
        if left[level]:
            left[level] -= 1
            head = f"{finding.rule} {prose(finding.title)}"
            where = f"{place(finding)}: " if place(finding) else ""
            yield _command(level, head, f"{where}{finding.message} {finding.remedy}")


def _command(level: str, head: str, message: str) -> str:
    """Build one command; untrusted text can neither end it nor start another.

    Escapes follow actions/toolkit, ``packages/core/src/command.ts``.
    """
    data = prose(message).replace("%", "%25")
    name = plain(head).replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title={name}::{data}"


FORMAT = ReportFormat(id="github", filename="annotations.txt", render=render)
