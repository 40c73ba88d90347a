"""The shortcut probe: does something too cheap predict the label?

A natural class is hard to tell from raw pixels; samples with a trigger predict one another almost
perfectly. Per class the probe looks for the group that low-level views predict best leave-one-out
(``candidates``), and measures how far that group stands apart inside its class and how exclusive it
is to the class. It needs no network, no clean reference and no assumed poison rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from auditor.detectors.candidates import CUT, label_seeds, self_train, settle, spectral_seeds
from auditor.detectors.ridge import (
    Ridge,
    blocks,
    factorise,
    leave_one_out,
    moments,
    pooling,
)
from auditor.interfaces import Detector, Evidence, InapplicableError, Material

VIEWS: Mapping[str, tuple[int, float]] = {
    "pixels": (1, 1e-2),
    "pooled2": (2, 1e-3),
    "pooled4": (4, 1e-4),
}
"""View → (pooling width, λ). With fewer samples than pixels λ = 1e-3 hides a 3×3 patch that 1e-2
shows (2,000 photos, 100 stamped: 0 against 100 found); with 50,000 both show it."""

MAX_CLASS_ROWS = 8192
"""Rows of one class that search for groups: 100 MB of whitened pixels; the rest is scored after."""

MIN_ROWS = 100
MIN_CLASS_ROWS = 40
"""Below these a group of 20 is no minority of its class and nothing can stand apart."""

KEPT = 3
"""Groups of a class that are measured against the whole dataset; the best is reported."""

EXTRA_ROUNDS = 3
"""Self-training steps over all rows of a class larger than ``MAX_CLASS_ROWS``."""


@dataclass(frozen=True, slots=True)
class Probe:
    """The fitted views of one dataset.

    Attributes:
        images: (N, D) uint8, one channel where the dataset is grey.
        index: (n,) int64, the fitted rows: labelled and no duplicates of others.
        mean: (D,) float64.
        views: name → ridge; views that are constant are left out.
        leverage: (views, N) float32, 0 where a row is not fitted.
    """

    images: np.ndarray
    index: np.ndarray
    mean: np.ndarray
    views: Mapping[str, Ridge]
    leverage: np.ndarray

    @property
    def n(self) -> int:
        """Number of fitted rows."""
        return len(self.index)


@dataclass(frozen=True, slots=True)
class Group:
    """One candidate group: who is in it and how well it stands apart inside its class.

    ``rows`` (c,) int64 are its class's fitted rows, ``members`` (c,) bool and ``predictions`` (c,)
    float32 leave-one-out belong to them; ``weights`` (D,) float32 act on centred pixels.
    """

    label: int
    view: int
    rows: np.ndarray
    members: np.ndarray
    predictions: np.ndarray
    weights: np.ndarray

    @property
    def size(self) -> int:
        """Number of members."""
        return int(self.members.sum())

    @property
    def means(self) -> tuple[float, float]:
        """Mean prediction outside and inside the group."""
        return (
            float(self.predictions[~self.members].mean()),
            float(self.predictions[self.members].mean()),
        )

    @property
    def threshold(self) -> float:
        """The prediction from which a sample is a member."""
        rest, inside = self.means
        return rest + CUT * (inside - rest)


def measure(material: Material) -> Evidence:
    """Measure every class; see ``docs/detectors/shortcut.md`` for the columns."""
    probe, by_class = _prepare(material)
    groups: list[Group] = []
    for done, (label, rows) in enumerate(by_class.items()):
        groups += _search(probe, label, rows, material.generator)
        material.progress(done + 1, len(by_class) + 1)
    measured = _against_all(probe, groups, material.labels, material.n_classes)
    material.progress(len(by_class) + 1, len(by_class) + 1)
    return _evidence(material, groups, measured, probe)


def _prepare(material: Material) -> tuple[Probe, dict[int, np.ndarray]]:
    pixels = material.views["pixels"]
    index = np.flatnonzero((material.labels >= 0) & (material.duplicate_of < 0))
    labels = material.labels[index]
    by_class = {
        int(label): index[labels == label]
        for label in np.unique(labels)
        if int((labels == label).sum()) >= MIN_CLASS_ROWS
    }
    if material.n_classes < 2 or len(index) < MIN_ROWS or not by_class:
        raise InapplicableError(
            f"{len(index)} labelled distinct samples in {material.n_classes} classes; "
            f"needs 2 classes, {MIN_ROWS} samples and a class of {MIN_CLASS_ROWS}"
        )
    side = pixels.shape[1]
    channels = 1 if _is_grey(pixels) else 3
    images = pixels[..., 0] if channels == 1 else pixels
    images = np.ascontiguousarray(images).reshape(len(pixels), -1)
    data = moments(images, index)
    views = {}
    for name, (width, strength) in VIEWS.items():
        pool = None if width == 1 else pooling(side, channels, width)
        ridge = factorise(data, pool, strength)
        if ridge is not None:
            views[name] = ridge
    if not views:
        raise InapplicableError("all images are identical, so pixels predict nothing")
    leverage = np.zeros((len(views), len(images)), dtype=np.float32)
    return Probe(images, index, data.mean, views, leverage), by_class


def _is_grey(pixels: np.ndarray) -> bool:
    step = 8192
    return all(
        np.array_equal(part[..., 0], part[..., 1]) and np.array_equal(part[..., 0], part[..., 2])
        for part in (pixels[start : start + step] for start in range(0, len(pixels), step))
    )


def _search(
    probe: Probe, label: int, rows: np.ndarray, generator: np.random.Generator
) -> list[Group]:
    """The best few groups of one class; fills the leverage of its rows."""
    chosen = rows
    if len(rows) > MAX_CLASS_ROWS:
        chosen = np.sort(generator.choice(rows, MAX_CLASS_ROWS, replace=False))
        _fill_leverage(probe, np.setdiff1d(rows, chosen, assume_unique=True))
    centred = np.concatenate([part for _, part in blocks(probe.images, chosen, probe.mean)])
    groups: list[Group] = []
    for view, ridge in enumerate(probe.views.values()):
        whitened = ridge.whiten(centred)
        leverage = ridge.leverage(whitened)
        probe.leverage[view, chosen] = leverage
        seeds = label_seeds(whitened, leverage, probe.n) + spectral_seeds(whitened, generator)
        found = self_train(whitened, leverage, np.stack(seeds, axis=1), probe.n)
        groups += _distinct(
            Group(label, view, chosen, members, predictions, np.empty(0))
            for members, predictions in zip(found.members.T, found.predictions.T, strict=True)
        )
    groups = sorted(groups, key=lambda group: -contrast(group))[:KEPT]
    return [_complete(probe, group, rows, centred) for group in groups]


def _distinct(groups) -> list[Group]:
    """Groups with members and a rest, each membership once."""
    seen: dict[bytes, Group] = {}
    for group in groups:
        if 2 <= group.size <= 0.9 * len(group.rows):
            seen.setdefault(group.members.tobytes(), group)
    return list(seen.values())


def _fill_leverage(probe: Probe, rows: np.ndarray) -> None:
    for part, centred in blocks(probe.images, rows, probe.mean):
        for view, ridge in enumerate(probe.views.values()):
            probe.leverage[view, part] = ridge.leverage(ridge.whiten(centred))


def _complete(probe: Probe, group: Group, rows: np.ndarray, centred: np.ndarray) -> Group:
    """Give a group its weights, and where only a part of its class was searched, all its rows."""
    ridge = list(probe.views.values())[group.view]
    if len(rows) == len(group.rows):
        sums = centred[group.members].sum(axis=0, dtype=np.float64)[:, None]
        weights = ridge.weights(sums)[:, 0].astype(np.float32)
        return Group(group.label, group.view, rows, group.members, group.predictions, weights)
    members = np.isin(rows, group.rows[group.members])
    for step in range(EXTRA_ROUNDS + 1):
        weights = _weights(probe, ridge, rows[members])
        fitted = _predict(probe, rows, weights[:, None])[:, 0] + members.sum() / probe.n
        predictions = leave_one_out(
            fitted, members.astype(np.float32), probe.leverage[group.view, rows]
        ).astype(np.float32)
        kept = settle(predictions[:, None], members[:, None], CUT)[:, 0]
        if step == EXTRA_ROUNDS or not kept.any():
            break
        members = kept
    return Group(group.label, group.view, rows, members, predictions, weights)


def _weights(probe: Probe, ridge: Ridge, rows: np.ndarray) -> np.ndarray:
    sums = np.zeros((len(probe.mean), 1))
    for _, centred in blocks(probe.images, rows, probe.mean):
        sums[:, 0] += centred.sum(axis=0, dtype=np.float64)
    return ridge.weights(sums)[:, 0].astype(np.float32)


def _predict(probe: Probe, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """x·W of rows: (len(rows), m) float32."""
    return np.concatenate(
        [centred @ weights for _, centred in blocks(probe.images, rows, probe.mean)]
    )


def separation(group: Group) -> float:
    """(mean inside − mean outside) / standard deviation outside, of p inside the class."""
    rest, inside = group.means
    return (inside - rest) / max(float(group.predictions[~group.members].std()), 1e-9)


def contrast(group: Group) -> float:
    """(mean inside − mean outside) / (sum of both standard deviations)."""
    rest, inside = group.means
    spread = group.predictions[~group.members].std() + group.predictions[group.members].std()
    return (inside - rest) / max(float(spread), 1e-9)


def shoulder(group: Group) -> float:
    """Samples of the class at 0.25 … 0.5 of the way from the rest to the group, per member."""
    rest, inside = group.means
    position = (group.predictions - rest) / max(inside - rest, 1e-9)
    return float(((position > CUT / 2) & (position <= CUT)).sum()) / max(group.size, 1)


@dataclass(frozen=True, slots=True)
class Measured:
    """What the whole dataset says about the groups: m groups.

    Attributes:
        excess: (m,) hit rate in the other classes ÷ hit rate in the group's own class.
        duplicates: row → (m,) bool hit, of the rows that were not fitted, as (rows, hits, scores).
    """

    excess: np.ndarray
    unfitted: np.ndarray
    unfitted_scores: np.ndarray


def _against_all(
    probe: Probe, groups: Sequence[Group], labels: np.ndarray, n_classes: int
) -> Measured:
    """Score every row with every group's weights, leave-one-out where the row was fitted."""
    unfitted = np.setdiff1d(np.flatnonzero(labels >= 0), probe.index, assume_unique=True)
    if not groups:
        return Measured(np.empty(0), unfitted, np.empty((len(unfitted), 0)))
    missing = np.flatnonzero(probe.leverage[0, probe.index] == 0)
    _fill_leverage(probe, probe.index[missing])
    weights = np.stack([group.weights for group in groups], axis=1)
    offset = np.array([group.size / probe.n for group in groups], dtype=np.float32)
    cut = np.array([group.threshold for group in groups], dtype=np.float32)
    view = [group.view for group in groups]
    hits = np.zeros((n_classes, len(groups)))
    for part, centred in blocks(probe.images, probe.index, probe.mean):
        slack = 1 - probe.leverage[view][:, part].T
        above = (centred @ weights + offset) / slack > cut
        for label in np.unique(labels[part]):
            hits[label] += above[labels[part] == label].sum(axis=0)
    totals = np.bincount(labels[probe.index], minlength=n_classes)
    own = np.array([group.label for group in groups])
    inside = np.array([group.size / totals[group.label] for group in groups])
    others = hits.sum(axis=0) - hits[own, np.arange(len(groups))]
    excess = others / np.maximum(totals.sum() - totals[own], 1) / inside
    scores = _predict(probe, unfitted, weights) + offset if len(unfitted) else np.empty((0, len(groups)))
    return Measured(excess, unfitted, scores)


def position(group: Group, predictions: np.ndarray) -> np.ndarray:
    """Where predictions lie between the rest's mean (0) and the group's (1), clipped."""
    rest, inside = group.means
    return np.clip((predictions - rest) / max(inside - rest, 1e-9), 0, 1)


def _evidence(
    material: Material, groups: Sequence[Group], measured: Measured, probe: Probe
) -> Evidence:
    score = np.full(len(material.rows), np.nan)
    member = np.zeros(len(material.rows), dtype=bool)
    known = np.zeros(len(material.rows), dtype=bool)
    lines = []
    names = list(probe.views)
    for label in sorted({group.label for group in groups}):
        own = [i for i, group in enumerate(groups) if group.label == label]
        best = max(own, key=lambda i: _merit(groups[i], float(measured.excess[i])))
        group = groups[best]
        score[group.rows] = position(group, group.predictions)
        copies = material.labels[measured.unfitted] == label
        score[measured.unfitted[copies]] = position(group, measured.unfitted_scores[copies, best])
        rows = np.concatenate([group.rows, measured.unfitted[copies]])
        known[rows] = True
        member[rows] = score[rows] > CUT
        lines.append(
            {
                "label": label,
                "shortcut_n": group.size,
                "shortcut_separation": separation(group),
                "shortcut_contrast": contrast(group),
                "shortcut_excess": float(measured.excess[best]),
                "shortcut_strength": group.means[1],
                "shortcut_shoulder": shoulder(group),
                "shortcut_view": names[group.view],
            }
        )
    schema = {
        "label": pl.Int64, "shortcut_n": pl.Int64, "shortcut_separation": pl.Float64,
        "shortcut_contrast": pl.Float64, "shortcut_excess": pl.Float64,
        "shortcut_strength": pl.Float64, "shortcut_shoulder": pl.Float64, "shortcut_view": pl.String,
    }
    sample = pl.DataFrame(
        {
            "row": material.rows,
            "shortcut_score": pl.Series(score).fill_nan(None),
            "shortcut_member": pl.Series(np.where(known, member, False)),
        }
    ).with_columns(pl.when(pl.Series(known)).then("shortcut_member").alias("shortcut_member"))
    return {"sample": sample, "class": pl.DataFrame(lines, schema=schema)}


def _merit(group: Group, excess: float) -> float:
    return contrast(group) / max(1.0, excess / 0.03)


SHORTCUT = Detector(
    id="shortcut",
    version="1",
    title="Shortcut probe: a group of samples that low-level pixels predict too well",
    needs=frozenset({"pixels", "labels"}),
    params={"views": {name: list(view) for name, view in VIEWS.items()}, "cut": CUT},
    citation="Closed-form leave-one-out ridge (Cook & Weisberg 1982); self-training, this project",
    run=measure,
)
