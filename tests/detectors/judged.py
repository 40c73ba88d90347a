"""What the shipped rules say of the evidence of one detector."""

from __future__ import annotations

import polars as pl

from auditor.interfaces import Evidence
from auditor.judging.ruleset import load_rules

RULES = {rule.id: rule for rule in load_rules() if rule.scope in ("class", "dataset")}


def hits(evidence: Evidence, rule_id: str) -> list[int | None]:
    """The classes in which one rule fires; ``[None]`` where it speaks of the whole dataset.

    A rule whose columns were not measured does not fire, as in a scan.
    """
    rule = RULES[rule_id]
    table = evidence.get(rule.scope, pl.DataFrame())
    if not set(rule.requires) <= set(table.columns):
        return []
    found = pl.SQLContext(t=table).execute(f"SELECT * FROM t WHERE {rule.when}", eager=True)
    return found["label"].to_list() if rule.scope == "class" else [None] * found.height


def fired(evidence: Evidence) -> dict[str, list[int | None]]:
    """Every rule that fires, and where."""
    judged = {rule_id: hits(evidence, rule_id) for rule_id in RULES}
    return {rule_id: where for rule_id, where in judged.items() if where}
