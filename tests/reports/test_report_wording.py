from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from auditor.records import Coverage
from auditor.report import Report
from auditor.reports.wording import (
    busiest,
    failing,
    leading,
    next_steps,
    ordered,
    reason,
    tally_words,
    witness_words,
    witnesses,
    worst_samples,
)
from auditor.tables import members

Make = dict[str, Callable[[], Report]]


def test_findings_come_worst_first_whatever_their_order(make: Make) -> None:
    report = make["poisoned"]()
    rules = [finding.rule for finding in ordered(report.findings)]
    assert rules == ["BKD001", "LBL001", "DUP001"]
    assert ordered(report.findings[::-1]) == ordered(report.findings)
    assert tally_words(report.findings) == "1 critical · 1 medium · 1 info"


def test_a_witness_is_told_with_its_finding_and_counted_once(make: Make) -> None:
    report = make["poisoned"]()
    lead, other, *rest = ordered(report.findings)
    witness = replace(other, witness_of=(lead.rule, lead.key))
    assert leading([witness, lead, *rest]) == [lead, *rest]
    assert witnesses(lead, [witness, lead, *rest]) == [witness]
    assert witnesses(rest[0], [witness, lead, *rest]) == []
    told = replace(
        report, findings=(lead, replace(lead, rule="BKD009", witness_of=witness.witness_of))
    )
    assert "more finding" not in reason(told)
    assert (
        witness_words(replace(lead, title="Alike", n_samples=1)) == "1 sample (class class0): Alike"
    )


@pytest.mark.parametrize(
    ("fail_on", "n"), [("critical", 1), ("high", 1), ("medium", 2), ("info", 3), ("never", 0)]
)
def test_failing_follows_the_limit(make: Make, fail_on: str, n: int) -> None:
    assert len(failing(replace(make["poisoned"](), fail_on=fail_on))) == n


def test_reason_in_plain_words(make: Make) -> None:
    assert reason(make["clean"]()) == "Nothing at or above high in 40 samples."
    assert reason(make["poisoned"]()) == (
        "A trigger predicts the label (class class0). 8 of 40 samples flagged (20.0 %)."
    )
    assert reason(make["incomplete"]()) == (
        "This dataset can not be passed: 2 of 42 samples could not be read "
        "and detector spectral failed."
    )
    assert reason(make["empty_classes"]()) == (
        "Nothing at or above high in 40 samples. 1 finding to look at below."
    )
    assert reason(make["many_classes"]()).startswith(
        "A trigger predicts the label (class class0), and 149 more findings."
    )


def test_fail_that_is_also_incomplete_says_both(make: Make) -> None:
    report = replace(make["poisoned"](), coverage=Coverage(41, 40, 1, {"truncated": 1}))
    assert reason(report).endswith("Also incomplete: 1 of 41 samples could not be read.")
    allowed = replace(make["clean"](), coverage=Coverage(41, 40, 1, {"truncated": 1}))
    assert reason(allowed).endswith("As allowed, 1 of 41 samples could not be read.")


def test_worst_samples_give_each_rule_its_share(make: Make) -> None:
    flagged = make["poisoned"]().flagged
    assert worst_samples(flagged, 8).equals(flagged)
    four = worst_samples(flagged, 4)
    assert four["rules"].list.first().to_list() == ["BKD001", "BKD001", "LBL001", "LBL001"]
    assert worst_samples(flagged, 5)["row"].to_list() == [0, 4, 8, 1, 2]
    assert worst_samples(flagged, 1).height == 1


def test_members_are_those_of_the_class_and_rule(make: Make) -> None:
    report = make["many_classes"]()
    found = next(f for f in report.findings if f.key == "class7")
    assert members(report.flagged, found)["class_name"].to_list() == ["class7", "class7"]
    other = replace(found, rule="LBL001")
    assert members(report.flagged, other).height == 0


def test_busiest_classes(make: Make) -> None:
    classes = make["many_classes"]().classes
    assert len(busiest(classes, 5)) == 5
    assert all(line.n_flagged for line in busiest(classes, 150))
    assert busiest(classes, 200) == list(classes)


def test_next_steps_can_be_pasted(make: Make) -> None:
    report = make["incomplete"]()
    report = replace(report, dataset=replace(report.dataset, root="/my data/$(rm -rf)"))
    commands = [step.command for step in next_steps(report, Path("out dir"))]
    assert "'out dir/report.html'" in commands
    assert "auditor scan '/my data/$(rm -rf)' --allow-refused 2" in commands
    assert [s.command for s in next_steps(make["clean"](), Path("r"))] == ["r/report.json"]
    assert next_steps(make["clean"](), None) == []


def test_nothing_here_changes_the_report(make: Make) -> None:
    report = make["poisoned"]()
    before = report.flagged.clone()
    worst_samples(report.flagged, 3)
    assert isinstance(report.flagged, pl.DataFrame)
    assert report.flagged.equals(before)
