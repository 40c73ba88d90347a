"""Fit the low-level views of a dataset, search each class for groups, score all rows for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from auditor.detectors.probing.candidates import label_seeds, self_train, settle, spectral_seeds
from auditor.detectors.probing.group import CUT, Group
from auditor.detectors.probing.ridge import (
    MIN_SLACK,
    Ridge,
    blocks,
    factorise,
    leave_one_out,
    moments,
    pooling,
)

VIEWS: Mapping[str, tuple[int, float]] = {
    "pixels": (1, 1e-2),
    "pooled2": (2, 1e-3),
    "pooled4": (4, 1e-4),
}
"""View → (pooling width, λ). With fewer samples than pixels λ = 1e-3 hides a 3×3 patch that 1e-2
shows (2,000 photos, 100 stamped: 0 against 100 found); with 50,000 both show it."""

MAX_CLASS_ROWS = 8192
"""Rows of one class that search for groups: 100 MB of whitened pixels; the rest is scored after."""

KEPT = 4
"""Groups of a class that are measured against the whole dataset, by contrast and by clarity; the
best is reported. A faint trigger fades out as natural groups do, but in no other class: by clarity
alone an invisible trigger on 1 % of 10,000 images was not kept."""

MAX_SHARE = 0.9
"""Largest share of its class that a group may be: poison of a tenth of a dataset of ten classes is
half of its target class, of a fifth two thirds. Someone must be left to stand apart from."""

EXTRA_ROUNDS = 3
"""Self-training steps over all rows of a class larger than ``MAX_CLASS_ROWS``."""


@dataclass(frozen=True, slots=True)
class Probe:
    """The fitted views of one feature matrix of a dataset.

    Attributes:
        images: (N, D) uint8 pixels, one channel where the dataset is grey, or float features.
        index: (n,) int64, the fitted rows: labelled and no duplicates of others.
        mean: (D,) float64.
        views: name → ridge; views that are constant are left out.
        leverage: (views, N) float32, filled as rows are whitened; 0 where a row is not fitted.
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


def fit(pixels: np.ndarray, index: np.ndarray) -> Probe:
    """Fit every view of ``pixels`` (N, side, side, 3) uint8 on the rows ``index``."""
    side = pixels.shape[1]
    channels = 1 if is_grey(pixels) else 3
    images = np.ascontiguousarray(pixels[..., 0]) if channels == 1 else pixels
    views = {
        name: (None if width == 1 else pooling(side, channels, width), strength)
        for name, (width, strength) in VIEWS.items()
    }
    return fit_matrix(images.reshape(len(pixels), -1), index, views)


def fit_matrix(
    matrix: np.ndarray, index: np.ndarray, views: Mapping[str, tuple[np.ndarray | None, float]]
) -> Probe:
    """Fit views of one feature matrix (N, D), uint8 or float, on the rows ``index``.

    ``views``: name → (averaging matrix S or None, λ). Views that are constant are left out.
    """
    data = moments(matrix, index)
    fitted = {name: factorise(data, pool, strength) for name, (pool, strength) in views.items()}
    kept = {name: ridge for name, ridge in fitted.items() if ridge is not None}
    leverage = np.zeros((len(kept), len(matrix)), dtype=np.float32)
    return Probe(matrix, index, data.mean, kept, leverage)


def is_grey(pixels: np.ndarray) -> bool:
    """Whether the three channels of (N, S, S, 3) are the same everywhere."""
    step = 8192
    parts = (pixels[start : start + step] for start in range(0, len(pixels), step))
    return all(bool((part == part[..., :1]).all()) for part in parts)


def search(
    probe: Probe, label: int, rows: np.ndarray, generator: np.random.Generator
) -> list[Group]:
    """The best few groups among ``rows``, the fitted rows of one class; fills their leverage."""
    chosen = rows
    if len(rows) > MAX_CLASS_ROWS:
        chosen = np.sort(generator.choice(rows, MAX_CLASS_ROWS, replace=False))
        fill_leverage(probe, np.setdiff1d(rows, chosen, assume_unique=True))
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
    starkest = sorted(groups, key=lambda group: -group.contrast)[:KEPT]
    clearest = sorted(groups, key=lambda group: -group.clarity)[:KEPT]
    groups = list({id(group): group for group in starkest + clearest}.values())
    if len(chosen) < len(rows):
        return [_extend(probe, group, rows) for group in groups]
    return [
        replace(group, weights=_weights(probe, group.view, rows[group.members])) for group in groups
    ]


def _distinct(groups: Iterable[Group]) -> list[Group]:
    """Groups of at least two that leave a rest, each membership once."""
    seen: dict[bytes, Group] = {}
    for group in groups:
        if 2 <= group.size <= len(group.rows) * MAX_SHARE:
            seen.setdefault(group.members.tobytes(), group)
    return list(seen.values())


def fill_leverage(probe: Probe, rows: np.ndarray) -> None:
    """Compute and keep the leverage of fitted rows in every view."""
    for part, centred in blocks(probe.images, rows, probe.mean):
        for view, ridge in enumerate(probe.views.values()):
            probe.leverage[view, part] = ridge.leverage(ridge.whiten(centred))


def _extend(probe: Probe, group: Group, rows: np.ndarray) -> Group:
    """Carry a group found in a part of its class over to all the class's rows."""
    members = np.isin(rows, group.rows[group.members])
    for step in range(EXTRA_ROUNDS + 1):
        weights = _weights(probe, group.view, rows[members])
        fitted = predict(probe, rows, weights[:, None])[:, 0] + members.sum() / probe.n
        leverage = probe.leverage[group.view, rows]
        predictions = leave_one_out(fitted, members.astype(np.float32), leverage)
        kept = settle(predictions[:, None], members[:, None], CUT)[:, 0]
        if step == EXTRA_ROUNDS or not 2 <= kept.sum() <= len(rows) * MAX_SHARE:
            break
        members = kept
    return Group(group.label, group.view, rows, members, predictions, weights)


def _weights(probe: Probe, view: int, rows: np.ndarray) -> np.ndarray:
    """(D,) float32 weights of the indicator of ``rows``."""
    sums = np.zeros((len(probe.mean), 1))
    for _, centred in blocks(probe.images, rows, probe.mean):
        sums[:, 0] += centred.sum(axis=0, dtype=np.float64)
    weights: np.ndarray = list(probe.views.values())[view].weights(sums)[:, 0].astype(np.float32)
    return weights


def predict(probe: Probe, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """x·W of ``rows``: (len(rows), m) float32."""
    parts = [centred @ weights for _, centred in blocks(probe.images, rows, probe.mean)]
    return np.concatenate([np.empty((0, weights.shape[1]), dtype=np.float32), *parts])


def score_all(probe: Probe, groups: Sequence[Group]) -> np.ndarray:
    """Predictions (N, m) float32 of every row for every group; leave-one-out where fitted."""
    weights = np.stack([group.weights for group in groups], axis=1)
    offset = np.array([group.size / probe.n for group in groups], dtype=np.float32)
    views = [group.view for group in groups]
    fill_leverage(probe, probe.index[probe.leverage[0, probe.index] == 0])
    scores = np.empty((len(probe.images), len(groups)), dtype=np.float32)
    for part, centred in blocks(probe.images, np.arange(len(probe.images)), probe.mean):
        # Outside its group a row's target is 0, so leaving it out divides by 1 − h; rows that were
        # not fitted have h = 0.
        slack = np.maximum(1 - probe.leverage[views][:, part].T, np.float32(MIN_SLACK))
        scores[part] = (centred @ weights + offset) / slack
    for column, group in enumerate(groups):
        scores[group.rows, column] = group.predictions
    return scores
