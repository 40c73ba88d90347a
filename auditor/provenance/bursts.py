"""Late bursts: did much of one class arrive shortly before the dataset was taken?

Who can write to a source that is collected at known times edits it just before (front-running,
Carlini et al. 2023, https://arxiv.org/abs/2302.10149).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import hypergeom

from auditor.interfaces import Check, Evidence
from auditor.provenance.enrichment import SMALLEST, holm

WINDOWS = (0.01, 0.02, 0.05)
"""Shares of the samples with a time that count as the last ones."""

MIN_CLASS = 20
"""Samples with a time of a class below which it is not tested: half of them must be older."""

SCHEMA: Mapping[str, type[pl.DataType]] = {
    "label": pl.Int64,
    "bursts_n": pl.Int64,
    "bursts_of": pl.Int64,
    "bursts_share": pl.Float64,
    "bursts_elsewhere": pl.Float64,
    "bursts_since": pl.String,
    "bursts_lift": pl.Float64,
    "bursts_excess": pl.Float64,
    "bursts_earlier": pl.Float64,
    "bursts_p": pl.Float64,
}


@dataclass(frozen=True, slots=True)
class Timeline:
    """The labelled samples that have a time, oldest first.

    ``labels`` (N,) are int64 in 0…K−1 of the classes that are tested, and K for all others.
    """

    times: np.ndarray
    labels: np.ndarray
    n_classes: int


def measure(samples: pl.DataFrame, views: Mapping[str, np.ndarray]) -> Evidence:
    """Test each class for a burst in the last samples.

    A class counts from the moment when half of it was there: from then on, a sample of it should
    arrive late no more often than others do. So a class that began late, or whose samples came
    last because classes were collected one after another, is no burst.

    Returns:
        ``class``: the window with the lowest chance of each tested class: ``bursts_n`` (samples of
        the class in it) of ``bursts_of`` (all of the class), ``bursts_share`` (0–1),
        ``bursts_elsewhere`` (share of all other samples in it, 0–1), ``bursts_since`` (its begin,
        UTC), ``bursts_lift`` (times what the class's share since its half would give),
        ``bursts_excess`` (share of the window that is more than that of the class in all),
        ``bursts_earlier`` (the largest such excess of any class in an earlier block of this size:
        data that always came class by class have a large one), ``bursts_p`` (hypergeometric,
        corrected after Holm over classes and windows). ``dataset``: ``bursts_n_timed``.
    """
    known = samples.filter((pl.col("status") == "scanned") & pl.col("time").is_not_null())
    timed = pl.DataFrame({"bursts_n_timed": [known.height]})
    line, numbers = _timeline(known.filter(pl.col("label").is_not_null()))
    rows = [row for share in WINDOWS for row in _window(line, share)]
    table = pl.DataFrame(rows, schema=SCHEMA)
    chances = table["bursts_p"].to_list()
    untested = [1.0] * (len(WINDOWS) * line.n_classes - len(chances))
    corrected = pl.Series(holm([*chances, *untested])[: len(chances)], dtype=pl.Float64)
    found = (
        table.with_columns(bursts_p=corrected)
        .sort("label", "bursts_p", "bursts_n")
        .unique("label", keep="first", maintain_order=True)
    )
    labels = pl.Series("label", numbers[found["label"].to_numpy()], pl.Int64)
    return {"class": found.with_columns(labels), "dataset": timed}


def _timeline(known: pl.DataFrame) -> tuple[Timeline, np.ndarray]:
    """The samples in order, and the (K,) labels of the classes that are tested."""
    ordered = known.select(pl.col("time").to_physical(), "label").sort("time", "label")
    values, inverse, sizes = np.unique(
        ordered["label"].to_numpy(), return_inverse=True, return_counts=True
    )
    tested = np.flatnonzero(sizes >= MIN_CLASS)
    if len(values) < 2:
        tested = tested[:0]
    renumber = np.full(len(values), len(tested))
    renumber[tested] = np.arange(len(tested))
    line = Timeline(ordered["time"].to_numpy(), renumber[inverse], len(tested))
    return line, values[tested].astype(np.int64)


def _window(line: Timeline, share: float) -> Iterator[dict[str, object]]:
    """Each class's row for the last ``share`` of all samples."""
    size = len(line.times)
    begin = _begin(line.times, share)
    n_late = size - begin
    if begin == 0 or n_late == 0 or not line.n_classes:
        return
    n_of = np.bincount(line.labels, minlength=line.n_classes + 1)
    late = np.bincount(line.labels[begin:], minlength=line.n_classes + 1)
    earlier = _earlier(line, begin, n_of)
    since = np.datetime_as_string(line.times[begin].astype("datetime64[us]"), unit="s")
    places = np.split(np.argsort(line.labels, kind="stable"), np.cumsum(n_of)[:-1])
    for label in range(line.n_classes):
        of, n = int(n_of[label]), int(late[label])
        # What came up to the half is fixed when the half is there; what follows is drawn.
        half = line.times[places[label][(of - 1) // 2]]
        start = int(np.searchsorted(line.times, half, "right"))
        if start >= begin:
            continue
        rest, drawn = size - start, of - int(np.searchsorted(places[label], start))
        yield {
            "label": label, "bursts_n": n, "bursts_of": of, "bursts_share": n / of,
            "bursts_elsewhere": (n_late - n) / max(1, size - of), "bursts_since": str(since),
            "bursts_lift": n * rest / max(1, drawn * n_late),
            "bursts_excess": n / n_late - of / size, "bursts_earlier": earlier,
            "bursts_p": max(SMALLEST, float(hypergeom.sf(n - 1, rest, drawn, n_late))),
        }  # fmt: skip


def _begin(times: np.ndarray, share: float) -> int:
    """Where the last ``share`` begins; samples of one time stay together, outside if need be."""
    begin = len(times) - int(len(times) * share)
    if begin == len(times) or begin == 0:
        return len(times)
    tied = times[begin] == times[begin - 1]
    return int(np.searchsorted(times, times[begin], "right")) if tied else begin


def _earlier(line: Timeline, begin: int, n_of: np.ndarray) -> float:
    """The largest excess of any class in a block before the window, of about its size."""
    n_late = len(line.times) - begin
    # Samples of one time stay in one block, by the last of them.
    last = np.searchsorted(line.times, line.times[:begin], "right") - 1
    block = (begin - 1 - last) // n_late
    width = line.n_classes + 1
    n_blocks = int(block.max()) + 1
    table = np.bincount(block * width + line.labels[:begin], minlength=n_blocks * width)
    cells = table.reshape(n_blocks, width)
    total = cells.sum(axis=1, keepdims=True)
    whole = total[:, 0] * 2 >= n_late
    excess = cells[whole] / total[whole] - n_of / len(line.times)
    return float(excess[:, :-1].max(initial=0.0))


BURSTS = Check("bursts", "1", "Late bursts", measure)
