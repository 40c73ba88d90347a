"""The bench: attack × rate × seed through the very same scan, and the results side by side."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from auditor.attacks.requests.planning import find_attack, typed_params
from auditor.benching.cases import CLEAN, Case
from auditor.benching.cutting import count_held_out, dataset_digest, open_layout
from auditor.benching.power import power_table
from auditor.benching.results import BenchResult
from auditor.benching.running import Outcome, Place, run_case
from auditor.benching.suites import SIZES, SUITES, ladder, set_of
from auditor.config import Config
from auditor.errors import UsageError
from auditor.readers import Columns
from auditor.sample import write_sample

SAMPLE = "bundled digits"

Hear = Callable[[Outcome, int, int], None]
"""Called with each finished case, how many are done, and how many there are."""


def bench(
    dataset: str | Path | None = None,
    *,
    suite: str = "quick",
    attacks: Sequence[str] = (),
    rates: Sequence[float] = (),
    seeds: Sequence[int] = (0,),
    params: Mapping[str, str] | None = None,
    target: str | None = None,
    source_class: str | None = None,
    size: int | None = None,
    profile: str | None = None,
    victim_epochs: int | None = None,
    out: str | Path = "auditor-bench",
    jobs: int = 1,
    device: str = "auto",
    columns: Columns | None = None,
    features: str | Path | None = None,
    hear: Hear | None = None,
) -> BenchResult:
    """Poison cuts of a dataset, scan them as `auditor scan` does, and compare with the truth.

    Args:
        dataset: only read; None takes the bundled digits.
        suite: ``quick``, ``standard``, ``clean``, ``power`` or ``implant``; ``attacks`` and
            ``rates`` narrow it or, together, replace it.
        attacks: ids, or ``clean``. With the suite ``power``, the attacks of its ladder.
        rates: poisoned / all samples, fractions.
        seeds: of cuts and attacks.
        params: attack parameters, for the attacks named.
        target: class the poison points to.
        source_class: poison samples of this class only.
        size: samples of a cut. One of the whole dataset leaves none to see on whether an attack
            works.
        profile: of the scans, where the suite's is not wanted.
        victim_epochs: of the network that is asked whether an attack works, trained on the whole
            copy; 0 asks the scan's own networks; None takes the suite's.
        out: finished cases are kept in it and not run again while dataset, tool and case stay.
        jobs: cases at a time; each gets its share of the CPUs.
        device: where the reference network runs.
        columns: those of the dataset that are not to be detected.
        features: keep the scans' features here: a changed detector is then measured again without
            decoding or training. 50 MB for 10,000 samples a case.
        hear: called as cases finish.

    Raises:
        UsageError: an option or the dataset does not fit.
        NothingToScanError: the dataset holds no images.
    """
    if suite not in SUITES:
        raise UsageError(f"--suite: got {suite!r}, expected one of {', '.join(SUITES)}")
    home = Path(out)
    home.mkdir(parents=True, exist_ok=True)
    source, digest, name = _source(dataset, home)
    used = columns or Columns()
    size = _size(source, used, size, suite)
    if attacks and rates:
        cases = [
            Case(a, rate, seed, size=size, profile=profile or "default")
            for a in attacks for rate in (rates if a != CLEAN else [0.0]) for seed in seeds
        ]  # fmt: skip
        suite = "custom"
    elif suite == "power" and attacks:
        cases = ladder(attacks, size, seeds, profile or "fast")
    else:
        cases = SUITES[suite](size, seeds, profile)
        cases = [c for c in cases if not attacks or c.attack in attacks]
        cases = [c for c in cases if not rates or c.rate in rates]
    if victim_epochs is not None:
        cases = [replace(case, victim_epochs=victim_epochs) for case in cases]
    cases = set_of([_completed(c, params or {}, target, source_class) for c in cases])
    _check(cases, attacks, jobs)
    workers = max(1, Config().n_workers // jobs)
    place = Place(source, digest, home, used, workers, device, Path(features) if features else None)
    with _working(home):
        outcomes = tuple(_heard(_outcomes(cases, place, jobs), len(cases), hear))
    by_slug = {outcome.case.slug: outcome for outcome in outcomes}
    ordered = tuple(by_slug[case.slug] for case in cases)
    return BenchResult(suite, name, ordered, tuple(power_table(ordered)))


@contextmanager
def _working(home: Path) -> Iterator[None]:
    """Cases work below ``home/work``; the last bench of those that share ``home`` removes it.

    It then holds what killed benches left, and nothing that another one needs.
    """
    held = os.open(home, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_SH)
        yield
    finally:
        with suppress(BlockingIOError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(home / "work", ignore_errors=True)
        os.close(held)


def _source(dataset: str | Path | None, home: Path) -> tuple[Path, str, str]:
    """The dataset, its digest and its name in results."""
    if dataset is not None:
        path = Path(dataset)
        if not path.exists():
            raise UsageError(f"{str(path)!r}: no such file or folder; expected a dataset")
        # Results name a dataset without where it lies, so that a baseline holds anywhere.
        return path, dataset_digest(path), path.name or path.resolve().name
    path = home / "digits"
    if not (path / "written").exists():
        shutil.rmtree(path, ignore_errors=True)
        write_sample(path)
        (path / "written").touch()
    # The sample is part of the tool, whose digest every result has: files' times do not matter.
    return path, SAMPLE, SAMPLE


def _size(source: Path, columns: Columns, size: int | None, suite: str) -> int:
    """Samples of a cut: as asked, else the suite's, less those held out where there are no more."""
    n = len(open_layout(source, columns).labels)
    if size is None:
        return min(SIZES[suite], n - count_held_out(n))
    if not 0 < size <= n:
        raise UsageError(f"--size: got {size}, expected 1 to {n}, the samples of the dataset")
    return size


def _completed(
    case: Case, params: Mapping[str, str], target: str | None, source_class: str | None
) -> Case:
    """The case with what the user asked of every attack."""
    if case.attack == CLEAN:
        return case
    return replace(
        case,
        params={**case.params, **params},
        target=case.target if target is None else target,
        source_class=case.source_class if source_class is None else source_class,
    )


def _check(cases: Sequence[Case], attacks: Sequence[str], jobs: int) -> None:
    """Say now what would fail later, in the middle of a long run."""
    if jobs < 1:
        raise UsageError(f"--jobs: got {jobs}, expected 1 or more")
    for name in {*attacks, *(case.attack for case in cases)} - {CLEAN}:
        find_attack(name)
    for case in cases:
        if not 0 <= case.rate <= 1:
            raise UsageError(f"--rate: got {case.rate:g}, expected a fraction between 0 and 1")
        if case.attack != CLEAN:
            typed_params(find_attack(case.attack), case.params)
    if not cases:
        raise UsageError(
            "--attack, --rate: the suite has no such case; give both to make cases of your own"
        )


def _outcomes(cases: Sequence[Case], place: Place, jobs: int) -> Iterator[Outcome]:
    """Run the cases; with jobs, as they finish."""
    if jobs == 1:
        for case in cases:
            yield run_case(case, place)
        return
    from concurrent.futures import as_completed

    from joblib.externals.loky import ProcessPoolExecutor  # type: ignore[import-untyped]

    # Each job computes on its share of the CPUs; more threads would only wait for each other.
    threads = str(place.workers)
    env = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"), threads)
    with ProcessPoolExecutor(max_workers=jobs, env=env) as pool:
        waiting = [pool.submit(run_case, case, place) for case in cases]
        for future in as_completed(waiting):
            yield future.result()


def _heard(outcomes: Iterator[Outcome], total: int, hear: Hear | None) -> Iterator[Outcome]:
    for done, outcome in enumerate(outcomes, start=1):
        if hear is not None:
            hear(outcome, done, total)
        yield outcome
