from __future__ import annotations

import json
import re
from collections.abc import Callable
from xml.etree import ElementTree as ET

from auditor.report import Report
from auditor.reports import github, junit, markdown, sarif

Make = dict[str, Callable[[], Report]]
Golden = Callable[[str, str], None]


def printable(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


def test_goldens(make: Make, golden: Golden) -> None:
    report = make["poisoned"]()
    for known in (github.FORMAT, junit.FORMAT, markdown.FORMAT, sarif.FORMAT):
        golden(known.filename, known.render(report))


def test_every_kind_renders_printable_text_twice_the_same(report: Report) -> None:
    for render in (github.render, junit.render, markdown.render, sarif.render):
        text = render(report)
        assert printable(text)
        assert text.endswith("\n")
        assert text == render(report)
        assert "##[" not in text


def test_github_lines_are_our_commands_alone(report: Report) -> None:
    for line in github.render(report).splitlines():
        found = re.fullmatch(r"::(error|warning|notice) title=([^:,]*)::(.*)", line)
        assert found, line
        assert "::" not in found[3]
        assert not re.search(r"%(?!25|3A|2C)", found[2] + found[3])


def test_github_stays_below_ten_of_a_level(make: Make) -> None:
    lines = github.render(make["many_classes"]()).splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("::error title=auditor%3A FAIL::")


def test_github_levels_follow_fail_on(make: Make) -> None:
    lines = github.render(make["poisoned"]()).splitlines()
    assert [line.split()[0] for line in lines] == ["::error", "::error", "::warning", "::notice"]


def test_junit_counts_what_it_holds(report: Report) -> None:
    root = ET.fromstring(junit.render(report))
    suite = root.find("testsuite")
    assert suite is not None
    cases = suite.findall("testcase")
    assert suite.get("tests") == str(len(cases))
    assert len(cases) == 1 + len(report.findings) + len(report.detectors)
    for kind, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert suite.get(kind) == str(len([c for c in cases if c.find(tag) is not None]))
    assert all(case.find("failure/failure") is None for case in cases)


def test_junit_fails_on_findings_and_errs_on_gaps(make: Make) -> None:
    poisoned = ET.fromstring(junit.render(make["poisoned"]()))[0]
    assert (poisoned.get("failures"), poisoned.get("errors")) == ("1", "0")
    gaps = ET.fromstring(junit.render(make["incomplete"]()))[0]
    assert (gaps.get("failures"), gaps.get("errors"), gaps.get("skipped")) == ("0", "2", "1")


def test_sarif_names_rules_places_and_gaps(make: Make) -> None:
    run = json.loads(sarif.render(make["poisoned"]()))["runs"][0]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["BKD001", "DUP001", "LBL001"]
    assert [result["level"] for result in run["results"]] == ["error", "warning", "note"]
    first = run["results"][0]
    assert len(first["locations"]) == 6
    uri = first["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == "class0/00000.png"
    assert run["results"][2]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == (
        "/data/pets"
    )
    gaps = json.loads(sarif.render(make["incomplete"]()))["runs"][0]["invocations"][0]
    assert gaps["executionSuccessful"] is False
    assert len(gaps["toolExecutionNotifications"]) == 3


def test_sarif_rule_index_and_identity(report: Report) -> None:
    run = json.loads(sarif.render(report))["runs"][0]
    rules = run["tool"]["driver"]["rules"]
    seen = set()
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["locations"]
        for place in result["locations"]:
            uri = place["physicalLocation"]["artifactLocation"]["uri"]
            assert re.fullmatch(r"[A-Za-z0-9/%._~-]+", uri)
        seen.add(result["partialFingerprints"]["auditorFinding/v1"])
    assert len(seen) == len({(f.rule, f.scope, f.key) for f in report.findings})


def test_markdown_code_spans_can_not_be_closed() -> None:
    assert markdown.code("a`b``c") == "``` a`b``c ```"
    assert markdown.code("a|b") == "`a\\|b`"
    assert markdown.code("`") == "`` ` ``"
    assert markdown.code("") == ""


def test_markdown_text_is_only_text() -> None:
    shown = markdown.escape("<b>*x* [a](http://e.test) @team `c` | _d_ www.e.test")
    assert shown == (
        r"&lt;b&gt;\*x\* \[a\]\(http&#58;//e.test\) "
        r"@&#8203;team \`c\` \| \_d\_ www&#46;e.test"
    )


def test_markdown_tables_keep_their_columns(report: Report) -> None:
    table: list[str] = []
    for line in [*markdown.render(report).splitlines(), ""]:
        if line.startswith("|"):
            table.append(line)
        elif table:
            assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table}) == 1
            table = []


def test_markdown_has_no_html_of_others(make: Make) -> None:
    text = markdown.render(make["hostile"]())
    outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", text)
    assert set(re.findall(r"<[^>]*>", outside)) <= {"<br>"}
    assert not re.search(r"@\w", outside)
