"""Reports of many kinds, built without scanning anything."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from auditor.records import (
    ClassSummary,
    Confidence,
    Coverage,
    DatasetInfo,
    DetectorRun,
    Finding,
    Power,
    Reference,
    Severity,
)
from auditor.report import Report

GOLDENS = Path(__file__).parent.parent / "goldens"

HOSTILE = (
    "\x1b[31mred\x1b[0m\x07",
    "<script>alert(1)</script>",
    "[red]markup[/red] [link=http://x.test]y[/link]",
    "two\nlines\r\n::error::injected",
    "::error file=a.py::injected",
    "##[error]injected",
    "abc\u202egnp.exe\u2066",
    "zero\u200bwidth\ufeff",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='x",
    "=cmd|' /C calc'!A0",
    "| a | `b` *c* _d_ [e](http://x.test) @everyone <!-- ",
    "{{ 7*7 }}{% raw %}",
    "]]></failure><failure>",
    "%0A::warning::x",
    "C1 \x9b31m nul \x00 \u2028",
    "../../etc/passwd",
    "x" * 3000,
)
"""What a dataset's author might put into a file name, a label or a metadata field."""

SURROGATE = "latin-\udce9.png"
"""A file name that is not UTF-8, as Python reads it; it can not enter a table."""


def jpeg(shade: int, side: int = 16) -> bytes:
    file = BytesIO()
    Image.new("RGB", (side, side), (shade % 256, 80, 160)).save(file, "JPEG", quality=80)
    return file.getvalue()


def ledger(uris: Sequence[str], labels: Sequence[int | None], names: Sequence[str]) -> pl.DataFrame:
    n = len(uris)
    return pl.DataFrame(
        {
            "row": pl.Series(range(n), dtype=pl.UInt64),
            "uri": pl.Series(uris, dtype=pl.String),
            "record": pl.Series([None] * n, dtype=pl.Int64),
            "sha256": pl.Series([f"{i:064x}" for i in range(n)], dtype=pl.String),
            "label": pl.Series(labels, dtype=pl.Int64),
            "class_name": pl.Series(
                [None if k is None else names[k] for k in labels], dtype=pl.String
            ),
            "status": pl.Series(["scanned"] * n, dtype=pl.String),
            "refusal": pl.Series([None] * n, dtype=pl.String),
            "shortcut_score": pl.Series(np.linspace(0, 1, n), dtype=pl.Float64),
        }
    )


def flag(
    samples: pl.DataFrame,
    rows: Sequence[int],
    rule: str,
    reason: str,
    severity: str = "high",
    suggested: int | None = None,
) -> pl.DataFrame:
    chosen = samples.filter(pl.col("row").is_in(list(rows)))
    n = chosen.height
    return chosen.select("row", "uri", "record", "sha256", "label", "class_name").with_columns(
        pl.Series("rules", [[rule]] * n, dtype=pl.List(pl.String)),
        pl.lit(severity).alias("severity"),
        pl.Series("score", np.linspace(0.999, 0.6, n), dtype=pl.Float64),
        pl.lit(suggested, dtype=pl.Int64).alias("suggested_label"),
        pl.lit(reason).alias("reason"),
    )


def refusals(lines: Sequence[tuple[str, str, str]] = ()) -> pl.DataFrame:
    return pl.DataFrame(
        [(uri, None, why, detail) for uri, why, detail in lines],
        schema={
            "uri": pl.String,
            "record": pl.Int64,
            "refusal": pl.String,
            "detail": pl.String,
        },
        orient="row",
    )


def finding(**changes: object) -> Finding:
    base = Finding(
        rule="BKD001",
        title="A trigger predicts the label",
        severity=Severity.CRITICAL,
        confidence=Confidence.HIGH,
        scope="class",
        key="class0",
        n_samples=6,
        message="6 samples of class class0 share something too cheap that predicts their label.",
        evidence={"shortcut_separation": 21.34567, "shortcut_n": 6, "shortcut_gate": True},
        remedy="Remove the flagged samples, then look at where they came from.",
    )
    return replace(base, **changes)


def clean(n: int = 40, n_classes: int = 4) -> Report:
    """A dataset in which nothing was found."""
    names = tuple(f"class{k}" for k in range(n_classes))
    labels = [i % n_classes for i in range(n)]
    samples = ledger([f"{names[k]}/{i:05d}.png" for i, k in enumerate(labels)], labels, names)
    angle = np.linspace(0, 6, n)
    return Report(
        tool={"name": "auditor", "version": "0.1.0"},
        dataset=DatasetInfo(
            "/data/pets", "image folder", "image", n, n_classes, names, "sha256:" + "ab" * 32
        ),
        coverage=Coverage(n, n, 0, {}, {"README.md": 1}),
        reference=Reference("small-cnn", "sha256:" + "cd" * 32, "cpu", 0.8125),
        detectors=(
            DetectorRun("shortcut", "1", "ok", 1.25, {"ridge": 1e-3, "rounds": 8}),
            DetectorRun("loss", "2", "inapplicable", 0.0, {}, "needs two classes"),
        ),
        findings=(),
        blind_spots=("Warping triggers (WaNet) are not visible to the pixel views.",),
        verdict="pass",
        exit_code=0,
        timings={"read": 0.5, "detect": 1.25},
        classes=tuple(ClassSummary(k, names[k], labels.count(k), 0, ()) for k in range(n_classes)),
        refusals=refusals(),
        flagged=flag(samples, [], "BKD001", ""),
        samples=samples,
        evidence={"class": pl.DataFrame({"label": [0, 1], "shortcut_separation": [21.3, None]})},
        thumbnails={i: jpeg(20 * i) for i in range(min(n, 40))},
        map_points=(np.arange(n, dtype=np.uint64), np.cos(angle), np.sin(angle)),
        fail_on="high",
        options={"seed": 0, "fail_on": "high"},
        power=(
            Power("badnets", "fast", 9_000, 14, 320, 39, 24, 58),
            Power("blended", "fast", 9_000, 14, 320, 200, 120, None),
            Power("trojan_moving", "fast", 9_000, 14, 320, None, None, None),
        ),
    )


def poisoned() -> Report:
    """One backdoor in class 0, label noise elsewhere, one weak hint."""
    base = replace(clean(), power=())
    backdoor = flag(base.samples, range(0, 24, 4), "BKD001", "predicted by pixels alone")
    noise = flag(base.samples, [1, 2], "LBL001", "9 of 10 neighbours disagree", "medium", 3)
    findings = (
        finding(
            rule="LBL001",
            title="Wrong labels",
            severity=Severity.MEDIUM,
            confidence=Confidence.MEDIUM,
            scope="sample",
            key=None,
            n_samples=2,
            message="2 labels disagree with the content.",
            remedy="Relabel them.",
            evidence={},
        ),
        finding(),
        finding(
            rule="DUP001",
            title="Duplicates",
            severity=Severity.INFO,
            key=None,
            scope="dataset",
            n_samples=0,
            message="3 pairs.",
            remedy="",
            evidence={},
        ),
    )
    counts = {0: (6, ("BKD001",)), 1: (1, ("LBL001",)), 2: (1, ("LBL001",))}
    classes = tuple(
        replace(line, n_flagged=counts[line.label][0], rules=counts[line.label][1])
        if line.label in counts
        else line
        for line in base.classes
    )
    return replace(
        base,
        findings=findings,
        classes=classes,
        flagged=pl.concat([backdoor, noise]),
        verdict="fail",
        exit_code=1,
    )


def witnessed() -> Report:
    """The backdoor of `poisoned`, seen by two more rules."""
    base = poisoned()
    lead = next(one for one in base.findings if one.rule == "BKD001")
    others = [
        replace(lead, rule=rule, title=title, message=message, witness_of=(lead.rule, lead.key))
        for rule, title, message in (
            ("BKD005", "Labels are disputed", "All 6 carry a label that their content disputes."),
            ("BKD010", HOSTILE[1], f"The same patch {HOSTILE[2]}."),
        )
    ]
    return replace(base, findings=(*base.findings, *others))


def incomplete() -> Report:
    """Two files refused and a detector failed."""
    base = clean()
    failed = DetectorRun("spectral", "1", "failed", 0.2, {}, "LinAlgError: did not converge")
    return replace(
        base,
        coverage=Coverage(42, 40, 2, {"truncated": 1, "pixel_cap": 1}),
        detectors=(*base.detectors, failed),
        refusals=refusals(
            [("class0/x.png", "truncated", "image file is truncated"), ("b.png", "pixel_cap", "")]
        ),
        verdict="incomplete",
        exit_code=4,
        blind_spots=(),
    )


def unlabelled() -> Report:
    """Images in no class, no network, no map, no pictures."""
    base = clean()
    samples = ledger(base.samples["uri"].to_list(), [None] * 40, ())
    return replace(
        base,
        dataset=replace(base.dataset, n_classes=0, class_names=()),
        reference=None,
        classes=(),
        samples=samples,
        flagged=flag(samples, [3], "DUP002", "same bytes as another", "low"),
        findings=(finding(rule="DUP002", severity=Severity.LOW, scope="sample", key=None),),
        thumbnails={},
        map_points=None,
    )


def empty_classes() -> Report:
    """Classes without a sample, and evidence that could not be evaluated."""
    base = clean()
    classes = (*base.classes, ClassSummary(4, "nobody", 0, 0, ()))
    strange = {"a": float("nan"), "b": float("inf"), "c": None, "d": np.float32(1.5)}
    return replace(
        base,
        classes=classes,
        dataset=replace(
            base.dataset, n_classes=5, class_names=(*base.dataset.class_names, "nobody")
        ),
        findings=(finding(severity=Severity.LOW, evidence=strange, n_samples=0),),
    )


def many_classes() -> Report:
    """Two hundred classes, a finding in each of 150."""
    base = clean(n=400, n_classes=200)
    findings = tuple(finding(key=f"class{k}", n_samples=2) for k in range(150))
    flagged = flag(base.samples, [i for i in range(400) if i % 200 < 150], "BKD001", "cheap")
    classes = tuple(
        replace(line, n_flagged=2, rules=("BKD001",)) if line.label < 150 else line
        for line in base.classes
    )
    return replace(
        base, findings=findings, flagged=flagged, classes=classes, verdict="fail", exit_code=1
    )


def one_class() -> Report:
    """All samples in one class."""
    return clean(n=5, n_classes=1)


def hostile() -> Report:
    """Every text that comes from the dataset is an attack on whoever shows it."""
    names = HOSTILE
    n = 2 * len(names)
    labels = [i % len(names) for i in range(n)]
    samples = ledger([names[-1 - k] + f"/{i}" for i, k in enumerate(labels)], labels, names)
    base = clean(n, len(names))
    every = tuple(
        finding(
            key=name,
            scope="class",
            message=f"In {name}.",
            title=f"T {name}",
            remedy=name,
            evidence={"note": name},
        )
        for name in (*names, SURROGATE)
    )
    bad = pl.concat(
        [flag(samples, [i], "BKD001", names[labels[i]], "high", labels[i]) for i in range(n)]
    )
    why = " ".join(names[:9])
    return replace(
        base,
        dataset=replace(base.dataset, root=names[3] + SURROGATE, class_names=(*names, SURROGATE)),
        coverage=Coverage(n + 1, n, 1, {names[0]: 1}, dict.fromkeys(names, 1)),
        detectors=(DetectorRun("shortcut", "1", "failed", 0.1, {"p": why}, why),),
        findings=every,
        blind_spots=names,
        classes=tuple(ClassSummary(k, name, 2, 2, ("BKD001",)) for k, name in enumerate(names)),
        refusals=refusals([(name, names[1], name) for name in names]),
        samples=samples,
        flagged=bad,
        verdict="fail",
        exit_code=1,
        options={"image": names[1]},
        reference=Reference(names[1], names[0], names[3], None),
    )


KINDS: dict[str, Callable[[], Report]] = {
    "clean": clean,
    "poisoned": poisoned,
    "witnessed": witnessed,
    "incomplete": incomplete,
    "unlabelled": unlabelled,
    "empty_classes": empty_classes,
    "many_classes": many_classes,
    "one_class": one_class,
    "hostile": hostile,
}


@pytest.fixture(params=list(KINDS))
def report(request: pytest.FixtureRequest) -> Report:
    """Each kind of report in turn."""
    return KINDS[request.param]()


@pytest.fixture
def make() -> dict[str, Callable[[], Report]]:
    """Build a report by the name of its kind."""
    return KINDS


@pytest.fixture(params=[*HOSTILE, SURROGATE], ids=lambda text: ascii(text)[:24])
def hostile_text(request: pytest.FixtureRequest) -> str:
    """Each hostile string in turn."""
    return str(request.param)


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare text with a file in ``tests/goldens``; ``AUDITOR_UPDATE_GOLDENS=1`` rewrites it."""

    def compare(name: str, text: str) -> None:
        path = GOLDENS / name
        if os.environ.get("AUDITOR_UPDATE_GOLDENS"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8"), (
            f"{name} changed; if that is meant, run the tests with AUDITOR_UPDATE_GOLDENS=1"
        )

    return compare
