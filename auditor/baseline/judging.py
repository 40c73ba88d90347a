"""Judge what is new against what was accepted, and leave out what somebody accepted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import polars as pl

from auditor.baseline.accepted import Accepted
from auditor.baseline.suppressions import Suppression
from auditor.judging.judge import Judgement, judge
from auditor.measure import Measurements
from auditor.records import Confidence, Finding, Rule, Severity
from auditor.tables import FLAGGED


@dataclass(frozen=True, slots=True)
class Judged:
    """A judgement, what the report says beside it, and what it says in words."""

    judgement: Judgement
    counts: Mapping[str, object]
    notes: tuple[str, ...]


def judge_change(
    rules: Sequence[Rule],
    taken: Measurements,
    class_names: Sequence[str],
    min_confidence: Confidence,
    accepted: Accepted | None,
    suppressions: Sequence[Suppression],
    today: date,
) -> Judged:
    """Apply the rules: with a baseline to what is under review only, never to what is suppressed.

    Args:
        rules: the rules to apply.
        taken: the ledger joined with the sample evidence, and the evidence of every other scope.
        class_names: K names.
        min_confidence: rules below it are left out.
        accepted: what was accepted before, or None.
        suppressions: what somebody accepted since.
        today: the day by which they expire.
    """
    counts: dict[str, object] = {}
    notes: list[str] = []
    samples, evidence = taken.samples, taken.evidence
    subject = samples
    if accepted is not None:
        refused = pl.col("status") == "refused"
        subject = samples.filter(pl.col("change_new") | pl.col("change_relabelled") | refused)
        counts["baseline"], said = _account(samples, accepted)
        notes.append(said)
    live = [item for item in suppressions if not item.expired(today)]
    judgements, n_suppressed = [], 0
    by_rule = {item.rule for item in live}
    free = [rule for rule in rules if rule.id not in by_rule]
    judgements.append(judge(free, subject, evidence, class_names, min_confidence))
    for rule in (rule for rule in rules if rule.id in by_rule):
        kept = _without(subject, [item for item in live if item.rule == rule.id])
        found = judge([rule], kept, evidence, class_names, min_confidence)
        every = judge([rule], subject, evidence, class_names, min_confidence)
        n_suppressed += _n(every) - _n(found)
        judgements.append(found)
    merged = _merge(judgements)
    if accepted is not None:
        merged = _new_only(merged, rules, accepted)
    if suppressions:
        over = [item for item in suppressions if item.expired(today)]
        counts["suppressions"] = {"suppressed": n_suppressed, "expired": len(over)}
        notes += _spoken(n_suppressed, over)
    return Judged(merged, counts, tuple(notes))


def _without(samples: pl.DataFrame, items: Sequence[Suppression]) -> pl.DataFrame:
    table = pl.DataFrame(
        {"sha256": [item.sha256 for item in items], "accepted": [item.label for item in items]},
        schema={"sha256": pl.String, "accepted": pl.String},
    )
    keyed = samples.with_columns(accepted=pl.col("class_name").fill_null(""))
    return keyed.join(table, on=["sha256", "accepted"], how="anti", maintain_order="left").drop(
        "accepted"
    )


def _n(judgement: Judgement) -> int:
    return sum(finding.n_samples for finding in judgement.findings)


def _new_only(judgement: Judgement, rules: Sequence[Rule], accepted: Accepted) -> Judgement:
    """Drop findings that name no sample under review, and those that were known of the whole."""
    naming = {rule.id for rule in rules if rule.scope == "sample" or rule.members is not None}

    def is_new(finding: Finding) -> bool:
        if finding.rule in naming:
            return finding.n_samples > 0
        return (finding.rule, finding.key) not in accepted.known

    return replace(judgement, findings=tuple(filter(is_new, judgement.findings)))


def _merge(judgements: Sequence[Judgement]) -> Judgement:
    """Findings worst first, and one row a flagged sample."""
    findings = [
        finding
        for judgement in judgements
        for finding in judgement.findings
        # A rule of a wider scope all of whose samples are suppressed names nobody.
        if finding.n_samples > 0 or len(judgements) == 1
    ]
    findings.sort(key=lambda f: (-f.severity.rank, -f.confidence.rank, f.rule, f.key or ""))
    marks = pl.concat([item.marks for item in judgements])
    frames = [item.flagged for item in judgements if item.flagged.height]
    if len(frames) <= 1:
        flagged = frames[0] if frames else judgements[0].flagged
        return Judgement(tuple(findings), flagged, marks)
    ranks = {level.value: level.rank for level in Severity}
    rows = pl.concat(frames).with_columns(
        rank=pl.col("severity").replace_strict(ranks, return_dtype=pl.Int64)
    )
    order = ["rank", "score", "row"]
    rows = rows.sort(order, descending=[True, True, False], nulls_last=True)
    merged = rows.group_by("row", maintain_order=True).agg(
        pl.col("uri", "record", "sha256", "label", "class_name", "severity", "rank").first(),
        pl.col("score").max(),
        pl.col("rules").list.explode().unique(maintain_order=True),
        pl.col("suggested_label").drop_nulls().first(),
        pl.col("reason").unique(maintain_order=True).str.join("; "),
    )
    merged = merged.sort(order, descending=[True, True, False], nulls_last=True)
    flagged = merged.select(pl.col(name).cast(kind) for name, kind in FLAGGED.items())
    return Judgement(tuple(findings), flagged, marks)


def _account(samples: pl.DataFrame, accepted: Accepted) -> tuple[dict[str, object], str]:
    """The baseline's counts for the report, and in words."""
    n_new = int(samples["change_new"].sum())
    n_other = int(samples["change_relabelled"].sum())
    n_same = samples.filter(pl.col("status") == "scanned").height - n_new - n_other
    counts: dict[str, object] = {
        "fingerprint": accepted.fingerprint,
        "accepted": n_same,
        "new": n_new,
        "relabelled": n_other,
        "known_findings": len(accepted.known),
        "known_flagged": accepted.n_flagged,
    }
    said = (
        f"Only {n_new:,} new and {n_other:,} relabelled samples were judged, against {n_same:,} "
        "accepted ones (--baseline)."
    )
    if accepted.known or accepted.n_flagged:
        said += (
            f" {len(accepted.known):,} findings and {accepted.n_flagged:,} flagged samples of the "
            "baseline are not reported again."
        )
    return counts, said


def _spoken(n_suppressed: int, over: Sequence[Suppression]) -> list[str]:
    notes = [f"{n_suppressed:,} findings on samples are suppressed (--suppressions)."]
    if over:
        first = over[0]
        notes.append(
            f"{len(over):,} suppressions have expired and hide nothing any more; the first is "
            f"{first.rule} for {first.sha256[:16]}…, by {first.author}, until {first.expires}."
        )
    return notes
