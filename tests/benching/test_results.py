from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import polars as pl
import pytest

from auditor.attacks import ATTACKS
from auditor.benching.cases import CLEAN
from auditor.benching.picture import draw_curves
from auditor.benching.power import power_table
from auditor.benching.results import BenchResult, accuracy_drops, false_alarms, grouped
from auditor.benching.running import Outcome, outcome_from
from auditor.benching.scoring import upper_bound
from auditor.benching.success import Success
from auditor.benching.suites import STANDARD, SUITES

MakeOutcome = Callable[..., Outcome]


def test_stored_outcomes_come_back_as_they_were(outcome: MakeOutcome) -> None:
    for one in (outcome(), outcome(attack="clean"), outcome(status="failed")):
        assert outcome_from(json.loads(json.dumps(one.as_json()))) == one


def test_files_hold_every_case_failed_ones_too(outcome: MakeOutcome, tmp_path: Path) -> None:
    runs = (outcome(), outcome(attack="clean"), outcome(attack="sig", status="failed"))
    BenchResult("quick", "digits", runs, tuple(power_table(runs))).save(tmp_path)
    table = pl.read_csv(tmp_path / "results.csv")
    assert table["attack"].to_list() == ["badnets", "clean", "sig"]
    assert table["status"].to_list() == ["ok", "ok", "failed"]
    assert table["tpr_any"].to_list() == [0.99, None, None]
    assert table["shortcut_score_tpr_at_fpr_0.01"].to_list() == [0.75, 0.75, None]
    content = json.loads((tmp_path / "results.json").read_text())
    assert [case["case"]["attack"] for case in content["cases"]] == ["badnets", "clean", "sig"]


def test_groups_add_up_seeds(outcome: MakeOutcome) -> None:
    (group,) = grouped([outcome(seed=0, found=100), outcome(seed=1, found=50, right=False)])
    assert (group.runs, group.right, group.n_poisoned, group.found["any"]) == (2, 1, 200, 150)
    assert group.false["any"] == 4
    assert group.best == "shortcut_score"


def test_alarms_count_clean_and_mislabelled_draws_alone(outcome: MakeOutcome) -> None:
    runs = [outcome(alarms=1), outcome(attack="clean"), outcome(attack="label_flip", alarms=2)]
    alarms = false_alarms(runs)
    assert (alarms.runs, alarms.alarms) == (2, 1)
    assert alarms.upper == upper_bound(1, 2)
    assert (alarms.clean_samples, alarms.clean_flagged) == (10_000, 2)


def test_picture_is_well_formed_and_escapes_what_users_typed(outcome: MakeOutcome) -> None:
    odd = outcome(found=0, right=False)
    odd = replace(odd, case=replace(odd.case, params={"trigger": "<b>&.png"}))
    svg = draw_curves([outcome(rate=0.01), outcome(rate=0.1), odd, outcome(attack="clean")])
    root = ElementTree.fromstring(svg)
    circles = [e for e in root.iter() if e.tag.endswith("circle")]
    assert len(circles) == 3
    assert sorted(c.attrib["fill"] for c in circles) == ["#0072b2", "#0072b2", "#fff"]
    assert "<b>" not in svg
    ElementTree.fromstring(draw_curves([outcome(attack="clean")]))


def test_the_standard_suite_has_every_attack() -> None:
    assert {row.attack for row in STANDARD} == {attack.id for attack in ATTACKS} | {CLEAN}


def test_suites_hold_no_case_twice() -> None:
    for suite in SUITES.values():
        slugs = [case.slug for case in suite(1000, (0, 1), None)]
        assert len(slugs) == len(set(slugs)) > 0


def test_lost_accuracy_is_told_against_the_clean_case_judged_alike(outcome: MakeOutcome) -> None:
    def accurate(one: Outcome, accuracy: float) -> Outcome:
        return replace(one, success=Success(None, 0, accuracy))

    runs = (
        accurate(outcome(attack="clean"), 0.9),
        accurate(outcome(attack="clean", seed=1), 0.8),
        accurate(outcome(attack="label_flip"), 0.7),
        accurate(outcome(attack="label_flip", seed=1), 0.75),
        accurate(outcome(attack="label_flip", seed=2), 0.1),
    )
    drops = accuracy_drops(runs)
    assert drops == {runs[2].case.slug: pytest.approx(0.2), runs[3].case.slug: pytest.approx(0.05)}
    group = next(g for g in grouped(runs) if g.variant == "label_flip")
    assert group.accuracy_drop == pytest.approx(0.125)
    table = BenchResult("custom", "digits", runs, ()).table
    assert table["accuracy_drop"].to_list()[4] is None
