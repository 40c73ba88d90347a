"""Rules over evidence, compiled to polars expressions: findings, and the samples they name."""

from __future__ import annotations

import math
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from auditor.judging.matching import compiled, match, named_by
from auditor.judging.settling import less_settled, settled_rows
from auditor.records import SCOPE_KEYS, Confidence, Finding, Rule, Scope, Severity
from auditor.tables import FLAGGED

FLAG_FROM = Severity.MEDIUM
"""Samples named by findings of this severity or above are flagged: they call for a decision."""

MARKS: Mapping[str, type[pl.DataType]] = {"row": pl.UInt64, "rule": pl.String, "raw": pl.Float64}
"""One row for each sample and each rule that names it; ``raw`` is 0–1, higher is worse."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the rules say of a dataset: findings, worst first, and the flagged samples.

    ``marks`` has one row a sample and rule: ``row``, ``rule``, and ``raw``, the rule's own score.
    """

    findings: tuple[Finding, ...]
    flagged: pl.DataFrame
    marks: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=MARKS))


def judge(
    rules: Sequence[Rule],
    samples: pl.DataFrame,
    evidence: Mapping[Scope, pl.DataFrame],
    class_names: Sequence[str],
    min_confidence: Confidence,
) -> Judgement:
    """Apply each rule to its scope's evidence.

    A rule whose required columns were not measured does not fire: the report's detector table and
    blind spots say why the columns are missing.

    Args:
        rules: the rules to apply.
        samples: the ledger joined with the sample evidence.
        evidence: the evidence of every other scope.
        class_names: K names; a class key is shown by its name.
        min_confidence: rules below it are left out.
    """
    findings: list[Finding] = []
    flags: list[pl.DataFrame] = []
    hits = match(rules, samples, evidence, min_confidence)
    settled = settled_rows(hits, samples)
    for rule, fired in hits:
        found, marked = _fire(rule, fired, samples, class_names, settled)
        findings.extend(found)
        if rule.severity.rank >= FLAG_FROM.rank:
            flags.extend(marked)
    findings.sort(key=lambda f: (-f.severity.rank, -f.confidence.rank, f.rule, f.key or ""))
    marks = pl.concat([one.select(*MARKS) for one in flags] or [pl.DataFrame(schema=MARKS)])
    return Judgement(tuple(findings), _flagged(flags, samples, class_names), marks)


def _fire(
    rule: Rule,
    hits: pl.DataFrame,
    samples: pl.DataFrame,
    names: Sequence[str],
    settled: Mapping[str, pl.Series],
) -> tuple[list[Finding], list[pl.DataFrame]]:
    """Findings of one rule, and for each the samples it names with score, label and reason."""
    if rule.scope == "sample":
        summary = {"share": hits.height / max(1, samples.height)}
        finding = _finding(rule, None, hits.height, summary)
        return [finding], [_marks(rule, hits)]
    findings, marks = [], []
    key_column = SCOPE_KEYS[rule.scope]
    for row in hits.iter_rows(named=True):
        key: str | None = None
        if key_column is not None:
            value = row[key_column]
            key = names[value] if rule.scope == "class" else str(value)
        named = less_settled(rule, named_by(rule, row, samples), settled)
        findings.append(_finding(rule, key, named.height, row))
        if rule.members is not None:
            # Without members the finding is about the key as a whole: it flags no sample.
            marks.append(_marks(rule, named))
    return findings, marks


def _finding(rule: Rule, key: str | None, n: int, row: Mapping[str, Any]) -> Finding:
    prefixes = {name.rsplit(".", 1)[-1] for name in rule.requires}
    shown = {
        name: _plain(value)
        for name, value in row.items()
        if name not in SCOPE_KEYS.values() and _related(name, prefixes)
    }
    if rule.scope == "sample":
        shown = {name: _plain(value) for name, value in row.items()}
    values = {**row, "n": n, "key": key}
    return Finding(
        rule=rule.id,
        title=rule.title,
        severity=rule.severity,
        confidence=rule.confidence,
        scope=rule.scope,
        key=key,
        n_samples=n,
        message=render(rule.message, values),
        evidence=shown,
        remedy=rule.remedy,
    )


def _related(name: str, required: set[str]) -> bool:
    """Evidence of the detectors that a rule requires, told by the columns' common prefix."""
    return any(name == need or name.split("_")[0] == need.split("_")[0] for need in required)


def _plain(value: object) -> float | int | str | bool | None:
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)


class _Words(string.Formatter):
    """Formats without attribute or index access, and shows what was not measured as ``n/a``."""

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> tuple[Any, str]:
        return kwargs.get(field_name), field_name

    def format_field(self, value: Any, format_spec: str) -> str:
        return "n/a" if value is None else str(format(value, format_spec))


def render(text: str, values: Mapping[str, Any]) -> str:
    """Fill a rule's message with evidence values."""
    return _Words().vformat(text, (), dict(values))


def _marks(rule: Rule, named: pl.DataFrame) -> pl.DataFrame:
    """The named samples with what this rule says of each."""
    raw = compiled(rule, rule.score) if rule.score else pl.lit(1.0)
    raw = raw.cast(pl.Float64).fill_nan(None).clip(0.0, 1.0)
    label = compiled(rule, rule.suggested_label) if rule.suggested_label else pl.lit(None)
    text = rule.reason or rule.title
    fields_used = [name for _, name, _, _ in string.Formatter().parse(text) if name]
    reasons = [render(text, row) for row in named.select(fields_used).iter_rows(named=True)]
    return named.select(
        "row",
        rule=pl.lit(rule.id),
        rank=pl.lit(rule.severity.rank),
        raw=raw,
        score=_probability(rule, raw),
        suggested=label.cast(pl.Int64),
        reason=pl.Series(reasons, dtype=pl.String) if fields_used else pl.lit(text),
    )


def _probability(rule: Rule, raw: pl.Expr) -> pl.Expr:
    """What a rule's own score is worth (`Rule.probability`); itself where that was not measured."""
    worth = raw
    for start, share in rule.probability:
        worth = pl.when(raw >= start).then(share).otherwise(worth)
    return worth


def _flagged(
    flags: list[pl.DataFrame], samples: pl.DataFrame, names: Sequence[str]
) -> pl.DataFrame:
    """Merge the marks: one row a sample, its worst rule first, with its strongest evidence.

    Rules that name the same sample saw the same thing from several sides, so that their
    probabilities do not multiply: the score is the highest of them.
    """
    if not flags:
        return pl.DataFrame(schema=FLAGGED)
    severities = [severity.value for severity in Severity]
    marks = pl.concat(flags).sort(
        ["rank", "score", "rule"], descending=[True, True, False], nulls_last=True
    )

    def by_rule(column: str) -> pl.Expr:
        """Worst first, then by id: samples of one group read alike whatever their scores."""
        ordered = pl.col(column).sort_by(["rank", "rule"], descending=[True, False])
        return ordered.unique(maintain_order=True)

    merged = marks.group_by("row", maintain_order=True).agg(
        rules=by_rule("rule"),
        severity=pl.col("rank").first().replace_strict(range(len(severities)), severities),
        rank=pl.col("rank").first(),
        score=pl.col("score").max(),
        suggested=pl.col("suggested").drop_nulls().first(),
        reason=by_rule("reason").str.join("; "),
    )
    table = pl.DataFrame(
        {"suggested": range(len(names)), "suggested_label": list(names)},
        schema={"suggested": pl.Int64, "suggested_label": pl.String},
    )
    return (
        merged.join(samples, on="row", how="left")
        .join(table, on="suggested", how="left")
        .sort(["rank", "score", "row"], descending=[True, True, False], nulls_last=True)
        .select(pl.col(name).cast(kind) for name, kind in FLAGGED.items())
    )
