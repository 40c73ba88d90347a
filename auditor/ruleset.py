"""Rules: `rules/*.toml` read, checked, compiled to polars expressions, and turned into findings."""

from __future__ import annotations

import math
import string
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import polars as pl

from auditor.errors import UsageError
from auditor.records import SCOPE_KEYS, Confidence, Finding, Rule, Scope, Severity
from auditor.tables import FLAGGED

FLAG_FROM = Severity.MEDIUM
"""Samples named by findings of this severity or above are flagged: they call for a decision."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the rules say of a dataset: findings, worst first, and the flagged samples."""

    findings: tuple[Finding, ...]
    flagged: pl.DataFrame


def rules_folder() -> Traversable:
    """Where the shipped rules lie: inside the wheel, or beside the package in a checkout."""
    shipped = files("auditor") / "rules"
    return shipped if shipped.is_dir() else Path(__file__).parent.parent / "rules"


def load_rules(folder: Traversable | None = None) -> tuple[Rule, ...]:
    """Read every rule, sorted by id.

    Raises:
        UsageError: a rule file is malformed, or two rules share an id.
    """
    source = folder or rules_folder()
    rules = [
        _parse(item.name, item.read_text("utf-8"))
        for item in source.iterdir()
        if item.name.endswith(".toml")
    ]
    rules.sort(key=lambda rule: rule.id)
    for one, other in pairwise(rules):
        if one.id == other.id:
            raise UsageError(f"rule {one.id}: two files claim this id; ids are never reused")
    return tuple(rules)


def _parse(name: str, text: str) -> Rule:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"rule file {name!r}: no valid TOML: {error}") from None
    known = {field.name for field in fields(Rule)}
    for key in data:
        if key not in known:
            close = get_close_matches(key, known, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise UsageError(f"rule file {name!r}: unknown key {key!r}{hint}")
    identifier, _, slug = name.removesuffix(".toml").partition("-")
    if data.get("id") != identifier:
        raise UsageError(f"rule file {name!r}: id is {data.get('id')!r}, expected {identifier!r}")
    if data.get("scope") not in get_args(Scope):
        raise UsageError(f"rule file {name!r}: scope is {data.get('scope')!r}, expected one of "
                         f"{', '.join(get_args(Scope))}")  # fmt: skip
    try:
        data |= {
            "slug": slug,
            "severity": Severity(data["severity"]),
            "confidence": Confidence(data["confidence"]),
            "requires": tuple(data["requires"]),
            "tags": tuple(data["tags"]),
        }
        return Rule(**data)
    except (KeyError, ValueError, TypeError) as error:
        raise UsageError(f"rule file {name!r}: {error}") from None


def select_rules(
    rules: Sequence[Rule], select: Sequence[str], ignore: Sequence[str]
) -> tuple[Rule, ...]:
    """Rules whose id starts with one of ``select`` (all, if empty) and none of ``ignore``.

    Raises:
        UsageError: a prefix fits no rule.
    """
    for prefix in (*select, *ignore):
        if not any(rule.id.startswith(prefix.upper()) for rule in rules):
            close = get_close_matches(prefix.upper(), [rule.id for rule in rules], 3)
            hint = f"; did you mean {' or '.join(close)}?" if close else "; see `auditor rules`"
            raise UsageError(f"rule {prefix!r}: no rule id starts like this{hint}")
    wanted = tuple(prefix.upper() for prefix in select) or ("",)
    unwanted = tuple(prefix.upper() for prefix in ignore)
    return tuple(
        rule
        for rule in rules
        if rule.id.startswith(wanted) and not (unwanted and rule.id.startswith(unwanted))
    )


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
    for rule in rules:
        if rule.confidence.rank < min_confidence.rank:
            continue
        table = samples if rule.scope == "sample" else evidence.get(rule.scope, pl.DataFrame())
        if table.is_empty() or not set(rule.requires) <= {*table.columns, *samples.columns}:
            continue
        hits = _where(rule, table, rule.when)
        if hits.is_empty():
            continue
        found, marked = _fire(rule, hits, samples, class_names)
        findings.extend(found)
        if rule.severity.rank >= FLAG_FROM.rank:
            flags.extend(marked)
    findings.sort(key=lambda f: (-f.severity.rank, -f.confidence.rank, f.rule, f.key or ""))
    return Judgement(tuple(findings), _flagged(flags, samples, rules, class_names))


def _where(rule: Rule, table: pl.DataFrame, expression: str) -> pl.DataFrame:
    """The rows of ``table`` for which the rule's SQL expression is true.

    Raises:
        UsageError: the expression is malformed, or does not fit the table.
    """
    try:
        return table.filter(_compile(rule, expression))
    except pl.exceptions.PolarsError as error:
        raise UsageError(f"rule {rule.id}: {expression!r} does not fit: {error}") from None


def _compile(rule: Rule, expression: str) -> pl.Expr:
    try:
        return pl.sql_expr(expression)
    except pl.exceptions.PolarsError as error:
        raise UsageError(f"rule {rule.id}: {expression!r} is no SQL expression: {error}") from None


def _fire(
    rule: Rule, hits: pl.DataFrame, samples: pl.DataFrame, names: Sequence[str]
) -> tuple[list[Finding], list[pl.DataFrame]]:
    """Findings of one rule, and for each the samples it names with score, label and reason."""
    if rule.scope == "sample":
        summary = {"share": hits.height / max(1, samples.height)}
        finding = _finding(rule, None, hits.height, summary)
        return [finding], [_marks(rule, hits)]
    findings, marks = [], []
    key_column = SCOPE_KEYS[rule.scope]
    for row in hits.iter_rows(named=True):
        named = samples
        key: str | None = None
        if key_column is not None:
            value = row[key_column]
            named = samples.filter(pl.col(key_column) == value)
            key = names[value] if rule.scope == "class" else str(value)
        if rule.members is None:
            # The finding is about the key as a whole: it counts its samples and flags none.
            findings.append(_finding(rule, key, named.height, row))
            continue
        named = _where(rule, named, rule.members)
        findings.append(_finding(rule, key, named.height, row))
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
    score = _compile(rule, rule.score) if rule.score else pl.lit(1.0)
    label = _compile(rule, rule.suggested_label) if rule.suggested_label else pl.lit(None)
    text = rule.reason or rule.title
    fields_used = [name for _, name, _, _ in string.Formatter().parse(text) if name]
    reasons = [render(text, row) for row in named.select(fields_used).iter_rows(named=True)]
    return named.select(
        "row",
        rule=pl.lit(rule.id),
        rank=pl.lit(rule.severity.rank),
        score=score.cast(pl.Float64).fill_nan(None).clip(0.0, 1.0),
        suggested=label.cast(pl.Int64),
        reason=pl.Series(reasons, dtype=pl.String) if fields_used else pl.lit(text),
    )


def _flagged(
    flags: list[pl.DataFrame], samples: pl.DataFrame, rules: Sequence[Rule], names: Sequence[str]
) -> pl.DataFrame:
    """Merge the marks: one row a sample, its worst rule first."""
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
        score=pl.col("score").first(),
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
