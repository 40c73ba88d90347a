from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.judging.folding import COVERED, fold
from auditor.judging.judge import Judgement
from auditor.records import Confidence, Finding, Scope, Severity
from auditor.tables import FLAGGED

Named = tuple[str, Severity, str | None, list[int]]


def judgement(*named: Named) -> Judgement:
    """Findings of these rules, severities and classes on these rows, as `ruleset.judge` orders."""
    findings, marks = [], []
    for rule, severity, key, rows in named:
        scope: Scope = "dataset" if key is None else "class"
        findings.append(
            Finding(rule, rule, severity, Confidence.HIGH, scope, key, len(rows), "", {}, "")
        )
        marks += [(row, rule, key) for row in rows]
    classes = {row: key for row, _, key in marks if key is not None}
    table = pl.DataFrame(
        [(row, rule, classes.get(row, "a")) for row, rule, _ in marks],
        schema={"row": pl.UInt64, "rule": pl.String, "class_name": pl.String},
        orient="row",
    )
    flagged = table.group_by("row", maintain_order=True).agg(
        pl.col("rule").alias("rules"), pl.col("class_name").first()
    )
    absent = [pl.lit(None, kind).alias(name) for name, kind in FLAGGED.items()
              if name not in flagged.columns]  # fmt: skip
    findings.sort(key=lambda f: (-f.severity.rank, f.rule, f.key or ""))
    return Judgement(tuple(findings), flagged.with_columns(absent).select(*FLAGGED))


def told(judged: Judgement) -> dict[tuple[str, str | None], tuple[str, str | None] | None]:
    return {(one.rule, one.key): one.witness_of for one in fold(judged).findings}


CRITICAL, HIGH, MEDIUM = Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM


def test_one_trigger_that_breaks_four_rules_is_told_once() -> None:
    rows = list(range(60))
    assert told(
        judgement(
            ("BKD001", CRITICAL, "a", rows),
            ("BKD005", CRITICAL, None, rows[:58]),
            ("BKD014", MEDIUM, "a", [*rows, 99]),
            ("LBL001", MEDIUM, None, rows[5:50]),
        )
    ) == {
        ("BKD001", "a"): None,
        ("BKD005", None): ("BKD001", "a"),
        ("BKD014", "a"): ("BKD001", "a"),
        ("LBL001", None): ("BKD001", "a"),
    }


def test_an_attack_on_all_classes_is_one_attack() -> None:
    parts = {key: list(range(50 * at, 50 * at + 50)) for at, key in enumerate("abcd")}
    every = [row for rows in parts.values() for row in rows]
    found = told(
        judgement(
            *(("BKD001", CRITICAL, key, rows) for key, rows in parts.items()),
            ("BKD005", CRITICAL, None, every),
            ("BKD013", HIGH, None, every[:120]),
        )
    )
    assert found.pop(("BKD005", None)) is None
    assert set(found.values()) == {("BKD005", None)}


def test_two_triggers_and_lesser_findings_that_see_more_stay_apart() -> None:
    found = told(
        judgement(
            ("BKD001", CRITICAL, "a", list(range(50))),
            ("BKD001", CRITICAL, "b", list(range(50, 90))),
            ("LBL001", MEDIUM, None, list(range(30, 400))),
            ("DUP001", MEDIUM, None, list(range(50))),
        )
    )
    assert set(found.values()) == {None}


def test_a_worse_finding_is_no_witness_of_a_lesser_one() -> None:
    found = told(
        judgement(("BKD001", HIGH, "a", list(range(20))), ("BKD006", MEDIUM, None, [*range(100)]))
    )
    assert set(found.values()) == {None}


@st.composite
def judgements(draw: st.DrawFn) -> Judgement:
    named: list[Named] = []
    for rule in draw(st.lists(st.sampled_from(["BKD001", "BKD005", "LBL001", "OUT002"]),
                              unique=True, min_size=1)):  # fmt: skip
        rows = draw(st.lists(st.integers(0, 30), unique=True, max_size=30))
        named.append((rule, draw(st.sampled_from([CRITICAL, HIGH, MEDIUM])), None, rows))
    return judgement(*named)


@given(judgements())
def test_every_witness_lies_in_a_finding_that_is_told_and_no_less_severe(judged: Judgement) -> None:
    folded = fold(judged)
    rows = {
        one.rule: set(judged.flagged.filter(pl.col("rules").list.contains(one.rule))["row"])
        for one in judged.findings
    }
    by_name = {(one.rule, one.key): one for one in folded.findings}
    for one in folded.findings:
        if one.witness_of is None:
            continue
        lead = by_name[one.witness_of]
        assert lead.witness_of is None
        assert lead.severity.rank >= one.severity.rank
        assert rows[one.rule]
    worst = max(f.severity.rank for f in judged.findings)
    assert worst == max(f.severity.rank for f in folded.findings if f.witness_of is None)


@pytest.mark.parametrize(("shared", "folded"), [(0.79, False), (0.81, True)])
def test_the_bound_is_the_share_of_the_witness(shared: float, folded: bool) -> None:
    n = 100
    inside = int(shared * n)
    other = [*range(inside), *range(1000, 1000 + n - inside)]
    found = told(
        judgement(("BKD001", CRITICAL, None, list(range(n))), ("BKD006", MEDIUM, None, other))
    )
    assert (found["BKD006", None] is not None) is folded
    assert pytest.approx(0.8) == COVERED
