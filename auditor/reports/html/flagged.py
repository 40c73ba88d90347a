"""What is flagged: the classes, and the table of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from auditor.records import Severity
from auditor.report import Report
from auditor.reports.pictures import Pictures
from auditor.reports.text import bar_length, count, percent, plain, prose, shorten
from auditor.reports.wording import busiest, suggested_name

_CLASSES = 200
"""Lines in the page, one a class."""


def classes(report: Report) -> dict[str, Any]:
    """The classes with most flagged samples."""
    shown = busiest(report.classes, _CLASSES)
    most = max((line.n_samples for line in shown), default=0) or 1
    few = len(shown) < len(report.classes)
    lines = [
        {
            "name": shorten(plain(line.name), 60),
            "n_samples": count(line.n_samples),
            "n_flagged": count(line.n_flagged),
            "share": percent(line.n_flagged, line.n_samples) if line.n_flagged else "",
            "width": bar_length(line.n_samples, most),
            "bad": bar_length(line.n_flagged, most),
            "rules": line.rules,
        }
        for line in shown
    ]
    note = f"{len(shown)} of {len(report.classes)}, most flagged first" if few else ""
    return {"classes": lines, "classes_note": note}


def samples(report: Report, shown: pl.DataFrame, pictures: Pictures) -> dict[str, Any]:
    """The flagged samples ``shown``, with what is left out."""
    names = report.dataset.class_names
    rows = [_row(sample, names, pictures) for sample in shown.iter_rows(named=True)]
    left = report.n_flagged - shown.height
    note = f"worst {count(shown.height)} of {count(report.n_flagged)}" if left else ""
    return {
        "flagged": rows,
        "flagged_rules": sorted({rule for row in rows for rule in row["rules"]}),
        "flagged_left": count(left) if left else "",
        "flagged_note": note or count(report.n_flagged),
    }


def _row(sample: Mapping[str, Any], names: Sequence[str], pictures: Pictures) -> dict[str, Any]:
    severity = sample["severity"] or ""
    known = severity in set(Severity)
    record = "" if sample["record"] is None else f" #{sample['record']}"
    return {
        "row": sample["row"],
        "thumb": sample["row"] in pictures.images,
        "name": shorten(plain(sample["uri"]), 120) + record,
        "score": "–" if sample["score"] is None else f"{sample['score']:.3f}",
        "given": shorten(plain(sample["class_name"] or ""), 60),
        "suggested": shorten(suggested_name(sample["suggested_label"], names), 60),
        "severity": severity if known else "",
        "rank": Severity(severity).rank if known else -1,
        "rules": sample["rules"],
        "reason": prose(sample["reason"] or ""),
    }
