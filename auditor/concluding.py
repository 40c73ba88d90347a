"""What a scan concludes from its measurements and findings: the verdict, and the whole report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from auditor import __version__
from auditor.baseline.judging import Judged
from auditor.config import Config
from auditor.illustrate import Drawings
from auditor.ingest import Ledger, coverage
from auditor.judging.blind_spots import blind_spots
from auditor.measure import Measurements
from auditor.readers import Catalog
from auditor.records import (
    ClassSummary,
    Coverage,
    DatasetInfo,
    DetectorRun,
    Finding,
    Reference,
    Verdict,
)
from auditor.report import Report


def conclude(
    root: Path,
    settings: Config,
    catalog: Catalog,
    ledger: Ledger,
    taken: Measurements,
    reference: Reference | None,
    judged: Judged,
    drawings: Drawings,
    timings: Mapping[str, float],
) -> Report:
    """Put together what every stage of a scan found.

    Args:
        root: the dataset, as the user named it.
        settings: of the scan.
        catalog: what the readers found.
        ledger: what was read of it.
        taken: all evidence, and what became of each check and detector.
        reference: the network that made the views; None without one.
        judged: what the rules made of the evidence.
        drawings: what is shown beside numbers.
        timings: seconds by stage.
    """
    findings, flagged = judged.judgement.findings, judged.judgement.flagged
    covered = coverage(taken.samples, catalog)
    verdict, code = decide(findings, covered, taken.runs, settings)
    unseen = blind_spots(taken.samples, taken.evidence, covered, taken.runs, reference)
    return Report(
        tool={"name": "auditor", "version": __version__},
        dataset=_describe(root, catalog, ledger, covered),
        coverage=covered,
        reference=reference,
        detectors=tuple(taken.runs),
        findings=findings,
        blind_spots=(*catalog.notes, *judged.notes, *unseen),
        verdict=verdict,
        exit_code=code,
        timings=timings,
        classes=_classes(taken.samples, flagged, ledger.class_names),
        refusals=_refusals(taken.samples),
        flagged=flagged,
        samples=taken.samples,
        evidence={str(scope): frame for scope, frame in taken.evidence.items()},
        thumbnails=drawings.thumbnails,
        map_points=drawings.map_points,
        triggers=drawings.triggers,
        fail_on=settings.fail_on.value,
        options={**_shown(settings), **judged.counts},
    )


def decide(
    findings: tuple[Finding, ...], covered: Coverage, runs: list[DetectorRun], settings: Config
) -> tuple[Verdict, int]:
    """The verdict and exit code: findings win over incomplete, incomplete over pass."""
    if any(finding.severity.rank >= settings.fail_on.rank for finding in findings):
        return "fail", 1
    allowed = settings.allow_refused
    if isinstance(allowed, float):
        allowed = int(allowed * covered.discovered)
    failed = any(run.status == "failed" for run in runs)
    if covered.refused > allowed or failed or covered.scanned == 0:
        return "incomplete", 4
    return "pass", 0


def _describe(root: Path, catalog: Catalog, ledger: Ledger, covered: Coverage) -> DatasetInfo:
    return DatasetInfo(
        root=str(root),
        format=catalog.format,
        modality="image",
        n_samples=covered.discovered,
        n_classes=len(ledger.class_names),
        class_names=ledger.class_names,
        fingerprint=ledger.fingerprint,
    )


def _classes(
    samples: pl.DataFrame, flagged: pl.DataFrame, names: tuple[str, ...]
) -> tuple[ClassSummary, ...]:
    counts = dict(samples.group_by("label").len().iter_rows())
    marks = flagged.explode("rules").group_by("label").agg(
        n=pl.col("row").n_unique(), rules=pl.col("rules").unique().sort()
    )  # fmt: skip
    marked = {label: (n, tuple(rules)) for label, n, rules in marks.iter_rows()}
    return tuple(
        ClassSummary(label, name, counts.get(label, 0), *marked.get(label, (0, ())))
        for label, name in enumerate(names)
    )


def _refusals(samples: pl.DataFrame) -> pl.DataFrame:
    refused = samples.filter(pl.col("status") == "refused")
    return refused.select("uri", "record", "refusal", "detail")


def _shown(settings: Config) -> Mapping[str, object]:
    """The options that decide the result; how many workers read does not."""
    return {
        "fail_on": settings.fail_on.value,
        "min_confidence": settings.min_confidence.value,
        "select": list(settings.select),
        "ignore": list(settings.ignore),
        "allow_refused": settings.allow_refused,
        "model": settings.model,
        "profile": settings.profile,
        "sample": settings.sample,
        "seed": settings.seed,
    }
