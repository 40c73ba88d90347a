"""The power table of a scan: what the same detectors catch in poisoned cuts of the same data."""

from __future__ import annotations

import tempfile
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

from auditor.benching.harness import Hear, bench
from auditor.config import Config
from auditor.errors import UsageError
from auditor.readers import Columns
from auditor.report import Report

SEEDS = (0, 1)
"""Two runs at each count: one leaves the interval twice as wide, three cost half as much again."""

SPOILT = (
    "Power was not measured: the dataset raises a backdoor alarm as it is, so that one raised by "
    "poison planted in it can not be told from its own."
)


def with_power(report: Report, dataset: Path, settings: Config, hear: Hear | None = None) -> Report:
    """Plant poison in cuts of the scanned dataset and say how much of it would have been caught.

    Cuts of at most 10,000 samples are scanned in the fast profile, whose detectors are part of
    every other: what they catch, each profile catches. Finished cases are kept in the cache.

    Args:
        report: of the scan of ``dataset``.
        dataset: only read.
        settings: of that scan.
        hear: called as cases finish.

    Returns:
        The report with its ``power``; or with a blind spot that says why there is none.
    """
    if any(finding.rule.startswith("BKD") for finding in report.findings):
        return replace(report, blind_spots=(*report.blind_spots, SPOILT))
    columns = Columns(settings.image, settings.label, settings.source)
    with _home(settings) as home:
        try:
            result = bench(
                dataset, suite="power", seeds=SEEDS, profile="fast", out=home, columns=columns,
                device=settings.device, hear=hear,
            )  # fmt: skip
        except UsageError as error:
            spot = f"Power was not measured: {error}"
            return replace(report, blind_spots=(*report.blind_spots, spot))
    broken = [
        f"Power was measured without one case, which broke: {outcome.case.slug}: {outcome.reason}"
        for outcome in result.failed
    ]
    return replace(report, power=result.power, blind_spots=(*report.blind_spots, *broken))


def _home(settings: Config) -> AbstractContextManager[str | Path]:
    root = settings.cache_root
    return nullcontext(root / "power") if root else tempfile.TemporaryDirectory()
