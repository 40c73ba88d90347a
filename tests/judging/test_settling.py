"""A group that lies clearly apart settles which samples the fainter views of it may name."""

from __future__ import annotations

from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from auditor.judging.judge import Judgement, judge
from auditor.judging.settling import SAME
from auditor.records import Confidence, Rule, Severity

N = 12
LABELS = [0] * 8 + [1] * 4


def rule(identifier: str, column: str, settles: str | None = None, scope: str = "class") -> Rule:
    values: dict[str, Any] = {
        "id": identifier, "slug": "test", "title": "A test", "severity": Severity.HIGH,
        "confidence": Confidence.HIGH, "scope": scope, "requires": (f"{column}_gap",),
        "when": f"{column}_gap > 0", "message": "{n} samples", "why": "w", "remedy": "r",
        "since": "0.1.0", "tags": ("t",), "members": column, "settles": settles,
    }  # fmt: skip
    return Rule(**values)


def judged(clear: set[int], faint: set[int], gap: float, family: str = "BKD") -> Judgement:
    """A clear rule on class 0, a faint one on the whole dataset, and what they name."""
    rows = range(N)
    samples = pl.DataFrame(
        {
            "row": rows, "uri": [str(row) for row in rows], "record": [None] * N,
            "sha256": ["s"] * N, "label": LABELS, "class_name": ["ab"[label] for label in LABELS],
            "clear": [row in clear for row in rows], "faint": [row in faint for row in rows],
        },
        schema_overrides={"row": pl.UInt64, "record": pl.UInt64, "label": pl.Int64},
    )  # fmt: skip
    evidence = {
        "class": pl.DataFrame({"label": [0], "clear_gap": [gap]}),
        "dataset": pl.DataFrame({"faint_gap": [1.0]}),
    }
    rules = [
        rule(f"{family}902", "faint", scope="dataset"),
        rule("BKD901", "clear", "clear_gap >= 0.5"),
    ]
    return judge(rules, samples, evidence, ["a", "b"], Confidence.LOW)  # type: ignore[arg-type]


def named(judgement: Judgement, rule: str) -> set[int]:
    return set(judgement.marks.filter(pl.col("rule") == rule)["row"].to_list())


def test_a_clear_group_takes_look_alikes_from_a_faint_view_of_it() -> None:
    judgement = judged({0, 1, 2, 3}, {0, 1, 2, 5, 9}, gap=0.9)
    assert named(judgement, "BKD901") == {0, 1, 2, 3}
    assert named(judgement, "BKD902") == {0, 1, 2}
    (finding,) = (one for one in judgement.findings if one.rule == "BKD902")
    assert finding.n_samples == 3
    assert finding.message == "3 samples"


def test_a_group_that_touches_its_rest_settles_nothing() -> None:
    assert named(judged({0, 1, 2, 3}, {0, 1, 2, 5, 9}, gap=0.1), "BKD902") == {0, 1, 2, 5, 9}


def test_another_group_keeps_its_samples() -> None:
    assert named(judged({0, 1}, {1, 5, 6, 9}, gap=0.9), "BKD902") == {1, 5, 6, 9}


def test_another_family_judges_something_else() -> None:
    judgement = judged({0, 1, 2}, {0, 1, 2, 9}, gap=0.9, family="LBL")
    assert named(judgement, "LBL902") == {0, 1, 2, 9}


@given(
    st.sets(st.integers(0, 7), min_size=1),
    st.sets(st.integers(0, N - 1), min_size=1),
    st.sampled_from([0.1, 0.9]),
)
def test_what_a_faint_rule_names_is_its_slow_twin(
    clear: set[int], faint: set[int], gap: float
) -> None:
    shared = clear & faint
    expected = shared if gap >= 0.5 and len(shared) / len(faint) > SAME else faint
    judgement = judged(clear, faint, gap)
    assert named(judgement, "BKD902") == expected
    assert named(judgement, "BKD901") == clear
    assert set(judgement.flagged["row"].to_list()) == clear | expected
