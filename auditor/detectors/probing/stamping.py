"""Stamp a group's estimated trigger on images that do not carry it, and ask the probe again.

Cross-fitted: the pattern comes from one half of the group (A), the probe from the other (B). The
scale is that of the probe of B: 0 is the mean of the class's rest, 1 that of A's own images. The
probe is linear, so a stamped image moves by what the pattern moves on average: a natural group's
mean difference passes this test too. It shows that the pattern in the picture is what the probe
sees, that it works on other content, and that its arrangement matters; it does not show malice.

What tells a trigger from a natural group is what else its images share. Where the pattern is all,
stamped images are as near to the group's images as these are to one another (`resemblance`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from auditor.detectors.probing.exclusivity import Measured
from auditor.detectors.probing.group import CUT, TINY
from auditor.detectors.probing.probe import Probe, predict
from auditor.detectors.probing.ridge import MIN_SLACK
from auditor.detectors.probing.trigger import MAX_ROWS, Trigger, channels_of, estimate

N_STAMPED = 500
"""Images that are stamped: a share is known to ± 4 points (95 %)."""

MIN_GROUP = 25
MAX_EXCESS = 0.15
MIN_CONTRAST = 2.0
"""Groups that could pass a gate (25 samples, excess 0.15, contrast 2.4), and a margin."""

MAX_MEMBERS = 1_000
"""Members that count; more make neither the pattern nor the probe better."""

MAX_ALIKE = 300
"""Members whose neighbours are looked at: the share is known to ± 4 points (95 %)."""

DRAWS = 8
COARSE = 8
"""Pixels a side on which images are compared: content shows, a small patch hardly does."""

LEAST_OPACITY = 0.6
"""Contrast that a blend leaves at least; published blends leave 0.8 and more."""

STAMPED_SCHEMA: Mapping[str, type[pl.DataType]] = {
    "shortcut_stamped": pl.Float64,
    "shortcut_stamped_control": pl.Float64,
    "shortcut_stamped_n": pl.Int64,
    "shortcut_stamped_alike": pl.Float64,
    "shortcut_pattern_agreement": pl.Float64,
    "shortcut_pattern_amplitude": pl.Float64,
    "shortcut_pattern_opaque": pl.Float64,
}
"""Evidence of every group that could pass a gate; null for the others."""


@dataclass(frozen=True, slots=True)
class Stamped:
    """What came of stamping one group's pattern.

    Attributes:
        trigger: the pattern of the whole group.
        n: images that were stamped, none of the group nor of its class.
        moved: share of them that pass the cut with the pattern of half the group, and not before.
        control: the same with that pattern shuffled in space.
        alike: share of the group whose nearest neighbour, among as many stamped images, is another
            member (`resemblance`); the lower of stamped images of other classes and of its own.
        opaque: share of the pixels that the pattern replaces.
    """

    trigger: Trigger
    n: int
    moved: float
    control: float
    alike: float
    opaque: float


def stamp_best(
    probe: Probe, best: Sequence[Measured], labels: np.ndarray, generator: np.random.Generator
) -> list[Mapping[str, float | int | None]]:
    """`STAMPED_SCHEMA`'s figures of each group; nothing for one that could not pass a gate."""
    found: list[Mapping[str, float | int | None]] = []
    for one in best:
        stamped = stamp_group(probe, one, labels, generator) if could_pass(one) else None
        found.append({} if stamped is None else _figures(stamped))
    return found


def _figures(stamped: Stamped) -> Mapping[str, float | int]:
    return {
        "shortcut_stamped": stamped.moved,
        "shortcut_stamped_control": stamped.control,
        "shortcut_stamped_n": stamped.n,
        "shortcut_stamped_alike": stamped.alike,
        "shortcut_pattern_agreement": stamped.trigger.agreement,
        "shortcut_pattern_amplitude": stamped.trigger.amplitude,
        "shortcut_pattern_opaque": stamped.opaque,
    }


def could_pass(one: Measured) -> bool:
    """Whether a group is near enough to a gate to be worth the seconds."""
    group = one.group
    return group.size >= MIN_GROUP and one.excess <= MAX_EXCESS and group.contrast >= MIN_CONTRAST


def stamp_group(
    probe: Probe,
    one: Measured,
    labels: np.ndarray,
    generator: np.random.Generator,
) -> Stamped | None:
    """Estimate the group's trigger and stamp it on fitted rows of other classes; None without any.

    Args:
        probe: the fitted views.
        one: the group, measured against the dataset.
        labels: (N,) int64 in which the group's class is ``group.label``.
        generator: draws the halves, the images and the control.
    """
    group = one.group
    own = generator.permutation(group.rows[group.members])[:MAX_MEMBERS]
    half_a, half_b = own[: len(own) // 2], own[len(own) // 2 :]
    others = probe.index[labels[probe.index] != group.label]
    if not len(others):
        return None
    others = generator.permutation(others)[: N_STAMPED + MAX_ROWS]
    held_out, natural = others[:N_STAMPED], others[-MAX_ROWS:]
    images = probe.images
    channels = channels_of(images)
    half = estimate(images[half_a], images[natural], channels)
    whole = estimate(images[own], images[natural], channels)
    weights = held_out_weights(probe, group.view, half_b, half_a)
    low = _left_out(probe, group.view, group.rows[~group.members], weights).mean()
    scale = max(float(predict(probe, half_a, weights[:, None]).mean() - low), TINY)
    before = (_left_out(probe, group.view, held_out, weights) - low) / scale

    def share(trigger: Trigger) -> float:
        plain = images[held_out]
        change = trigger.stamp(plain).astype(np.float32) - plain
        return float(((before <= CUT) & (before + change @ weights / scale > CUT)).mean())

    return Stamped(
        trigger=whole,
        n=len(held_out),
        moved=share(half),
        control=share(half.shuffled(channels, generator)),
        alike=min(
            resemblance(images[own], images[rows], whole, channels, generator)
            for rows in (held_out, generator.permutation(group.rows[~group.members])[:N_STAMPED])
        ),
        opaque=float(whole.opaque.mean()),
    )


def held_out_weights(
    probe: Probe, view: int, learnt: np.ndarray, held_out: np.ndarray
) -> np.ndarray:
    """Weights of the indicator of ``learnt`` in a fit without ``held_out``: (D,) float32.

    Left in with target 0, the images that the pattern comes from would teach the probe to tell it
    from them. A block S leaves a ridge fit in closed form: w + A⁻¹·Xₛᵀ·(I − Hₛₛ)⁻¹·(t̄ + Xₛ·w)
    (Cook & Weisberg 1982, §3.6), its targets being 0.

    Args:
        probe: the fitted views.
        view: index of the view.
        learnt: rows with target 1.
        held_out: (m,) rows that leave, none of them in ``learnt``; costs m² · D.
    """
    ridge = list(probe.views.values())[view]
    sums = probe.images[learnt].sum(axis=0, dtype=np.int64) - len(learnt) * probe.mean
    weights = ridge.weights(sums[:, None])[:, 0]
    rows = probe.images[held_out] - probe.mean
    whitened = ridge.whiten(rows.astype(np.float32)).astype(np.float64)
    slack = (1 + MIN_SLACK) * np.eye(len(rows)) - whitened @ whitened.T - 1 / probe.n
    missed = np.linalg.solve(slack, rows @ weights + len(learnt) / probe.n)
    kept: np.ndarray = weights + ridge.weights((rows.T @ missed)[:, None])[:, 0]
    return kept.astype(np.float32)


def _left_out(probe: Probe, view: int, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """x·W of rows that the weights' group does not hold, each left out of the fit: (B,)."""
    # Their target is 0, so leaving one out divides by 1 − h, as in `probe.score_all`.
    slack = np.maximum(1 - probe.leverage[view, rows], np.float32(MIN_SLACK))
    asked: np.ndarray = predict(probe, rows, weights[:, None])[:, 0] / slack
    return asked


def resemblance(
    members: np.ndarray,
    others: np.ndarray,
    trigger: Trigger,
    channels: int,
    generator: np.random.Generator,
) -> float:
    """How much alike members are beyond their pattern: 0.5 not at all, 1 fully.

    The share of members whose nearest neighbour, on 8×8 pixels, is another member, when as many
    stamped images stand among them: half where the pattern is all that they share (nearest
    neighbour test, Schilling 1986; Henze 1988, k = 1). Mean of `DRAWS` draws of stamped images.

    Args:
        members: (n, D) uint8.
        others: (m, D) uint8, images that will be stamped.
        trigger: the pattern.
        channels: values a pixel.
        generator: draws.
    """
    members = generator.permutation(members)[:MAX_ALIKE]
    own = small(members.astype(np.float32), channels)
    # A blend flattens what it covers; natural groups may be flatter still, which must stay seen.
    varied = others.astype(np.float32).var(axis=0)
    kept = members.astype(np.float32).var(axis=0)[varied > 0] / varied[varied > 0]
    flat = float(np.clip(np.sqrt(np.median(kept)), LEAST_OPACITY, 1)) if kept.size else 1.0
    mean = others.mean(axis=0)
    stamped = small(trigger.apply(mean + flat * (others - mean)), channels)
    shares = []
    for _ in range(DRAWS):
        drawn = generator.choice(len(stamped), len(own), replace=len(stamped) < len(own))
        pool = np.concatenate([own, stamped[drawn]])
        distance = (pool**2).sum(axis=1) - 2 * own @ pool.T
        np.fill_diagonal(distance, np.inf)
        shares.append((distance.argmin(axis=1) < len(own)).mean())
    return float(np.mean(shares))


def small(images: np.ndarray, channels: int) -> np.ndarray:
    """(B, D) images averaged to `COARSE`×`COARSE` pixels: (B, d) float32; narrow ones as they are.

    Args:
        images: square, row by row.
        channels: values a pixel.
    """
    side = math.isqrt(images.shape[1] // channels)
    width = max(1, side // COARSE)
    if side % width:
        return images
    shape = (len(images), side // width, width, side // width, width, channels)
    pooled: np.ndarray = images.reshape(shape).mean(axis=(2, 4)).reshape(len(images), -1)
    return pooled
