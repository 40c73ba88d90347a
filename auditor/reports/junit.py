"""JUnit XML: what CI servers show as test results, one case a finding and one a detector."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from auditor.interfaces import ReportFormat
from auditor.records import DetectorRun, Finding
from auditor.report import Report
from auditor.reports.text import measure, plain, prose
from auditor.reports.wording import failing, ordered, place, reason, title


def render(report: Report) -> str:
    """Write the report as one JUnit test suite.

    A finding at or above ``fail_on`` is a failure, a lesser one a passed case with its text as
    output; a detector that failed or a refused sample is an error, an inapplicable detector
    is skipped.
    """
    suite = ET.Element("testsuite", name=f"auditor {title(report)}")
    _verdict(suite, report)
    bad = failing(report)
    for finding in ordered(report.findings):
        _finding(suite, finding, is_failure=finding in bad)
    for run in report.detectors:
        _detector(suite, run)
    suite.set("tests", str(len(suite)))
    for kind, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(kind, str(len(suite.findall(f"*/{tag}"))))
    suite.set("time", f"{sum(run.seconds for run in report.detectors):.3f}")
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _case(suite: ET.Element, group: str, name: str, seconds: float = 0.0) -> ET.Element:
    return ET.SubElement(
        suite, "testcase", classname=f"auditor.{group}", name=name, time=f"{seconds:.3f}"
    )


def _verdict(suite: ET.Element, report: Report) -> None:
    case = _case(suite, "coverage", "every sample was examined")
    if report.verdict == "incomplete":
        ET.SubElement(case, "error", type="incomplete", message=reason(report))
    elif report.coverage.refused:
        ET.SubElement(case, "system-out").text = reason(report)


def _finding(suite: ET.Element, finding: Finding, is_failure: bool) -> None:
    name = " ".join(filter(None, [plain(finding.rule), prose(finding.title), place(finding)]))
    case = _case(suite, "findings", name)
    evidence = [f"{plain(key)} = {measure(value)}" for key, value in finding.evidence.items()]
    body = "\n".join([prose(finding.message), *evidence, prose(finding.remedy)])
    if is_failure:
        kind = str(finding.severity)
        ET.SubElement(case, "failure", type=kind, message=prose(finding.message)).text = body
    else:
        ET.SubElement(case, "system-out").text = body


def _detector(suite: ET.Element, run: DetectorRun) -> None:
    case = _case(suite, "detectors", f"{plain(run.id)} {plain(run.version)}", run.seconds)
    why = prose(run.reason or "")
    if run.status == "failed":
        ET.SubElement(case, "error", type="failed", message=why)
    elif run.status == "inapplicable":
        ET.SubElement(case, "skipped", message=why)


FORMAT = ReportFormat(id="junit", filename="junit.xml", render=render)
