"""``auditor demo``: the whole story on data that comes with scikit-learn, in under two minutes."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from auditor.cli.display import Display
from auditor.errors import UsageError
from auditor.interfaces import PoisonPlan
from auditor.poisoning import poison
from auditor.report import Report
from auditor.sample import write_sample
from auditor.scanning import scan

RATE = 0.05
TARGET = "seven"

MIN_RECALL = 0.95
"""Share of the poison that the demo must find to end with 0."""


def run_demo(folder: Path, display: Display) -> int:
    """Write digits, poison a copy, scan it, compare with the truth.

    Returns:
        0 when the poison was found, 4 when it was not.

    Raises:
        UsageError: the folder holds something already.
    """
    clean, poisoned = folder / "digits", folder / "digits-poisoned"
    if poisoned.exists():
        raise UsageError(
            f"demo folder {str(folder)!r}: holds a demo already; remove it or name another folder"
        )
    n = write_sample(clean)
    display.say(f"{n:,} pictures of handwritten digits written to {clean}")
    with display.stage("Poisoning a copy") as advance:
        plan = PoisonPlan(clean, poisoned, "badnets", RATE, TARGET, None, {}, 0)
        result = poison(plan, advance)
    display.say(
        f"{result.n_poisoned} of them now carry a small patch and the label {TARGET!r}: "
        f"{poisoned}\n"
    )
    report = scan(poisoned, observer=display)
    report.save(folder / "auditor-report")
    display.show(report, folder / "auditor-report")
    found, wrong = _score(report, pl.read_parquet(result.truth))
    display.say(
        f"\nThe truth, which the scan never saw: {found} of {result.n_poisoned} poisoned samples "
        f"were flagged, and {wrong} clean ones."
    )
    return 0 if found >= MIN_RECALL * result.n_poisoned else 4


def _score(report: Report, truth: pl.DataFrame) -> tuple[int, int]:
    """(poisoned samples flagged, clean samples flagged)."""
    flagged = report.flagged.join(truth.drop("record"), on="uri", how="left")
    found = int(flagged["poisoned"].sum())
    return found, flagged.height - found
