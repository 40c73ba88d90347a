"""Rules against evidence tables: where each fires, and which samples it then names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from auditor.errors import UsageError
from auditor.records import SCOPE_KEYS, Confidence, Rule, Scope


def match(
    rules: Sequence[Rule],
    samples: pl.DataFrame,
    evidence: Mapping[Scope, pl.DataFrame],
    min_confidence: Confidence,
) -> list[tuple[Rule, pl.DataFrame]]:
    """The rules that fire, each with the rows of its scope on which it does."""
    hits = []
    for rule in rules:
        if rule.confidence.rank < min_confidence.rank:
            continue
        table = samples if rule.scope == "sample" else evidence.get(rule.scope, pl.DataFrame())
        if table.is_empty() or not set(rule.requires) <= {*table.columns, *samples.columns}:
            continue
        fired = where(rule, table, rule.when)
        if not fired.is_empty():
            hits.append((rule, fired))
    return hits


def named_by(rule: Rule, row: Mapping[str, Any], samples: pl.DataFrame) -> pl.DataFrame:
    """The samples that a finding on a row of wider scope names; all of its key without members."""
    column = SCOPE_KEYS[rule.scope]
    named = samples if column is None else samples.filter(pl.col(column) == row[column])
    return named if rule.members is None else where(rule, named, rule.members)


def where(rule: Rule, table: pl.DataFrame, expression: str) -> pl.DataFrame:
    """The rows of ``table`` for which the rule's SQL expression is true.

    Raises:
        UsageError: the expression is malformed, or does not fit the table.
    """
    try:
        return table.filter(compiled(rule, expression))
    except pl.exceptions.PolarsError as error:
        raise UsageError(f"rule {rule.id}: {expression!r} does not fit: {error}") from None


def compiled(rule: Rule, expression: str) -> pl.Expr:
    """A rule's SQL expression for polars.

    Raises:
        UsageError: it is none.
    """
    try:
        return pl.sql_expr(expression)
    except pl.exceptions.PolarsError as error:
        raise UsageError(f"rule {rule.id}: {expression!r} is no SQL expression: {error}") from None
