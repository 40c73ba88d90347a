"""What a part must be to join the pipeline: a frozen record with one function in it.

Adding a reader, check, view, detector, attack or report format is a module in its folder that
builds one of these records, and an entry in that folder's tuple.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from auditor.records import Scope

if TYPE_CHECKING:
    from auditor.report import Report

Progress = Callable[[int, int], None]
"""Called with (done, total) as a stage advances."""

Evidence = Mapping[Scope, pl.DataFrame]
"""One frame a scope: its key column (``records.SCOPE_KEYS``) and columns ``<detector>_<quantity>``."""


class InapplicableError(Exception):
    """Raised by a detector for data it has nothing to say about; the message says why."""


@dataclass(frozen=True, slots=True)
class Material:
    """What a detector may look at: never paths, names or truth.

    Attributes:
        rows: (N,) uint64, the samples' row ids, ascending.
        labels: (N,) int64 in 0…K−1, or −1 where a sample has no label.
        n_classes: K; 0 without labels.
        views: name → (N, …) array, often memory-mapped: slice it in blocks.
            ``pixels``: (N, 32, 32, 3) uint8, 0–255. ``texture``: (N, D) float32.
            ``penultimate``: (N, D) float16, out-of-fold. ``probabilities``: (N, K) float32,
            out-of-fold. ``fold``: (N,) int8, the fold in which a sample was held out.
        duplicate_of: (N,) int64, index (not row id) of the first exact or near duplicate, or −1.
        generator: seeded from (seed, detector id).
        progress: call it with (done, total).
    """

    rows: np.ndarray
    labels: np.ndarray
    n_classes: int
    views: Mapping[str, np.ndarray]
    duplicate_of: np.ndarray
    generator: np.random.Generator
    progress: Progress


@dataclass(frozen=True, slots=True)
class Detector:
    """Measures samples from their views. ``run`` is pure and returns evidence tables."""

    id: str
    version: str
    title: str
    needs: frozenset[str]
    """View names, and ``labels`` if it needs at least two classes."""
    params: Mapping[str, object]
    citation: str
    run: Callable[[Material], Evidence]


@dataclass(frozen=True, slots=True)
class Check:
    """Measures the ledger (the samples table, ``tables.SAMPLES`` and ``tables.MEASURES``)."""

    id: str
    version: str
    title: str
    run: Callable[[pl.DataFrame, Mapping[str, np.ndarray]], Evidence]
    """(samples, views of the scanned rows in row order) → evidence."""


@dataclass(frozen=True, slots=True)
class ReportFormat:
    """Turns a report into text; ``filename`` is its default name inside ``--report DIR``."""

    id: str
    filename: str
    render: Callable[[Report], str]


@dataclass(frozen=True, slots=True)
class Attack:
    """Poisons images or labels.

    ``choose`` picks, from labels alone, the rows to poison and the labels they get; ``stamp``
    changes one image, or is None for an attack on labels only. Both are deterministic in the
    generator they are given.
    """

    id: str
    title: str
    citation: str
    params: Mapping[str, object]
    choose: Callable[[np.ndarray, int, float, int | None, int | None, Mapping[str, object], np.random.Generator], tuple[np.ndarray, np.ndarray]]
    """(labels (N,), K, rate, target, source_class, params, rng) → (rows (M,) ascending, new labels (M,))."""
    stamp: Callable[[np.ndarray, Mapping[str, object], np.random.Generator], np.ndarray] | None
    """((H, W, 3) uint8, params, generator of that sample) → same shape and dtype."""


@dataclass(frozen=True, slots=True)
class PoisonPlan:
    """What ``poison`` is asked to do."""

    dataset: Path
    out: Path
    attack: str
    rate: float
    target: str | None
    source_class: str | None
    params: Mapping[str, object]
    seed: int
