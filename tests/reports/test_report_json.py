from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import jsonschema
import numpy as np
import pytest

from auditor.errors import InternalError
from auditor.report import Report
from auditor.reports import FORMATS
from auditor.reports import json as report_json

CONTRACT = {
    "schema_version": None,
    "tool": None,
    "dataset": "root format modality n_samples n_classes class_names fingerprint",
    "coverage": "discovered scanned refused by_reason not_samples",
    "reference": "name digest device accuracy",
    "detectors": None,
    "findings": None,
    "n_flagged": None,
    "blind_spots": None,
    "power": None,
    "verdict": None,
    "exit_code": None,
    "fail_on": None,
    "classes": None,
    "options": None,
    "timings": None,
}
Make = dict[str, Callable[[], Report]]


def reject(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def strict(text: str) -> dict[str, object]:
    loaded: dict[str, object] = json.loads(text, parse_constant=reject)
    return loaded


def test_every_report_satisfies_the_schema(report: Report) -> None:
    schema = report_json.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(strict(report_json.render(report)), schema)


def test_schema_refuses_what_the_contract_does_not_have(make: Make) -> None:
    validator = jsonschema.Draft202012Validator(report_json.schema())
    good = strict(report_json.render(make["poisoned"]()))
    for broken in (
        {k: v for k, v in good.items() if k != "verdict"},
        {**good, "verdict": "maybe"},
        {**good, "surprise": 1},
        {**good, "n_flagged": -1},
        {**good, "exit_code": 2},
    ):
        assert not validator.is_valid(broken)


def test_keys_are_the_contract_to_the_letter(make: Make) -> None:
    loaded = strict(report_json.render(make["poisoned"]()))
    assert list(loaded) == list(CONTRACT)
    for key, names in CONTRACT.items():
        if names:
            assert list(loaded[key]) == names.split()
    detector, finding = loaded["detectors"][0], loaded["findings"][0]
    assert " ".join(detector) == "id version status seconds params reason"
    assert " ".join(finding) == (
        "rule title severity confidence scope key n_samples message evidence remedy witness_of"
    )


def test_not_evaluated_and_not_finite_are_null(make: Make) -> None:
    evidence = strict(report_json.render(make["empty_classes"]()))["findings"][0]["evidence"]
    assert evidence == {"a": None, "b": None, "c": None, "d": 1.5}


def test_no_reference_is_null(make: Make) -> None:
    assert strict(report_json.render(make["unlabelled"]()))["reference"] is None


def test_same_report_same_bytes_whatever_the_order_of_its_mappings(make: Make) -> None:
    report = make["poisoned"]()
    turned = replace(
        report,
        findings=report.findings[::-1],
        options=dict(reversed(report.options.items())),
        timings=dict(reversed(report.timings.items())),
    )
    assert report_json.render(turned) == report_json.render(report)


def test_values_survive_and_nothing_is_obeyed(make: Make) -> None:
    report = make["hostile"]()
    text = report_json.render(report)
    assert text.isascii()
    assert "##[" not in text
    assert all(c == "\n" or c.isprintable() for c in text)
    assert not any(line.strip().startswith("::") for line in text.splitlines())
    names = strict(text)["dataset"]["class_names"]
    assert names[:-1] == list(report.dataset.class_names[:-1])
    assert names[-1] == "latin-\\udce9.png"


def test_what_json_can_not_hold_is_an_error() -> None:
    with pytest.raises(InternalError, match="got a object"):
        report_json.dump({"a": object()})
    assert report_json.jsonable(np.array([1.0, np.nan])) == [1.0, None]


def test_golden(make: Make, golden: Callable[[str, str], None]) -> None:
    golden("report.json", report_json.render(make["poisoned"]()))


def test_formats_have_distinct_names() -> None:
    ids = [known.id for known in FORMATS]
    assert ids == ["terminal", "json", "html", "sarif", "junit", "github", "markdown"]
    assert len({known.filename for known in FORMATS}) == len(FORMATS)
