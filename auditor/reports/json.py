"""``report.json``: the report for machines, described by ``report.schema.json``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from enum import Enum
from importlib import resources
from pathlib import PurePath
from typing import Any

import numpy as np

from auditor.errors import InternalError
from auditor.interfaces import ReportFormat
from auditor.records import Finding, Power
from auditor.report import Report
from auditor.reports.wording import ordered

SCHEMA_VERSION = "1.1"
"""Grows in its second part when a key is added, in its first when one changes its meaning."""


def render(report: Report) -> str:
    """Write the report as JSON: ASCII only, finite numbers, the same text for the same report."""
    return dump(payload(report))


def payload(report: Report) -> dict[str, object]:
    """Build the contents of ``report.json``, with its keys in the contract's order."""
    dataset, coverage, reference = report.dataset, report.coverage, report.reference
    return {
        "schema_version": SCHEMA_VERSION,
        "tool": _sorted(report.tool),
        "dataset": {
            "root": dataset.root,
            "format": dataset.format,
            "modality": dataset.modality,
            "n_samples": dataset.n_samples,
            "n_classes": dataset.n_classes,
            "class_names": dataset.class_names,
            "fingerprint": dataset.fingerprint,
        },
        "coverage": {
            "discovered": coverage.discovered,
            "scanned": coverage.scanned,
            "refused": coverage.refused,
            "by_reason": _sorted(coverage.by_reason),
            "not_samples": _sorted(coverage.not_samples),
        },
        "reference": None
        if reference is None
        else {
            "name": reference.name,
            "digest": reference.digest,
            "device": reference.device,
            "accuracy": reference.accuracy,
        },
        "detectors": [
            {
                "id": run.id,
                "version": run.version,
                "status": run.status,
                "seconds": run.seconds,
                "params": _sorted(run.params),
                "reason": run.reason,
            }
            for run in report.detectors
        ],
        "findings": [_finding(finding) for finding in ordered(report.findings)],
        "n_flagged": report.n_flagged,
        "blind_spots": report.blind_spots,
        "power": [_power(power) for power in report.power],
        "verdict": report.verdict,
        "exit_code": report.exit_code,
        "fail_on": report.fail_on,
        "classes": [
            {
                "label": line.label,
                "name": line.name,
                "n_samples": line.n_samples,
                "n_flagged": line.n_flagged,
                "rules": line.rules,
            }
            for line in report.classes
        ],
        "options": _sorted(report.options),
        "timings": _sorted(report.timings),
    }


def _finding(finding: Finding) -> dict[str, object]:
    return {
        "rule": finding.rule,
        "title": finding.title,
        "severity": finding.severity,
        "confidence": finding.confidence,
        "scope": finding.scope,
        "key": finding.key,
        "n_samples": finding.n_samples,
        "message": finding.message,
        "evidence": _sorted(finding.evidence),
        "remedy": finding.remedy,
        "witness_of": None
        if finding.witness_of is None
        else {"rule": finding.witness_of[0], "key": finding.witness_of[1]},
    }


def _power(power: Power) -> dict[str, object]:
    return {
        "attack": power.variant,
        "count": power.count,
        "low": power.low,
        "high": power.high,
        "largest_tried": power.largest,
        "n_samples": power.n_samples,
        "runs": power.runs,
        "profile": power.profile,
    }


def _sorted(value: Any) -> Any:
    """Sort a free mapping, and those inside it, by key: their order carries no meaning."""
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value, key=str)}
    return value


def dump(value: object, indent: int | None = 2) -> str:
    r"""Serialise to ASCII JSON that neither a terminal nor a CI runner can be made to obey.

    Every control and non-ASCII character is a ``\u`` escape, so values stay exact; only lone
    surrogates, which many parsers reject, become visible text.
    """
    between = (",", ":") if indent is None else None
    text = json.dumps(
        jsonable(value), indent=indent, separators=between, ensure_ascii=True, allow_nan=False
    )
    # `##[` is a workflow command anywhere in a line of CI output; inside a JSON string the
    # escape means the same character, and outside of strings the sequence can not occur.
    return text.replace("##[", "##\\u005b") + "\n"


def jsonable(value: Any) -> Any:
    """Reduce a value to what JSON has; non-finite numbers become null."""
    if isinstance(value, Enum):
        return jsonable(value.value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, np.generic):
        return jsonable(value.item())
    if isinstance(value, PurePath):
        return jsonable(str(value))
    if isinstance(value, Mapping):
        return {jsonable(str(key)): jsonable(item) for key, item in value.items()}
    if isinstance(value, frozenset | set):
        return sorted((jsonable(item) for item in value), key=str)
    if isinstance(value, Sequence | np.ndarray):
        return [jsonable(item) for item in value]
    raise InternalError(
        f"report.json: got a {type(value).__name__} in the report, expected plain values, "
        "mappings and sequences; convert it where the report is built"
    )


def schema() -> dict[str, Any]:
    """Load the JSON Schema (draft 2020-12) that every ``report.json`` satisfies."""
    text = resources.files("auditor.reports").joinpath("report.schema.json").read_text("utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


FORMAT = ReportFormat(id="json", filename="report.json", render=render)
