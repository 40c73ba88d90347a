"""The result of a scan, as Python sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from auditor.records import (
    ClassSummary,
    Coverage,
    DatasetInfo,
    DetectorRun,
    Finding,
    Power,
    Reference,
    TriggerPictures,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a report shows; renderers read it and measure nothing.

    Attributes:
        flagged: the contract's ``flagged.parquet``: one row a flagged sample, worst first.
        samples: the ledger joined with the sample evidence, one row a discovered sample.
        evidence: one frame a scope other than ``sample``.
        thumbnails: row → JPEG bytes re-encoded from decoded pixels, for the worst samples.
        power: how much poison this scan would have caught, where that was measured.
        triggers: class name (None: the group of disputed labels) → its estimated trigger.
        map_points: (row, x, y) of at most 5,000 samples, or None where no map was made.
    """

    tool: Mapping[str, str]
    dataset: DatasetInfo
    coverage: Coverage
    reference: Reference | None
    detectors: tuple[DetectorRun, ...]
    findings: tuple[Finding, ...]
    blind_spots: tuple[str, ...]
    verdict: Verdict
    exit_code: int
    timings: Mapping[str, float]
    classes: tuple[ClassSummary, ...]
    refusals: pl.DataFrame
    """``uri, record, refusal, detail`` of each refused sample or file."""
    flagged: pl.DataFrame
    samples: pl.DataFrame
    evidence: Mapping[str, pl.DataFrame]
    thumbnails: Mapping[int, bytes]
    map_points: tuple[np.ndarray, np.ndarray, np.ndarray] | None
    fail_on: str
    options: Mapping[str, object]
    power: tuple[Power, ...] = ()
    triggers: Mapping[str | None, TriggerPictures] = field(default_factory=dict)

    @property
    def n_flagged(self) -> int:
        """Number of samples named by a finding of medium severity or above."""
        return self.flagged.height

    def save(self, folder: Path) -> None:
        """Write ``report.json``, ``flagged.parquet``, ``evidence.parquet``, ``report.html``."""
        from auditor.reports import save_report

        save_report(self, folder)

    def _repr_html_(self) -> str:
        from auditor.reports import notebook

        return notebook(self)
