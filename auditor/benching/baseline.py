"""The committed recall that a change of the code may not lose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from auditor.benching.cases import CLEAN
from auditor.benching.results import BenchResult
from auditor.benching.running import Outcome
from auditor.benching.scoring import wilson
from auditor.errors import UsageError
from auditor.features.store import write_atomically

COLUMNS = {
    "suite": pl.String,
    "dataset": pl.String,
    "case": pl.String,
    "n_poisoned": pl.Int64,
    "found": pl.Int64,
    "floor": pl.Float64,
    "right": pl.Boolean,
}
"""``floor`` is the lowest recall that still passes."""


def floor(found: int, n_poisoned: int) -> float:
    """The recall below which a case has got worse: the Wilson 95 % lower bound of the committed.

    The bench repeats itself exactly on one machine; on another the last digits of floating-point
    sums differ, and a handful of samples cross a threshold. What the committed count of samples
    can not tell apart from itself is no drop: 54 of 54 give 0.93, 500 of 500 give 0.99.
    """
    return wilson(found, n_poisoned)[0]


def update(path: Path, result: BenchResult) -> None:
    """Write this run's cases into the baseline; those of other suites and datasets stay.

    Raises:
        UsageError: a case broke, so there is no recall to commit.
    """
    for outcome in result.outcomes:
        if outcome.status == "failed":
            raise UsageError(
                f"--update: case {outcome.case.slug!r} failed ({outcome.reason}); expected every "
                "case to be scored; nothing was written"
            )
    rows = [_row(result, outcome) for outcome in result.outcomes if outcome.score is not None]
    frame = pl.DataFrame(rows, schema=COLUMNS, orient="row")
    if path.exists():
        old = read(path)
        mine = (pl.col("suite") == result.suite) & (pl.col("dataset") == result.dataset)
        frame = pl.concat([old.filter(~mine), frame])
    frame = frame.sort("suite", "dataset", "case")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, frame.write_csv(float_precision=4).encode("utf-8"))


def _row(result: BenchResult, outcome: Outcome) -> tuple[object, ...]:
    score = outcome.score
    assert score is not None
    found = score.found["any"]
    low = floor(found, score.n_poisoned) if score.n_poisoned else 0.0
    return (result.suite, result.dataset, outcome.case.slug, score.n_poisoned, found, low,
            score.right)  # fmt: skip


def read(path: Path) -> pl.DataFrame:
    """The committed baseline.

    Raises:
        UsageError: the file is absent or has other columns.
    """
    if not path.is_file():
        raise UsageError(f"--check {str(path)!r}: no such file; make it with --update")
    try:
        frame = pl.read_csv(path, schema_overrides=COLUMNS)
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        raise UsageError(f"--check {str(path)!r}: no valid baseline: {error}") from None
    if set(frame.columns) != set(COLUMNS):
        raise UsageError(
            f"--check {str(path)!r}: has columns {frame.columns}, expected {list(COLUMNS)}; "
            "make it anew with --update"
        )
    return frame.select(list(COLUMNS))


def check(path: Path, result: BenchResult) -> Sequence[str]:
    """What got worse since the baseline was committed, in plain words; empty if nothing did.

    Raises:
        UsageError: the baseline has no case of this suite on this dataset.
    """
    committed = read(path).filter(suite=result.suite, dataset=result.dataset)
    if committed.is_empty():
        raise UsageError(
            f"--check {str(path)!r}: has no case of suite {result.suite!r} on {result.dataset!r}; "
            "add them with --update"
        )
    outcomes = {outcome.case.slug: outcome for outcome in result.outcomes}
    losses = [
        loss
        for row in committed.iter_rows(named=True)
        for loss in _losses(row, outcomes.get(row["case"]))
    ]
    return [*losses, *_alarms(result.outcomes)]


def _losses(row: dict[str, object], outcome: Outcome | None) -> list[str]:
    name = row["case"]
    if outcome is None:
        return [f"{name}: was not run"]
    if outcome.score is None:
        return [f"{name}: {outcome.status}: {outcome.reason}"]
    score, losses = outcome.score, []
    if score.n_poisoned:
        recall, least = score.found["any"] / score.n_poisoned, float(str(row["floor"]))
        if recall < least - 5e-5:  # the file has four digits
            losses.append(
                f"{name}: recall fell to {recall:.3f} ({score.found['any']} of "
                f"{score.n_poisoned}), committed {row['found']} of {row['n_poisoned']}, at least "
                f"{least:.3f} expected"
            )
    if row["right"] and not score.right and outcome.case.attack != CLEAN:
        losses.append(f"{name}: the verdict was right and is wrong now")
    return losses


def _alarms(outcomes: Sequence[Outcome]) -> list[str]:
    return [
        f"{o.case.slug}: {o.score.backdoor_findings} backdoor alarm(s) on data without a backdoor"
        for o in outcomes
        if o.score is not None
        and o.case.attack in (CLEAN, "label_flip")
        and o.score.backdoor_findings
    ]
