"""What a report says in words: the verdict's reason, the findings' order, what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from auditor.records import ClassSummary, Finding, Severity
from auditor.report import Report
from auditor.reports.text import count, percent, plain, prose, shorten

VERDICT_WORDS = {"pass": "PASS", "fail": "FAIL", "incomplete": "INCOMPLETE"}

FLAGGED_FILE = "flagged.parquet"
EVIDENCE_FILE = "evidence.parquet"
HTML_FILE = "report.html"
JSON_FILE = "report.json"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do next, and the command or file that does it."""

    advice: str
    command: str


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Sort findings worst first; ties by rule, then by how many samples, then by key."""
    return sorted(
        findings,
        key=lambda f: (
            -f.severity.rank,
            -f.confidence.rank,
            f.rule,
            -f.n_samples,
            f.key or "",
            f.message,
        ),
    )


def leading(findings: Iterable[Finding]) -> list[Finding]:
    """Sort those findings worst first that are no other's witness: one thing is told once."""
    return [finding for finding in ordered(findings) if finding.witness_of is None]


def witnesses(finding: Finding, findings: Iterable[Finding]) -> list[Finding]:
    """The findings that tell of the same samples as this one, worst first."""
    name = (finding.rule, finding.key)
    return [other for other in ordered(findings) if other.witness_of == name]


WITNESSES = "Seen by other rules too:"


def witness_words(finding: Finding) -> str:
    """Say in a line what a witness saw: its title, where, and how many samples."""
    where = f" ({shorten(place(finding), 40)})" if place(finding) else ""
    return f"{count(finding.n_samples, 'sample')}{where}: {prose(finding.title)}"


def failing(report: Report) -> list[Finding]:
    """The findings that make the verdict a fail: those at or above ``fail_on``."""
    if report.fail_on not in set(Severity):
        return []
    threshold = Severity(report.fail_on).rank
    return [f for f in ordered(report.findings) if f.severity.rank >= threshold]


def place(finding: Finding) -> str:
    """Name what a finding is about: ``class airplane``, ``source x``, or nothing."""
    if finding.key is None:
        return ""
    return f"{'' if finding.scope == 'sample' else finding.scope + ' '}{plain(finding.key)}"


def tally_words(findings: Sequence[Finding]) -> str:
    """Count findings by severity, worst first: ``2 critical · 1 medium``."""
    counts = [(s, sum(f.severity is s for f in findings)) for s in reversed(Severity)]
    return " · ".join(f"{number} {severity}" for severity, number in counts if number)


def reason(report: Report) -> str:
    """Say in one plain sentence or two why the verdict is what it is."""
    gaps = _gaps(report)
    if report.verdict == "incomplete":
        said = " and ".join(gaps) if gaps else "part of the dataset was not examined"
        others = f" {_lesser(report)}" if report.findings else ""
        return f"This dataset can not be passed: {said}.{others}"
    if report.verdict == "fail":
        also = f" Also incomplete: {' and '.join(gaps)}." if gaps else ""
        return f"{_worst(report)}{also}"
    examined = (
        f"Nothing at or above {report.fail_on} in {count(report.coverage.scanned, 'sample')}."
    )
    lesser = f" {_lesser(report)}" if report.findings else ""
    allowed = f" As allowed, {' and '.join(gaps)}." if gaps else ""
    return f"{examined}{lesser}{allowed}"


def _worst(report: Report) -> str:
    bad = leading(failing(report) or report.findings)
    if not bad:
        return "A finding at or above the limit."
    first = bad[0]
    where = shorten(place(first), 60)
    title = prose(first.title).rstrip(".")
    about = f" ({where})" if where else ""
    more = f", and {count(len(bad) - 1, 'more finding')}" if len(bad) > 1 else ""
    share = ""
    if report.n_flagged:
        of = count(report.coverage.scanned, "sample")
        share = f" {count(report.n_flagged)} of {of} flagged"
        share += f" ({percent(report.n_flagged, report.coverage.scanned)})."
    return f"{title}{about}{more}.{share}"


def _lesser(report: Report) -> str:
    return f"{count(len(leading(report.findings)), 'finding')} to look at below."


def _gaps(report: Report) -> list[str]:
    gaps = []
    if report.coverage.refused:
        of = count(report.coverage.discovered, "sample")
        gaps.append(f"{count(report.coverage.refused)} of {of} could not be read")
    failed = [plain(run.id) for run in report.detectors if run.status == "failed"]
    if failed:
        noun = "detector" if len(failed) == 1 else "detectors"
        gaps.append(f"{noun} {', '.join(failed)} failed")
    return gaps


def title(report: Report) -> str:
    """The dataset's root as a reader knows it, safe to show."""
    return plain(report.dataset.root)


def busiest(classes: Sequence[ClassSummary], limit: int) -> list[ClassSummary]:
    """The classes with most flagged samples, in the dataset's own order where all fit."""
    if len(classes) <= limit:
        return list(classes)
    worst = sorted(classes, key=lambda c: (-c.n_flagged, -c.n_samples, c.label))
    return worst[:limit]


def worst_samples(flagged: pl.DataFrame, limit: int) -> pl.DataFrame:
    """Choose samples to show: the worst, but each rule has its share, in the order of the list."""
    if flagged.height <= limit:
        return flagged
    rule = pl.col("rules").list.first()
    numbered = flagged.with_row_index("_at").with_columns(
        pl.int_range(pl.len()).over(rule).alias("_turn")
    )
    # Otherwise a thousand samples of one backdoor would hide every wrong label.
    share = max(1, limit // flagged.select(rule.n_unique()).item())
    beyond = pl.col("_turn") >= share
    return numbered.sort(beyond, "_at").head(limit).sort("_at").drop("_at", "_turn")


def suggested_name(suggested: object, class_names: Sequence[str]) -> str:
    """Name the class a detector would have given, from its label or its name; empty if none."""
    if suggested is None:
        return ""
    if isinstance(suggested, int) and 0 <= suggested < len(class_names):
        return plain(class_names[suggested])
    return plain(str(suggested))


def next_steps(report: Report, folder: Path | None) -> list[Step]:
    """What a reader should do now, with commands that can be pasted.

    Args:
        report: the result of a scan.
        folder: where the report was saved, or None where it was not.
    """
    steps = []
    rules = list(dict.fromkeys(f.rule for f in ordered(report.findings)))
    if folder is not None and (report.findings or report.coverage.refused):
        steps.append(Step("See the evidence", _path(folder / HTML_FILE)))
    if rules:
        steps.append(Step("Why it matters", f"auditor explain {plain(rules[0])}"))
    if folder is not None and report.n_flagged:
        steps.append(Step("Every flagged sample", _path(folder / FLAGGED_FILE)))
    if folder is not None and report.coverage.refused:
        steps.append(Step("Every refused sample", _path(folder / EVIDENCE_FILE)))
    if report.verdict == "incomplete" and report.coverage.refused:
        again = f"auditor scan {_path(Path(report.dataset.root))}"
        steps.append(
            Step("Accept the refused ones", f"{again} --allow-refused {report.coverage.refused}")
        )
    if folder is not None and not steps:
        steps.append(Step("Keep with the data", _path(folder / JSON_FILE)))
    return steps


def _path(path: Path) -> str:
    return shlex.quote(plain(str(path)))


POWER_TITLE = "Power on this data"


def power_note(report: Report) -> str:
    """What the power table means, in one line."""
    sizes = sorted({power.n_samples for power in report.power})
    cuts = " and ".join(count(size) for size in sizes)
    profiles = " and ".join(sorted({power.profile for power in report.power}))
    return (
        "Poisoned samples that are caught with 95 % probability, "
        f"in cuts of {cuts} samples ({profiles} profile)"
    )
