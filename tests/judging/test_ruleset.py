"""Rules: every shipped one is well-formed, and the engine does what a rule says, no more."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from auditor.errors import UsageError
from auditor.judging.judge import judge, render
from auditor.judging.ruleset import load_rules, rules_folder, select_rules
from auditor.provenance import CHECKS, FILE_CHECKS
from auditor.records import Confidence, Rule, Severity
from auditor.tables import FLAGGED, INVENTORY, MEASURES, SAMPLES

RULES = load_rules()
FAMILIES = ("INT", "PRV", "FMT", "COV", "DUP", "LBL", "BKD", "OUT", "DST", "TXT", "TAB")


def test_ids_are_unique_and_of_a_known_family() -> None:
    ids = [rule.id for rule in RULES]
    assert len(ids) == len(set(ids)) > 0
    for rule in RULES:
        assert rule.id[:3] in FAMILIES
        assert rule.id[3:].isdigit()
        assert len(rule.id) == 6
    names = {item.name for item in rules_folder().iterdir() if item.name.endswith(".toml")}
    assert names == {f"{rule.id}-{rule.slug}.toml" for rule in RULES}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_shipped_rule_is_complete_and_compiles(rule: Rule) -> None:
    assert rule.tags
    assert rule.requires
    for text in (rule.title, rule.message, rule.why, rule.remedy, rule.since):
        assert text.strip()
    for expression in (rule.when, rule.members, rule.score, rule.suggested_label, rule.settles):
        if expression is not None:
            assert isinstance(pl.sql_expr(expression), pl.Expr)
    wider = rule.scope != "sample"
    assert wider or rule.members is None, "members makes no sense for a rule over samples"
    assert rule.settles is None or rule.members is not None, "settles asks for members"
    if rule.settles is not None:
        assert set(pl.sql_expr(rule.settles).meta.root_names()) <= set(rule.requires)
    for text in (rule.message, rule.reason or ""):
        for _, name, spec, conversion in string.Formatter().parse(text):
            assert conversion is None
            assert name != ""
            if name and spec:
                assert format(0.5, spec)


def produced() -> set[str]:
    """The columns that checks produce, measured on a small ledger."""
    n = 8
    schema = {**SAMPLES, **MEASURES}
    values: dict[str, list[Any]] = {name: [None] * n for name in schema}
    values |= {
        "row": list(range(n)), "status": ["scanned"] * n, "sha256": [str(i) for i in range(n)],
        "label": [0, 1] * 4, "luma_deviation": [20.0] * n, "perceptual_hash": list(range(n)),
    }  # fmt: skip
    views = {"pixels": np.zeros((n, 32, 32, 3), np.uint8)}
    table = pl.DataFrame(values, schema=schema)
    beside = pl.DataFrame(schema=INVENTORY)
    evidence = [check.run(table, views) for check in CHECKS]
    evidence += [check.run(beside, table) for check in FILE_CHECKS]
    frames = [frame for one in evidence for frame in one.values()]
    return {*SAMPLES, *MEASURES, *(name for frame in frames for name in frame.columns)}


def test_every_required_column_has_a_producer() -> None:
    from auditor.detectors import DETECTORS, THOROUGH

    known = produced()
    # Measured in the scan: against a baseline, from the pool, from what was flagged.
    others = ("change_", "changes_", "concentration_", "credentials_", "decoders_",
              "gathered_")  # fmt: skip
    prefixes = (*(f"{detector.id}_" for detector in (*DETECTORS, *THOROUGH)), *others)
    for rule in RULES:
        for expression in (rule.when, rule.members, rule.score, rule.suggested_label, rule.settles):
            if expression is None:
                continue
            for name in pl.sql_expr(expression).meta.root_names():
                assert name in known or name.startswith(prefixes), (rule.id, name)
        for name in rule.requires:
            assert name in known or name.startswith(prefixes), (rule.id, name)


def make(**changes: Any) -> Rule:
    base = {
        "id": "TST001", "slug": "test", "title": "A test", "severity": Severity.HIGH,
        "confidence": Confidence.HIGH, "scope": "sample", "requires": ("x_score",),
        "when": "x_score > 0.5", "message": "{n} samples", "why": "w", "remedy": "r",
        "since": "0.1.0", "tags": ("t",),
    }  # fmt: skip
    return Rule(**{**base, **changes})


SAMPLE_TABLE = pl.DataFrame(
    {
        "row": [0, 1, 2, 3], "uri": ["a", "b", "c", "d"], "record": [None] * 4,
        "sha256": ["s"] * 4, "label": [0, 0, 1, None], "class_name": ["cat", "cat", "dog", None],
        "x_score": [0.9, None, 0.7, 0.1], "x_label": [1, None, 0, None],
        "x_nan": [float("nan"), 0.0, 5.0, 1.0],
    },
    schema_overrides={"row": pl.UInt64, "record": pl.UInt64, "label": pl.Int64},
)  # fmt: skip
CLASS_TABLE = pl.DataFrame({"label": [0, 1], "x_power": [2.5, 9.0]})


def run(*rules: Rule, minimum: Confidence = Confidence.LOW) -> Any:
    return judge(rules, SAMPLE_TABLE, {"class": CLASS_TABLE}, ["cat", "dog"], minimum)


def test_a_sample_rule_flags_what_it_says() -> None:
    rule = make(score="x_score", suggested_label="x_label", reason="score {x_score:.1f} in {uri}")
    result = run(rule)
    (finding,) = result.findings
    assert (finding.n_samples, finding.key, finding.message) == (2, None, "2 samples")
    assert finding.evidence == {"share": 0.5}
    assert result.flagged.schema == pl.Schema(FLAGGED)
    assert result.flagged["row"].to_list() == [0, 2]
    assert result.flagged["score"].to_list() == [0.9, 0.7]
    assert result.flagged["suggested_label"].to_list() == ["dog", "cat"]
    assert result.flagged["reason"].to_list() == ["score 0.9 in a", "score 0.7 in c"]


def test_a_class_rule_names_its_class_and_its_members() -> None:
    rule = make(scope="class", when="x_power > 3", members="x_score > 0.5", requires=("x_power",),
                message="{key}: {n} of power {x_power:.0f}")  # fmt: skip
    result = run(rule)
    (finding,) = result.findings
    assert (finding.key, finding.n_samples, finding.message) == ("dog", 1, "dog: 1 of power 9")
    assert result.flagged["row"].to_list() == [2]


def test_a_wide_rule_without_members_counts_and_flags_nothing() -> None:
    rule = make(scope="class", when="x_power > 0", requires=("x_power",))
    result = run(rule)
    assert [finding.n_samples for finding in result.findings] == [2, 1]
    assert result.flagged.is_empty()


def test_what_was_not_measured_fires_nothing() -> None:
    assert run(make(requires=("y_score",), when="y_score > 0")).findings == ()
    assert run(make(scope="source", when="x > 0", requires=())).findings == ()
    assert run(make(when="x_score > 2")).findings == ()


def test_several_rules_on_one_sample_worst_first() -> None:
    low = make(id="TST002", severity=Severity.MEDIUM, when="x_score > 0.8", reason="two")
    mild = make(id="TST003", severity=Severity.LOW, when="row >= 0", reason="three")
    result = run(mild, low, make(reason="one"))
    assert [finding.rule for finding in result.findings] == ["TST001", "TST002", "TST003"]
    first = result.flagged.row(0, named=True)
    assert first["rules"] == ["TST001", "TST002"]
    assert first["severity"] == "high"
    assert first["reason"] == "one; two"
    assert result.flagged.height == 2  # a low rule flags nobody


def test_scores_that_are_no_numbers_go_last() -> None:
    result = run(make(when="row < 4", score="x_nan"))
    assert result.flagged["row"].to_list() == [2, 3, 1, 0]
    assert result.flagged["score"].to_list() == [1.0, 1.0, 0.0, None]


def test_a_score_is_what_the_bench_found_it_worth() -> None:
    worth = make(when="row < 4", score="x_score", probability=((0.0, 0.2), (0.5, 0.6), (0.9, 0.8)))
    result = run(worth)
    assert dict(result.flagged.select("row", "score").iter_rows()) == {
        0: 0.8, 1: None, 2: 0.6, 3: 0.2
    }  # fmt: skip
    assert dict(result.marks.select("row", "raw").iter_rows()) == {0: 0.9, 1: None, 2: 0.7, 3: 0.1}


def test_the_strongest_evidence_gives_the_score_not_the_worst_rule() -> None:
    worst = make(when="row = 0", score="x_score", probability=((0.0, 0.3),))
    sure = make(id="TST002", severity=Severity.MEDIUM, when="row = 0", score="0.7")
    result = run(worst, sure)
    assert result.flagged.row(0, named=True)["rules"] == ["TST001", "TST002"]
    assert result.flagged["score"].to_list() == [0.7]
    assert result.marks.height == 2


def test_min_confidence() -> None:
    unsure = make(confidence=Confidence.MEDIUM)
    assert run(unsure, minimum=Confidence.HIGH).findings == ()
    assert len(run(unsure, minimum=Confidence.MEDIUM).findings) == 1


@pytest.mark.parametrize("when", ["x_score >", "nope > 1", "class_name > 3", "SELECT 1; DROP"])
def test_a_rule_that_does_not_fit_is_a_usage_error(when: str) -> None:
    with pytest.raises(UsageError, match="TST001"):
        run(make(when=when))


def test_messages_take_values_and_obey_none() -> None:
    values = {"name": "{n} {0.__class__}", "n": 3, "x": None}
    assert render("{name} {n:02d} {x:.2f} {gone} {n.__class__} {{}}", values) == (
        "{n} {0.__class__} 03 n/a n/a n/a {}"
    )


def test_selection() -> None:
    some = [make(id=name) for name in ("BKD001", "BKD002", "DUP001")]
    ids = [rule.id for rule in select_rules(some, ["bkd"], ["BKD002"])]
    assert ids == ["BKD001"]
    assert len(select_rules(some, [], [])) == 3
    with pytest.raises(UsageError, match="did you mean BKD001"):
        select_rules(some, ["BKD0001"], [])


GOOD = """
id = "TST001"
title = "t"
severity = "high"
confidence = "low"
scope = "sample"
requires = ["x"]
when = "x > 1"
message = "m"
why = "w"
remedy = "r"
since = "1"
tags = ["t"]
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "tilte = 1", "did you mean 'title'"),
        (GOOD.replace("high", "hihg"), "hihg"),
        (GOOD.replace('scope = "sample"', 'scope = "planet"'), "expected one of"),
        (GOOD.replace('when = "x > 1"', ""), "when"),
        (GOOD.replace("TST001", "TST002"), "expected 'TST001'"),
        ("= broken", "no valid TOML"),
        (GOOD + "probability = [[0.0, 0.9], [0.5, 0.8]]", "rising in 0–1"),
        (GOOD + "probability = [[0.0, 0.9], [0.5, 1.2]]", "rising in 0–1"),
        (GOOD + "probability = [[0.0]]", "TST001"),
    ],
)
def test_malformed_rule_files(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "TST001-x.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        load_rules(tmp_path)


def test_two_files_may_not_share_an_id(tmp_path: Path) -> None:
    for slug in "ab":
        (tmp_path / f"TST001-{slug}.toml").write_text(GOOD)
    with pytest.raises(UsageError, match="two files claim"):
        load_rules(tmp_path)
