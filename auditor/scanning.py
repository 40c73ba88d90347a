"""The scan: one function that reads top to bottom, from a path to a report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl

from auditor import __version__
from auditor.asking import VERSION as ASKING_VERSION
from auditor.asking import ask_networks
from auditor.baseline.judging import Judged, judge_change
from auditor.baseline.review import open_review
from auditor.blind_spots import blind_spots
from auditor.config import Config, load_config
from auditor.credentials import check_credentials
from auditor.decoders import compare_decoders, has_second_decoder
from auditor.detectors import DETECTORS, THOROUGH
from auditor.engines import WorkerPool
from auditor.errors import NothingToScanError
from auditor.explaining import explain
from auditor.features import VIEWS_VERSION
from auditor.features.store import open_store, sweep
from auditor.folding import fold
from auditor.fusion import concentration, fuse
from auditor.illustrate import draw_map, draw_thumbnails, draw_triggers
from auditor.ingest import Ledger, coverage, ingest, inventory, open_catalog
from auditor.interfaces import Evidence, Progress
from auditor.measure import Bench, Measurements, attempt, run_checks, run_detector, run_file_checks
from auditor.planting import VERSION as PLANTING_VERSION
from auditor.planting import plant_and_look
from auditor.provenance import CHECKS, FILE_CHECKS
from auditor.provenance.changes import measure_changes
from auditor.readers import Catalog, Columns, subsample, walk
from auditor.readers.changes import changed, take_stamps
from auditor.readers.outside import keep_outside
from auditor.records import (
    ClassSummary,
    Coverage,
    DatasetInfo,
    DetectorRun,
    Finding,
    Reference,
    Verdict,
)
from auditor.reference import make_reference, make_victim, reference_folder
from auditor.report import Report
from auditor.ruleset import load_rules, select_rules

KEEP_DATASETS = 20
"""Datasets whose trained references and evidence stay in the cache."""


class Observer(Protocol):
    """Hears of a scan's stages."""

    def stage(self, title: str) -> AbstractContextManager[Progress]:
        """Begin a stage; the progress it yields takes (done, total)."""


class Silent:
    """The observer of a scan that nobody watches."""

    @contextmanager
    def stage(self, title: str) -> Iterator[Progress]:
        """Begin a stage that nobody hears of."""
        yield lambda done, total: None


def scan(
    dataset: str | Path,
    *,
    config: Config | None = None,
    observer: Observer | None = None,
    **options: Any,
) -> Report:
    """Scan a dataset and return the report.

    Args:
        dataset: a folder of images, a Parquet file, or a folder of Parquet shards.
        config: everything at once; else `config.load_config` merges file, environment, options.
        observer: hears of the stages.
        options: fields of `config.Config`, such as ``fail_on="medium"`` or ``profile="fast"``.

    Raises:
        UsageError: the path, an option or a rule is wrong.
        NothingToScanError: there is no image in the dataset.
    """
    root = Path(dataset)
    settings = config or load_config(root, overrides=options)
    if settings.cache_root is not None:
        keep_outside(settings.cache_root, root, "cache folder")
    watch: Observer = observer or Silent()
    rules = select_rules(load_rules(), settings.select, settings.ignore)
    review = open_review(settings, rules, root)
    clock = Stopwatch()
    views_key = f"views-{VIEWS_VERSION}"
    with open_store(settings.cache_root, views_key) as store:
        listing = walk(root)
        stamps = take_stamps(listing.files)
        with WorkerPool(settings.n_workers, known=store.index_folder) as pool:
            with watch.stage("Looking through the files"), clock.time("discover"):
                columns = Columns(settings.image, settings.label, settings.source)
                catalog = open_catalog(listing, columns, pool)
                _require_samples(catalog, root)
                beside = inventory(listing, catalog, pool)
                if settings.sample is not None:
                    catalog = subsample(catalog, settings.sample, settings.seed)
            with watch.stage("Reading and decoding") as progress, clock.time("ingest"):
                ledger = ingest(catalog, pool, store, progress)
            taken = Measurements(ledger.samples)
            with watch.stage("Checking files and duplicates"), clock.time("checks"):
                run_checks(CHECKS, ledger, taken)
                run_file_checks(FILE_CHECKS, beside, ledger, taken)
                validate = partial(check_credentials, catalog, ledger.samples, pool)
                attempt("credentials", "1", {}, taken, validate)
                if has_second_decoder():
                    compare = partial(compare_decoders, catalog, ledger.samples, pool)
                    attempt("decoders", "1", {}, taken, compare)
                part = review.part(ledger, taken)
            home = store.dataset_folder(ledger.fingerprint, *review.key)
            with watch.stage("Training the reference network") as progress:

                def train(of: Ledger) -> tuple[Reference, Mapping[str, np.ndarray]]:
                    return make_reference(settings, of, catalog, pool, home, progress)

                make = partial(
                    review.reference, settings, part, store.dataset_folder, train, ledger
                )
                with clock.time("reference"):
                    reference, views, absent = _reference(settings, taken, make)
            digest = reference.digest if reference else ""
            every = {**part.ledger.views, **views}
            detectors = DETECTORS
            if settings.profile == "thorough":
                detectors = (*DETECTORS, *THOROUGH)
                stage = watch.stage("Training a network on everything")
                with stage as progress, clock.time("victim"):
                    learn = partial(make_victim, settings, ledger, home, progress)
                    known, learnt, why = _victim(taken, learn)
                every |= part.take(learnt)
                digest, absent = f"{digest}{known}", absent or why
            bench = Bench(part.ledger, every, absent, home, digest, settings.seed)
            for detector in detectors:
                with watch.stage(detector.title) as progress, clock.time(detector.id):
                    run_detector(detector, bench, part.taken, progress)
            with watch.stage("Asking the network"), clock.time("shortcut_network"):
                ask = partial(ask_networks, bench, part.taken, reference_folder(home, settings),
                              settings.device)  # fmt: skip
                attempt("shortcut_network", ASKING_VERSION, {}, part.taken, ask)
            if settings.profile != "fast":
                with watch.stage("Planting poison: what would be missed"), clock.time("planting"):
                    plant = partial(plant_and_look, bench, part.taken, rules)
                    attempt("planting", PLANTING_VERSION, {}, part.taken, plant)
            part.merge(taken)
            moved = partial(measure_changes, changed(listing.files, stamps), ledger.samples)
            attempt("changes", "1", {}, taken, moved)

            def judge_now() -> Judged:
                return judge_change(
                    rules, taken.samples, taken.evidence, ledger.class_names,
                    settings.min_confidence, review.accepted, review.suppressions, review.today,
                )  # fmt: skip

            # Twice: what the rules flag is itself evidence on who supplied it.
            flagged = judge_now().judgement.flagged
            attempt("concentration", "1", {}, taken, partial(concentration, taken.samples, flagged))
            judged = judge_now()
            judgement = fold(explain(fuse(judged.judgement, taken.samples)))
            with watch.stage("Drawing"), clock.time("draw"):
                flagged = judgement.flagged
                thumbnails = draw_thumbnails(catalog, taken.samples, flagged, pool)
                points = draw_map(bench, part.taken.samples, flagged)
                triggers = draw_triggers(bench, part.taken, judgement.findings)
        if settings.cache_root is not None:
            sweep(settings.cache_root, KEEP_DATASETS)
    covered = coverage(taken.samples, catalog)
    verdict, code = decide(judgement.findings, covered, taken.runs, settings)
    return Report(
        tool={"name": "auditor", "version": __version__},
        dataset=_describe(root, catalog, ledger, covered),
        coverage=covered,
        reference=reference,
        detectors=tuple(taken.runs),
        findings=judgement.findings,
        blind_spots=(
            *catalog.notes,
            *judged.notes,
            *blind_spots(taken.samples, taken.evidence, covered, taken.runs, reference),
        ),
        verdict=verdict,
        exit_code=code,
        timings=clock.seconds(),
        classes=_classes(taken.samples, judgement.flagged, ledger.class_names),
        refusals=_refusals(taken.samples),
        flagged=judgement.flagged,
        samples=taken.samples,
        evidence={str(scope): frame for scope, frame in taken.evidence.items()},
        thumbnails=thumbnails,
        map_points=points,
        triggers=triggers,
        fail_on=settings.fail_on.value,
        options={**_shown(settings), **judged.counts},
    )


class Stopwatch:
    """Adds up seconds by stage."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._seconds: dict[str, float] = {}

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Time one stage."""
        started = time.perf_counter()
        yield
        self._seconds[stage] = time.perf_counter() - started

    def seconds(self) -> Mapping[str, float]:
        """Seconds by stage, and ``total`` since the beginning."""
        total = time.perf_counter() - self._started
        return {name: round(value, 3) for name, value in {**self._seconds, "total": total}.items()}


def _require_samples(catalog: Catalog, root: Path) -> None:
    if catalog.n_samples or catalog.refused:
        return
    found = ", ".join(f"{n} × {kind}" for kind, n in list(catalog.not_samples.items())[:8])
    raise NothingToScanError(
        f"dataset {str(root)!r}: no image was found (found: {found or 'nothing'}); expected a "
        "folder of images by class, or Parquet files with an image column. Text and tables are "
        "not supported yet; if a Parquet column holds images under another name, name it with "
        "--image"
    )


def _reference(
    settings: Config,
    taken: Measurements,
    make: Callable[[], tuple[Reference, Mapping[str, np.ndarray]]],
) -> tuple[Reference | None, Mapping[str, np.ndarray], str]:
    """The reference's record, its views of the scanned rows, or why there are none."""
    if settings.profile == "fast":
        return None, {}, "the fast profile trains no reference network"
    made: list[tuple[Reference, Mapping[str, np.ndarray]]] = []

    def run() -> Evidence:
        made.append(make())
        return {}

    attempt("reference", "1", {"model": settings.model}, taken, run)
    if not made:
        return None, {}, taken.runs[-1].reason or "the reference network was not trained"
    taken.runs.pop()  # a reference that was made has its own place in the report
    return (*made[0], "")


def _victim(
    taken: Measurements, make: Callable[[], tuple[str, Mapping[str, np.ndarray]]]
) -> tuple[str, Mapping[str, np.ndarray], str]:
    """The victim's digest and its views of the scanned rows, or why there are none."""
    made: list[tuple[str, Mapping[str, np.ndarray]]] = []

    def run() -> Evidence:
        made.append(make())
        return {}

    attempt("victim", "1", {}, taken, run)
    if not made:
        return "", {}, taken.runs[-1].reason or "the victim network was not trained"
    return (*made[0], "")


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
