"""Run checks and detectors over a ledger, keep what they measured, record what became of each."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl
from polars.exceptions import PanicException

from auditor.errors import UsageError
from auditor.features.store import write_atomically
from auditor.ingest import Ledger
from auditor.interfaces import (
    Check,
    Detector,
    Evidence,
    FileCheck,
    InapplicableError,
    Material,
    Progress,
)
from auditor.records import SCOPE_KEYS, DetectorRun, RunStatus, Scope
from auditor.tables import check_evidence
from auditor.threads import Proceed, side_by_side

Made = TypeVar("Made")

TOGETHER = 4
"""Detectors at a time, at most, for memory: two on 50,000 images make a scan's peak 1.6 GB."""

DUPLICATE_COLUMNS = ("duplicates_of", "near_duplicates_of")


@dataclass(slots=True)
class Measurements:
    """Evidence collected so far, a table a scope, and one record a detector."""

    samples: pl.DataFrame
    evidence: dict[Scope, pl.DataFrame] = field(default_factory=dict)
    runs: list[DetectorRun] = field(default_factory=list)

    def absorb(self, evidence: Evidence) -> None:
        """Join new evidence to what is there."""
        for scope, frame in evidence.items():
            key = SCOPE_KEYS[scope]
            if scope == "sample":
                self.samples = self.samples.join(frame, on="row", how="left", maintain_order="left")
            elif scope not in self.evidence:
                self.evidence[scope] = frame.sort(key) if key else frame
            elif key is None:
                self.evidence[scope] = pl.concat([self.evidence[scope], frame], how="horizontal")
            else:
                joined = self.evidence[scope].join(frame, on=key, how="full", coalesce=True)
                self.evidence[scope] = joined.sort(key)


def run_checks(checks: Sequence[Check], ledger: Ledger, into: Measurements) -> None:
    """Measure the ledger with every check."""
    for check in checks:

        def measure(check: Check = check) -> Evidence:
            evidence = check.run(ledger.samples, ledger.views)
            check_evidence(check.id, evidence)
            return evidence

        attempt(check.id, check.version, {}, into, measure)


def run_file_checks(
    checks: Sequence[FileCheck], inventory: pl.DataFrame, ledger: Ledger, into: Measurements
) -> None:
    """Measure the files beside the samples with every check of them."""
    for check in checks:

        def measure(check: FileCheck = check) -> Evidence:
            evidence = check.run(inventory, ledger.samples)
            check_evidence(check.id, evidence)
            return evidence

        attempt(check.id, check.version, {}, into, measure)


@dataclass(frozen=True, slots=True)
class Bench:
    """What the detectors of one scan share: the views, where results are kept, the seed."""

    ledger: Ledger
    views: Mapping[str, np.ndarray]
    absent: str
    """Why views that a detector needs may be missing, in plain words."""
    folder: Path
    reference: str
    seed: int


def run_detectors(
    detectors: Sequence[Detector],
    bench: Bench,
    into: Measurements,
    n_cores: int,
    progress: Progress,
) -> None:
    """Measure with every detector, some at a time, each on a share of the cores.

    Args:
        detectors: none needs what another measures.
        bench: what they look at; what an earlier scan of the same dataset kept is taken from there.
        into: gets what they measured, in their order, whichever was done first.
        n_cores: that may be busy.
        progress: called with (done, total), by one thread at a time.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    tally = _Tally(len(detectors), progress)
    took = [0.0] * len(detectors)

    def run(at: int, proceed: Proceed) -> Evidence:
        def heard(done: int, total: int) -> None:
            proceed()
            tally.hear(at, done, total)

        started = time.perf_counter()
        try:
            return _measured(detectors[at], bench, into.samples, heard)
        finally:
            took[at] = time.perf_counter() - started
            tally.hear(at, 1, 1)

    together = min(n_cores, TOGETHER)
    jobs = [partial(run, at) for at in range(len(detectors))]
    with threadpool_limits(limits=max(1, n_cores // together)):
        ended = side_by_side(jobs, together, all_or_none=False)
    for one, seconds, future in zip(detectors, took, ended, strict=True):
        attempt(one.id, one.version, one.params, into, future.result, seconds)


def _measured(
    detector: Detector, bench: Bench, samples: pl.DataFrame, progress: Progress
) -> Evidence:
    material = material_of(detector, bench, samples, detector.id, progress)
    memo = bench.folder / "evidence" / f"{detector.id}-{_memo_key(detector, bench, material)}"

    def run() -> Evidence:
        evidence = detector.run(material)
        check_evidence(detector.id, evidence)
        return evidence

    return remembered(memo, run)


class _Tally:
    """One progress, in percent, out of that of several jobs."""

    def __init__(self, n_jobs: int, progress: Progress) -> None:
        self._percent = [0] * n_jobs
        self._progress = progress
        self._lock = threading.Lock()

    def hear(self, job: int, done: int, total: int) -> None:
        """A job has done so much of what it has to do."""
        with self._lock:
            self._percent[job] = max(self._percent[job], 100 * done // max(total, 1))
            self._progress(sum(self._percent) // len(self._percent), 100)


def attempt(
    identifier: str,
    version: str,
    params: Mapping[str, object],
    into: Measurements,
    measure: Callable[[], Evidence],
    spent: float = 0.0,
) -> None:
    """The one place where any error is caught: a broken detector must not cost the others.

    ``spent`` seconds were spent on it before.
    """
    status: RunStatus = "ok"
    reason: str | None = None
    started = time.perf_counter()
    try:
        into.absorb(measure())
    except UsageError:
        raise  # the user asked for something that can not be had: no result to keep
    except InapplicableError as error:
        status, reason = "inapplicable", str(error)
    except (Exception, PanicException) as error:  # noqa: BLE001 - recorded, and no plain pass
        status, reason = "failed", f"{type(error).__name__}: {error}"
    seconds = spent + time.perf_counter() - started
    into.runs.append(DetectorRun(identifier, version, status, seconds, params, reason))


def attempt_to_make(
    identifier: str, params: Mapping[str, object], into: Measurements, make: Callable[[], Made]
) -> Made | None:
    """What ``make`` makes, recorded as `attempt` records a measurement; None where it failed."""
    made: list[Made] = []

    def run() -> Evidence:
        made.append(make())
        return {}

    attempt(identifier, "1", params, into, run)
    return made[0] if made else None


def _unheard(done: int, total: int) -> None:
    """The progress of what nobody watches."""


def material_of(
    detector: Detector, bench: Bench, samples: pl.DataFrame, use: str, progress: Progress = _unheard
) -> Material:
    """What a detector may look at; ``use`` gives the generator its own stream.

    Raises:
        InapplicableError: what the detector needs is not there.
    """
    scanned = samples.filter(pl.col("status") == "scanned")
    labels = scanned["label"].fill_null(-1).to_numpy()
    rows = scanned["row"].to_numpy()
    if not len(rows):
        raise InapplicableError("no sample could be read")
    if "labels" in detector.needs and len(np.unique(labels[labels >= 0])) < 2:
        raise InapplicableError("needs labels of at least two classes")
    missing = sorted(detector.needs - {"labels"} - set(bench.views))
    if missing:
        raise InapplicableError(f"needs {', '.join(missing)}: {bench.absent}")
    return Material(
        rows=rows,
        labels=labels,
        n_classes=len(bench.ledger.class_names),
        views=bench.views,
        duplicate_of=first_copies(samples),
        generator=_generator(bench.seed, use),
        progress=progress,
    )


def first_copies(samples: pl.DataFrame) -> np.ndarray:
    """(N,) int64, among the scanned samples: the position of each one's first copy, or −1."""
    scanned = samples.filter(pl.col("status") == "scanned")
    rows = scanned["row"].to_numpy()
    columns = [name for name in DUPLICATE_COLUMNS if name in scanned.columns]
    if not columns:
        return np.full(len(rows), -1, np.int64)
    first = scanned.select(pl.coalesce(columns).cast(pl.Int64).fill_null(-1)).to_series().to_numpy()
    place = np.searchsorted(rows, np.maximum(first, 0).astype(np.uint64))
    result: np.ndarray = np.where(first < 0, -1, place).astype(np.int64)
    return result


def _generator(seed: int, identifier: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}:{identifier}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def _memo_key(detector: Detector, bench: Bench, material: Material) -> str:
    parts = {
        "version": detector.version,
        "params": {name: str(value) for name, value in sorted(detector.params.items())},
        "seed": bench.seed,
        "reference": bench.reference,
        "views": sorted(bench.views),
        "duplicates": hashlib.sha256(material.duplicate_of.tobytes()).hexdigest(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def remembered(memo: Path, make: Callable[[], Evidence]) -> Evidence:
    """What an earlier scan kept in the folder ``memo``, or what is made now, and kept there."""
    kept = _recall(memo)
    if kept is not None:
        return kept
    evidence = make()
    _keep(memo, evidence)
    return evidence


def _recall(memo: Path) -> Evidence | None:
    if not (memo / "done").exists():
        return None
    return {scope: pl.read_parquet(memo / f"{scope}.parquet") for scope in SCOPE_KEYS
            if (memo / f"{scope}.parquet").exists()}  # fmt: skip


def _keep(memo: Path, evidence: Evidence) -> None:
    memo.mkdir(parents=True, exist_ok=True)
    for scope, frame in evidence.items():
        frame.write_parquet(memo / f"{scope}.parquet")
    write_atomically(memo / "done", b"")
