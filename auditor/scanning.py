"""The scan: one function that reads top to bottom, from a path to a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from auditor.baseline.focus import Part
from auditor.baseline.judging import Judged
from auditor.baseline.review import Review, open_review
from auditor.concluding import conclude
from auditor.config import Config, load_config
from auditor.credentials import check_credentials
from auditor.decoders import compare_decoders, has_second_decoder
from auditor.detectors import DETECTORS, THOROUGH
from auditor.detectors.gathering import VERSION as GATHERING_VERSION
from auditor.detectors.gathering import gather
from auditor.engines import WorkerPool
from auditor.errors import NothingToScanError
from auditor.features import VIEWS_VERSION
from auditor.features.patches import VERSION as PLAIN_VERSION
from auditor.features.store import FeatureStore, open_store, sweep
from auditor.illustrate import draw
from auditor.ingest import Ledger, ingest, inventory, open_catalog
from auditor.judging.folding import fold
from auditor.judging.fusion import concentration, fuse
from auditor.judging.ruleset import load_rules, select_rules
from auditor.measure import (
    Bench,
    Measurements,
    attempt,
    attempt_to_make,
    first_copies,
    run_checks,
    run_detectors,
    run_file_checks,
)
from auditor.provenance import CHECKS, FILE_CHECKS
from auditor.provenance.changes import measure_changes
from auditor.readers import Catalog, Columns, Listing, subsample, walk
from auditor.readers.changes import changed, take_stamps
from auditor.readers.outside import keep_outside
from auditor.records import Reference, Rule
from auditor.reference import make_plain, make_reference, make_victim, reference_folder
from auditor.report import Report
from auditor.trials.asking import VERSION as ASKING_VERSION
from auditor.trials.asking import ask_networks
from auditor.trials.explaining import explain
from auditor.trials.planting import VERSION as PLANTING_VERSION
from auditor.trials.planting import plant_and_look
from auditor.watching import Observer, Silent, Watch

KEEP_DATASETS = 20
"""Datasets whose trained references and evidence stay in the cache."""

Views = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Kit:
    """What the stages of one scan work with."""

    settings: Config
    rules: tuple[Rule, ...]
    review: Review
    watch: Watch
    store: FeatureStore
    pool: WorkerPool


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
    rules = select_rules(load_rules(), settings.select, settings.ignore)
    review = open_review(settings, rules, root)
    watch = Watch(observer or Silent())
    with open_store(settings.cache_root, f"views-{VIEWS_VERSION}") as store:
        listing = walk(root)
        stamps = take_stamps(listing.files)
        with WorkerPool(settings.n_workers, known=store.index_folder) as pool:
            kit = Kit(settings, rules, review, watch, store, pool)
            catalog, beside = _discover(kit, root, listing)
            with watch.stage("Reading and decoding", "ingest") as progress:
                ledger = ingest(catalog, pool, store, progress)
            taken = Measurements(ledger.samples)
            part = _check(kit, catalog, beside, ledger, taken)
            reference, bench = _learn(kit, catalog, ledger, part, taken)
            _detect(kit, bench, part.taken)
            _gather(kit, bench, part.taken)
            _ask(kit, bench, part.taken)
            _plant(kit, bench, part.taken)
            part.merge(taken)
            moved = partial(measure_changes, changed(listing.files, stamps), ledger.samples)
            attempt("changes", "1", {}, taken, moved)
            judged = _judge(kit, ledger.class_names, taken)
            with watch.stage("Drawing", "draw"):
                drawings = draw(catalog, taken.samples, bench, part.taken, judged.judgement, pool)
        if settings.cache_root is not None:
            sweep(settings.cache_root, KEEP_DATASETS)
    return conclude(
        root, settings, catalog, ledger, taken, reference, judged, drawings, watch.seconds()
    )


def _discover(kit: Kit, root: Path, listing: Listing) -> tuple[Catalog, pl.DataFrame]:
    """Where the samples lie, and the files beside them."""
    settings = kit.settings
    with kit.watch.stage("Looking through the files", "discover"):
        columns = Columns(settings.image, settings.label, settings.source)
        catalog = open_catalog(listing, columns, kit.pool)
        _require_samples(catalog, root)
        beside = inventory(listing, catalog, kit.pool)
        if settings.sample is not None:
            catalog = subsample(catalog, settings.sample, settings.seed)
    return catalog, beside


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


def _check(
    kit: Kit, catalog: Catalog, beside: pl.DataFrame, ledger: Ledger, taken: Measurements
) -> Part:
    """Measure what needs no network, and choose what the detectors look at."""
    with kit.watch.stage("Checking files and duplicates", "checks"):
        run_checks(CHECKS, ledger, taken)
        run_file_checks(FILE_CHECKS, beside, ledger, taken)
        validate = partial(check_credentials, catalog, ledger.samples, kit.pool)
        attempt("credentials", "1", {}, taken, validate)
        if has_second_decoder():
            compare = partial(compare_decoders, catalog, ledger.samples, kit.pool)
            attempt("decoders", "1", {}, taken, compare)
        return kit.review.part(ledger, taken)


def _learn(
    kit: Kit, catalog: Catalog, ledger: Ledger, part: Part, taken: Measurements
) -> tuple[Reference | None, Bench]:
    """Train the networks of the profile: the reference's record, and every view for detectors."""
    home = kit.store.dataset_folder(ledger.fingerprint, *kit.review.key)
    reference, views, absent = _reference(kit, catalog, ledger, part, taken, home)
    views = {**views, **part.take(_plain(kit, ledger, taken, home))}
    digest = f"{reference.digest if reference else ''}plain-{PLAIN_VERSION}"
    if kit.settings.profile == "thorough":
        known, learnt, why = _victim(kit, ledger, taken, home)
        views = {**views, **part.take(learnt)}
        digest, absent = f"{digest}{known}", absent or why
    every = {**part.ledger.views, **views}
    return reference, Bench(part.ledger, every, absent, home, digest, kit.settings.seed)


def _reference(
    kit: Kit, catalog: Catalog, ledger: Ledger, part: Part, taken: Measurements, home: Path
) -> tuple[Reference | None, Views, str]:
    """The reference's record, its views of the scanned rows, or why there are none."""
    settings = kit.settings
    with kit.watch.stage("Training the reference network", "reference") as progress:
        if settings.profile == "fast":
            return None, {}, "the fast profile trains no reference network"
        train = partial(
            make_reference, settings, catalog=catalog, pool=kit.pool, home=home, progress=progress
        )
        make = partial(
            kit.review.reference, settings, part, kit.store.dataset_folder, train, ledger
        )
        made = attempt_to_make("reference", {"model": settings.model}, taken, make)
    if made is None:
        return None, {}, taken.runs[-1].reason or "the reference network was not trained"
    taken.runs.pop()  # a reference that was made has its own place in the report
    return (*made, "")


def _plain(kit: Kit, ledger: Ledger, taken: Measurements, home: Path) -> Views:
    """A linear classifier's view of the scanned rows; none where it can not be made."""
    with kit.watch.stage("Asking a linear classifier", "plain"):
        make = partial(make_plain, kit.settings, ledger, first_copies(taken.samples), home)
        return attempt_to_make("plain", {}, taken, make) or {}


def _victim(kit: Kit, ledger: Ledger, taken: Measurements, home: Path) -> tuple[str, Views, str]:
    """The victim's digest and its views of the scanned rows, or why there are none."""
    with kit.watch.stage("Training a network on everything", "victim") as progress:
        made = attempt_to_make(
            "victim", {}, taken, partial(make_victim, kit.settings, ledger, home, progress)
        )
    if made is None:
        return "", {}, taken.runs[-1].reason or "the victim network was not trained"
    return (*made, "")


def _detect(kit: Kit, bench: Bench, taken: Measurements) -> None:
    """Run the detectors of the profile."""
    detectors = (*DETECTORS, *THOROUGH) if kit.settings.profile == "thorough" else DETECTORS
    with kit.watch.stage("Looking for triggers and wrong labels", "detect") as progress:
        run_detectors(detectors, bench, taken, kit.settings.n_workers, progress)


def _gather(kit: Kit, bench: Bench, taken: Measurements) -> None:
    """Join what the detectors measured of classes that hold a foreign group."""
    classes = taken.evidence.get("class", pl.DataFrame())
    if "impostor_foreign" not in classes.columns:
        return  # the impostor detector did not run, which its own record says
    with kit.watch.stage("Gathering who belongs to foreign groups", "gathered"):
        scanned = taken.samples.filter(pl.col("status") == "scanned")
        joined = partial(gather, scanned, classes, bench.views["probabilities"])
        attempt("gathered", GATHERING_VERSION, {}, taken, joined)


def _ask(kit: Kit, bench: Bench, taken: Measurements) -> None:
    """Ask the networks about the groups that detectors found."""
    with kit.watch.stage("Asking the network", "shortcut_network"):
        folder = reference_folder(bench.folder, kit.settings)
        ask = partial(ask_networks, bench, taken, folder, kit.settings.device)
        attempt("shortcut_network", ASKING_VERSION, {}, taken, ask)


def _plant(kit: Kit, bench: Bench, taken: Measurements) -> None:
    """Plant poison in a copy of the views, and see what this scan would have missed."""
    if kit.settings.profile == "fast":
        return
    with kit.watch.stage("Planting poison: what would be missed", "planting"):
        plant = partial(plant_and_look, bench, taken, kit.rules)
        attempt("planting", PLANTING_VERSION, {}, taken, plant)


def _judge(kit: Kit, class_names: tuple[str, ...], taken: Measurements) -> Judged:
    """Apply the rules, and make one tale of what they found."""
    judge = partial(kit.review.judge, kit.rules, taken, class_names, kit.settings.min_confidence)
    # Twice: what the rules flag is itself evidence on who supplied it.
    flagged = judge().judgement.flagged
    attempt("concentration", "1", {}, taken, partial(concentration, taken.samples, flagged))
    judged = judge()
    judgement = fold(explain(fuse(judged.judgement, taken.samples)))
    return replace(judged, judgement=judgement)
