"""Restrict a scan's work to what is new, beside enough of what was accepted to judge it by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from auditor.ingest import Ledger
from auditor.measure import DUPLICATE_COLUMNS, Measurements

CONTEXT = 2_000
"""Accepted samples at least beside those under review. The probe finds the patterns of 100 among
2,000 photographs (the smallest dataset that its views were tuned on)."""

CONTEXT_RATIO = 4
"""Accepted samples for each one under review: a group of new samples must stay a minority of its
class to stand apart from it, whose half is the most that is searched."""


@dataclass(frozen=True, slots=True)
class Part:
    """The rows that detectors look at: all of a dataset, or what is under review and its context.

    Attributes:
        ledger: the part's samples and views.
        taken: where the part's evidence is collected.
        picks: (M,) int64 positions of the part among the dataset's scanned rows; None is all.
    """

    ledger: Ledger
    taken: Measurements
    picks: np.ndarray | None = None

    def take(self, views: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """The part's rows of views that were made for the whole dataset."""
        if self.picks is None:
            return views
        picks = self.picks
        return {name: view[picks] for name, view in views.items()}

    def merge(self, whole: Measurements) -> None:
        """Give the part's evidence back; what was not looked at stays null."""
        if self.picks is None:
            return
        added = [name for name in self.taken.samples.columns if name not in whole.samples.columns]
        whole.samples = whole.samples.join(
            self.taken.samples.select("row", *added), on="row", how="left", maintain_order="left"
        )
        for scope, frame in self.taken.evidence.items():
            whole.absorb({scope: frame})
        whole.runs.extend(self.taken.runs)


def focus(ledger: Ledger, taken: Measurements) -> Part:
    """Choose the samples under review, and accepted ones of every class in proportion.

    Which accepted ones is decided by their digests, as good as drawn, so that neither the order of
    a listing nor the machine matters.

    Args:
        ledger: the dataset.
        taken: its evidence so far, with that of `change.measure`.
    """
    scanned = taken.samples.filter(pl.col("status") == "scanned").with_row_index("place")
    reviewed = pl.col("change_new") | pl.col("change_relabelled")
    wanted = max(CONTEXT, CONTEXT_RATIO * scanned.filter(reviewed).height)
    accepted = scanned.filter(~reviewed)
    share = min(1.0, wanted / max(1, accepted.height))
    drawn = accepted.with_columns(
        turn=pl.col("sha256").rank("ordinal").over("label"), n=pl.len().over("label")
    ).filter(pl.col("turn") <= (pl.col("n") * share).ceil())
    rows = pl.concat([scanned.filter(reviewed)["row"], drawn["row"]]).unique()
    rows = _with_firsts(scanned, rows)
    part = scanned.filter(pl.col("row").is_in(rows.implode()))
    picks = part["place"].to_numpy().astype(np.int64)
    samples = part.drop("place")
    ledger_columns = ledger.samples.columns
    views = {name: np.ascontiguousarray(view[picks]) for name, view in ledger.views.items()}
    smaller = Ledger(samples.select(ledger_columns), views, ledger.class_names, ledger.fingerprint)
    return Part(smaller, Measurements(samples), picks)


def _with_firsts(scanned: pl.DataFrame, rows: pl.Series) -> pl.Series:
    """Add the first copies of what was chosen: detectors ask for them."""
    columns = [name for name in DUPLICATE_COLUMNS if name in scanned.columns]
    if not columns:
        return rows
    chosen = scanned.filter(pl.col("row").is_in(rows.implode()))
    firsts = [chosen[name].drop_nulls().cast(pl.UInt64) for name in columns]
    return pl.concat([rows, *firsts]).unique()
