"""What a part must be to join the pipeline: a frozen record with one function in it.

Adding a reader, check, view, detector, attack or report format is a module in its folder that
builds one of these records, and an entry in that folder's tuple.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from auditor.records import Scope

if TYPE_CHECKING:
    from auditor.report import Report

Progress = Callable[[int, int], None]
"""Called with (done, total) as a stage advances."""

Evidence = Mapping[Scope, pl.DataFrame]
"""One frame a scope: its key (``records.SCOPE_KEYS``) and columns ``<detector>_<quantity>``."""


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
            out-of-fold. ``fold``: (N,) int8, the fold in which a sample was held out. ``plain``:
            (N, K) float32, probabilities of a linear classifier, leave-one-out.
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
class FileCheck:
    """Measures the files beside the samples (``tables.INVENTORY``), and the ledger with them."""

    id: str
    version: str
    title: str
    run: Callable[[pl.DataFrame, pl.DataFrame], Evidence]
    """(inventory, samples) → evidence."""


@dataclass(frozen=True, slots=True)
class ReportFormat:
    """Turns a report into text; ``filename`` is its default name inside ``--report DIR``."""

    id: str
    filename: str
    render: Callable[[Report], str]


@dataclass(frozen=True, slots=True)
class AttackRequest:
    """What an attack may look at before it touches anything: labels, never paths or names.

    Attributes:
        labels: (N,) int64 in 0…K−1, or −1 where a sample has no label.
        n_classes: K.
        rate: poisoned / all training rows, a fraction; the attack alters round(rate·N) samples.
        target: the class that the attacker wants predicted, or None.
        source_class: the only class whose samples may be poisoned, or None for any.
        params: the attack's parameters, complete and of their canonical types.
        sources: (N,) int64 index of who supplied a sample, or None where the dataset has none.
        images: (rows (M,), side) → (M, side, side, 3) uint8, decoded from the dataset.
        train: (pixels (M, 32, 32, 3) uint8, labels (M,), seed) → the reference network trained on
            them, ``Sequential(body, head)``, and the mean and deviation (3,) of each colour.
    """

    labels: np.ndarray
    n_classes: int
    rate: float
    target: int | None
    source_class: int | None
    params: Mapping[str, object]
    sources: np.ndarray | None
    images: Callable[[np.ndarray, int], np.ndarray]
    train: Callable[[np.ndarray, np.ndarray, int], tuple[Any, np.ndarray, np.ndarray]]

    @property
    def budget(self) -> int:
        """Samples to poison: round(rate·N)."""
        return round(self.rate * len(self.labels))


@dataclass(frozen=True, slots=True)
class Selection:
    """What an attack will do to which rows; M entries, in any order.

    Attributes:
        rows: (M,) int64, the rows to alter, each at most once unless added.
        labels: (M,) int64, the labels they get.
        cover: (M,) bool, True where a sample keeps its label only to hide the others.
        added: (M,) bool, True where the sample is new and ``rows`` names the row it is built from.
        donors: (M,) int64, the rows whose pixels are stamped: ``rows`` itself for most attacks.
    """

    rows: np.ndarray
    labels: np.ndarray
    cover: np.ndarray
    added: np.ndarray
    donors: np.ndarray


@dataclass(frozen=True, slots=True)
class AttackMaterial:
    """What an attack computed once before stamping: ``shared`` by all, ``own`` (M, …) or None."""

    shared: Mapping[str, np.ndarray]
    own: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Victim:
    """One sample as its stamp sees it.

    ``role`` is ``poison`` or ``cover`` in the training set, and ``test`` for a held-out image that
    gets the trigger to see whether the attack was learned (attacks may use a stronger one there).
    """

    role: Literal["poison", "cover", "test"]
    original_label: int
    label: int
    params: Mapping[str, object]
    shared: Mapping[str, np.ndarray]
    own: np.ndarray | None
    generator: np.random.Generator


@dataclass(frozen=True, slots=True)
class Attack:
    """Poisons images or labels: ``choose`` → ``prepare`` → ``stamp``, each pure.

    Attributes:
        kind: ``dirty_label``, ``clean_label``, ``availability`` or ``integrity``.
        params: the canonical parameters; None where the default is computed or absent.
        files: the parameters that name an image file; they reach the attack as (h, w, 3|4) uint8.
        success: how to see whether it was learned: ``trigger`` (stamp held-out images), ``targets``
            (chosen images, in ``shared["targets"]``), ``accuracy`` (it drops), ``none``.
        deviations: where the attack departs from its citation; empty if nowhere.
        choose: (request, generator) → the rows, their labels and roles.
        prepare: (request, selection, generator) → patterns, perturbations; None if none are needed.
        stamp: ((H, W, 3) uint8, victim) → the same shape and dtype; None for labels only.
    """

    id: str
    title: str
    kind: Literal["dirty_label", "clean_label", "availability", "integrity"]
    citation: str
    params: Mapping[str, object]
    choose: Callable[[AttackRequest, np.random.Generator], Selection]
    stamp: Callable[[np.ndarray, Victim], np.ndarray] | None = None
    prepare: Callable[[AttackRequest, Selection, np.random.Generator], AttackMaterial] | None = None
    files: tuple[str, ...] = ()
    success: Literal["trigger", "targets", "accuracy", "none"] = "trigger"
    deviations: str = ""


@dataclass(frozen=True, slots=True)
class PoisonPlan:
    """What ``poison`` is asked to do; ``params`` values may be strings, as typed.

    ``image``, ``label`` and ``source`` name columns where detection would choose others.
    """

    dataset: Path
    out: Path
    attack: str
    rate: float
    target: str | None = None
    source_class: str | None = None
    params: Mapping[str, object] = field(default_factory=dict)
    seed: int = 0
    image: str | None = None
    label: str | None = None
    source: str | None = None
    workers: int = 2
