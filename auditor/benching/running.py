"""Runs one case: cut, poison, scan, and only then look at the truth."""

from __future__ import annotations

import json
import platform
import shutil
import tempfile
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import polars as pl

from auditor import __version__
from auditor.attacks.requests.planning import find_attack
from auditor.benching.cases import CLEAN, Case, tool_digest
from auditor.benching.cutting import Cut, cut
from auditor.benching.scoring import Ranking, Score, Tally, score
from auditor.benching.success import Success, measure_success, scan_answers, victim_answers
from auditor.config import Config
from auditor.detectors import DETECTORS, THOROUGH
from auditor.errors import NothingToScanError, UsageError
from auditor.features.store import write_atomically
from auditor.interfaces import PoisonPlan
from auditor.poisoning import PoisonResult, poison
from auditor.readers import Columns
from auditor.report import Report
from auditor.scanning import scan

Status = Literal["ok", "inapplicable", "failed"]

POISON_WORKERS = 1
"""Processes that write a copy. A pool of them is kept between cases and closes when it was idle for
ten seconds, about as long as a scan takes: a case that hands it work in that moment waits, once for
five minutes as measured. One process writes 10,000 small images in three seconds."""

ANY_ATTACK = "badnets"
"""At rate 0 every attack writes the same copy; clean runs use this one's."""

DETECTOR_IDS = frozenset(detector.id for detector in (*DETECTORS, *THOROUGH))
"""Detectors whose seconds are told: they run side by side, as one stage of a scan."""

PACKAGES = ("numpy", "polars", "pyarrow", "torch", "scikit-learn", "scipy", "pillow")


@dataclass(frozen=True, slots=True)
class Place:
    """Where and with what the cases of one run work.

    Attributes:
        dataset: the source, only read.
        digest: of the source, part of every result's name.
        home: the folder of the results; scratch folders are made and removed in it.
        columns: those a user named.
        workers: processes of a single case.
        device: where the reference network runs.
        features: where features of the copies outlive their case, or None.
    """

    dataset: Path
    digest: str
    home: Path
    columns: Columns
    workers: int
    device: str
    features: Path | None = None

    def result_file(self, case: Case) -> Path:
        """Where the result of a case is kept."""
        return self.home / "cases" / f"{case.attack}-{case.digest(self.digest)[:20]}.json"

    def cache(self, case: Case, work: Path) -> Path:
        """The scan's cache: of this case alone, so that no other case's features push it out."""
        if self.features is None:
            return work / "cache"
        return self.features / f"{case.attack}-{case.digest(self.digest, tool='')[:20]}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a case. Without ``score``, ``reason`` says why there is none."""

    case: Case
    status: Status
    reason: str
    score: Score | None
    success: Success | None
    verdict: str | None
    n_classes: int
    reference_accuracy: float | None
    seconds: Mapping[str, float]
    machine: Mapping[str, str]
    date: str

    def as_json(self) -> dict[str, Any]:
        """Plain values, as they are written to a file."""
        return {"case": asdict(self.case), **{k: v for k, v in asdict(self).items() if k != "case"}}


def run_case(case: Case, place: Place) -> Outcome:
    """Run a case, or take its stored result; store what is finished.

    A case that can not be run on this dataset (too few samples of a class …) is ``inapplicable``;
    one that breaks is ``failed``, is not stored, and is tried again the next time.
    """
    path = place.result_file(case)
    kept = read_outcome(path)
    if kept is not None:
        return kept
    started = time.perf_counter()
    (place.home / "work").mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f"{case.attack}-", dir=place.home / "work"))
    try:
        outcome = _run(case, place, work)
    except (UsageError, NothingToScanError) as error:
        return _keep(path, _without_score(case, "inapplicable", str(error), started))
    except Exception as error:  # noqa: BLE001 - a broken case stays in the table, others go on
        last = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"
        return _without_score(case, "failed", reason, started)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return _keep(path, outcome)


def _run(case: Case, place: Place, work: Path) -> Outcome:
    clock = {"started": time.perf_counter()}
    part = cut(place.dataset, case.size, case.seed, work, place.columns)
    plan = poison_plan(case, part, work, place)
    result = poison(plan)
    clock["poisoned"] = time.perf_counter()
    cache = place.cache(case, work)
    kept = cache.exists()
    report = scan_copy(result.out, case, place, cache)
    clock["scanned"] = time.perf_counter()
    scored, success = _judged(case, report, result, plan, part, place, cache)
    clock["judged"] = time.perf_counter()
    return Outcome(
        case=case,
        status="ok",
        reason="",
        score=scored,
        success=success,
        verdict=report.verdict,
        n_classes=report.dataset.n_classes,
        reference_accuracy=report.reference.accuracy if report.reference else None,
        seconds={
            "poison": round(clock["poisoned"] - clock["started"], 2),
            "scan": round(clock["scanned"] - clock["poisoned"], 2),
            "success": round(clock["judged"] - clock["scanned"], 2),
            "total": round(clock["judged"] - clock["started"], 2),
            **{f"scan_{stage}": spent for stage, spent in report.timings.items()},
            **{
                f"scan_{run.id}": round(run.seconds, 3)
                for run in report.detectors
                if run.id in DETECTOR_IDS
            },
        },
        machine={
            **machine(),
            "features": "kept" if kept else "made",
            "reference_device": report.reference.device if report.reference else "none",
        },
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def poison_plan(case: Case, part: Cut, work: Path, place: Place) -> PoisonPlan:
    """How a cut is poisoned; a clean case is copied by the same path with nothing altered."""
    clean = case.attack == CLEAN
    columns = place.columns
    return PoisonPlan(
        dataset=part.path,
        out=work / "copy",
        attack=ANY_ATTACK if clean else case.attack,
        rate=0.0 if clean else case.rate,
        target=case.target,
        source_class=case.source_class,
        params=dict(case.params),
        seed=case.seed,
        image=columns.image,
        label=columns.label,
        source=columns.source,
        workers=POISON_WORKERS,
    )


def scan_copy(copy: Path, case: Case, place: Place, cache: Path) -> Report:
    """The scan that ships: nothing but the copy goes in, and no configuration of the user's."""
    columns = place.columns
    config = Config(
        profile=case.profile,
        device=place.device,
        workers=place.workers,
        cache_dir=str(cache),
        image=columns.image,
        label=columns.label,
        source=columns.source,
    )
    return scan(copy, config=config)


def _judged(
    case: Case, report: Report, result: PoisonResult, plan: PoisonPlan, part: Cut, place: Place,
    cache: Path,
) -> tuple[Score, Success]:  # fmt: skip
    truth = pl.read_parquet(result.truth)
    clean = case.attack == CLEAN
    kind = "" if clean else find_attack(case.attack).kind
    scored = score(report, truth, case.attack, kind)
    if result.unreadable:
        return scored, Success(None, 0, None, "the cut holds samples that can not be decoded")
    answers = (
        victim_answers(report, cache, case.victim_epochs, case.seed, place.device)
        if case.victim_epochs
        else scan_answers(report, cache)
    )
    given = None if clean else plan
    return scored, measure_success(report, given, result, part, truth, answers)


def _without_score(case: Case, status: Status, reason: str, started: float) -> Outcome:
    seconds = {"total": round(time.perf_counter() - started, 2)}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Outcome(case, status, reason, None, None, None, 0, None, seconds, machine(), now)


def machine() -> Mapping[str, str]:
    """What the seconds and the digits of a result depend on."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "auditor": __version__,
        "tool_digest": tool_digest()[:16],
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_name(),
        "n_cpus": str(Config().n_workers),
        **versions,
    }


def _cpu_name() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text("utf-8", "replace").splitlines() if path.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or "unknown")


def _keep(path: Path, outcome: Outcome) -> Outcome:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(outcome.as_json(), indent=1, ensure_ascii=False)
    write_atomically(path, text.encode("utf-8"))
    return outcome


def read_outcome(path: Path) -> Outcome | None:
    """The stored result of a case, or None."""
    if not path.is_file():
        return None
    return outcome_from(json.loads(path.read_text("utf-8")))


def outcome_from(data: Mapping[str, Any]) -> Outcome:
    """An outcome from its plain values (`Outcome.as_json`)."""
    values = dict(data)
    values["case"] = Case(**values["case"])
    if values["score"] is not None:
        parts = dict(values["score"])
        parts["rules"] = tuple(parts["rules"])
        parts["rankings"] = {
            name: Ranking(
                auroc=ranking["auroc"],
                recall={float(rate): value for rate, value in ranking["recall"].items()},
                evaluated=ranking["evaluated"],
            )
            for name, ranking in parts["rankings"].items()
        }
        parts["tallies"] = {
            rule: Tally(*map(tuple, (tally["found"], tally["false"])))
            for rule, tally in parts.get("tallies", {}).items()
        }
        values["score"] = Score(**parts)
    if values["success"] is not None:
        values["success"] = Success(**values["success"])
    return Outcome(**values)
