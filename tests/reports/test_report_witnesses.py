"""What several rules saw in the same samples is told once, and nothing of it is lost."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from auditor.report import Report
from auditor.reports import github, html, junit, markdown, sarif, terminal
from auditor.reports import json as report_json
from auditor.reports.notebook import notebook
from auditor.reports.wording import WITNESSES

Make = dict[str, Callable[[], Report]]


@pytest.mark.parametrize("form", [terminal, markdown, html], ids=lambda form: form.__name__)
def test_people_read_one_finding_and_who_else_saw_it(make: Make, form: object) -> None:
    report = make["witnessed"]()
    text = form.render(report)  # type: ignore[attr-defined]
    alone = form.render(make["poisoned"]())  # type: ignore[attr-defined]
    assert WITNESSES not in alone
    assert text.count(WITNESSES) == 1
    assert "BKD005" in text.split(WITNESSES)[1]
    assert "Labels are disputed" in text
    assert text.count("Remove the flagged samples") == alone.count("Remove the flagged samples")


def test_html_keeps_what_a_witness_saw_and_escapes_it(make: Make) -> None:
    page = html.render(make["witnessed"]())
    assert "All 6 carry a label that their content disputes." in page
    assert "<script>alert(1)" not in page


def test_annotations_and_notebooks_name_each_thing_once(make: Make) -> None:
    for render in (github.render, notebook):
        assert "BKD005" not in render(make["witnessed"]())


def test_machines_get_every_finding(make: Make) -> None:
    report = make["witnessed"]()
    found = json.loads(report_json.render(report))["findings"]
    said = {one["rule"]: one["witness_of"] for one in found}
    lead = {"rule": "BKD001", "key": "class0"}
    assert said == {
        "BKD001": None, "BKD005": lead, "BKD010": lead, "LBL001": None, "DUP001": None
    }  # fmt: skip
    results = json.loads(sarif.render(report))["runs"][0]["results"]
    assert {one["ruleId"] for one in results} >= {"BKD001", "BKD005"}
    assert junit.render(report).count("<failure") == 3
