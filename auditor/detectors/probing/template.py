"""A matched filter from a group's common patch: finds every image that has it, wherever it lies.

The salient window of an image may be any part of a larger trigger, so a group in that view holds
only those images that show the same part. Its members' surroundings, laid over each other, give
the trigger itself: what is common stays, the rest averages out. With template t (the mean of the
aligned crops, less the dataset's mean colour) and Σ the covariance of the dataset's windows, the
response of a crop p is pᵀΣ⁻¹t / tᵀΣ⁻¹t, the best linear detector in coloured noise (Turin 1960):
near 1 on the trigger, near 0 elsewhere. A member's own response leaves the member out of t.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from auditor.detectors.probing.group import CUT, TINY, Group
from auditor.detectors.probing.probe import MAX_SHARE
from auditor.detectors.probing.salient import FLOOR, tiles

REACH = 5
"""Pixels around the salient window's middle: 11×11 holds most of an 8×8 trigger at any offset."""

EVERYWHERE = (slice(None), slice(None))

FIXED_SPAN = 4.0
"""Pixels: centres of a trigger that keeps its place differ by which part of it was the salient one.
"""

ROUNDS = 6
"""Most rounds over the class; it stops where the members no longer change. Of 30 squares of 8×8 at
0.3 % three rounds gathered 30, 30 and 24; six all three times 30."""

STEP = 256


@dataclass(frozen=True, slots=True)
class Background:
    """What the dataset's windows are like.

    Attributes:
        mean: (C,) float32, mean colour.
        factor: (d, d) float64, lower Cholesky factor of Σ, d = C·(2·REACH + 1)².
    """

    mean: np.ndarray
    factor: np.ndarray


def background(images: np.ndarray, index: np.ndarray) -> Background:
    """Mean colour and window covariance of ``images[index]``, (N, S, S, C) uint8."""
    side = 2 * REACH + 1
    channels = images.shape[3]
    colour = np.zeros(channels)
    products, n = np.zeros((side * side * channels,) * 2), 0
    for start in range(0, len(index), 4096):
        colour += images[index[start : start + 4096]].sum(axis=(0, 1, 2), dtype=np.int64)
    mean = (colour / (len(index) * images.shape[1] * images.shape[2])).astype(np.float32)
    for rows in tiles(images, index, side):
        rows -= np.tile(mean, side * side)
        products += rows.T @ rows
        n += len(rows)
    covariance = products / n
    largest = max(float(np.linalg.eigvalsh(covariance)[-1]), TINY)
    covariance += FLOOR * largest * np.eye(len(covariance))
    factor, _ = cho_factor(covariance, lower=True)
    return Background(mean, np.tril(factor))


def crops(images: np.ndarray, mean: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(n, side²·C) float32 around ``centres`` (n, 2) of (n, S, S, C), centred, NaN outside."""
    padded = np.pad(images - mean, ((0, 0), (REACH, REACH), (REACH, REACH), (0, 0)),
                    constant_values=np.nan)  # fmt: skip
    side = 2 * REACH + 1
    parts = [p[i : i + side, j : j + side] for p, (i, j) in zip(padded, centres, strict=True)]
    return np.stack(parts).reshape(len(images), -1)


def respond(
    images: np.ndarray,
    rows: np.ndarray,
    mean: np.ndarray,
    template: np.ndarray,
    box: tuple[slice, slice] = EVERYWHERE,
) -> tuple[np.ndarray, np.ndarray]:
    """Largest response (len(rows),) and its centre (len(rows), 2) of a filter (side, side, C).

    ``box``: the centres that are looked at. Outside the image is mean colour. Circular correlation
    by FFT, wide enough to wrap nowhere.
    """
    height, width = images.shape[1:3]
    size = [scipy.fft.next_fast_len(n + 2 * REACH, real=True) for n in (height, width)]
    kernel = np.conj(scipy.fft.rfft2(template, size, axes=(0, 1)))
    best = np.empty(len(rows), dtype=np.float32)
    place = np.empty((len(rows), 2), dtype=np.int64)
    for start in range(0, len(rows), STEP):
        block = images[rows[start : start + STEP]] - mean
        padded = np.pad(block, ((0, 0), (REACH, REACH), (REACH, REACH), (0, 0)))
        spectrum = scipy.fft.rfft2(padded, size, axes=(1, 2))
        # Over few channels einsum is three times as fast as a product and a sum.
        response = scipy.fft.irfft2(np.einsum("bijc,ijc->bij", spectrum, kernel), size)
        inner = response[:, :height, :width][:, box[0], box[1]]
        flat = inner.reshape(len(block), -1)
        where = flat.argmax(axis=1)
        best[start : start + STEP] = flat[np.arange(len(block)), where]
        place[start : start + STEP] = np.stack(np.divmod(where, inner.shape[2]), axis=1)
    return best, place + np.array([box[0].start or 0, box[1].start or 0])


def box_of(centres: np.ndarray) -> tuple[slice, slice]:
    """The centres (n, 2) and a pixel around where nine in ten lie close together, else all."""
    low, high = np.quantile(centres, [0.05, 0.95], axis=0)
    if (high - low).max() > FIXED_SPAN:
        return EVERYWHERE
    first, last = np.maximum(np.floor(low).astype(int) - 1, 0), np.ceil(high).astype(int) + 2
    return slice(int(first[0]), int(last[0])), slice(int(first[1]), int(last[1]))


def design(members: np.ndarray, factor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The filter of aligned crops (n, d), and each crop's response without itself.

    Returns:
        Σ⁻¹t/tᵀΣ⁻¹t (d,) float32, and (n,) float32: pᵀΣ⁻¹t₋ᵢ/tᵀΣ⁻¹t with t₋ᵢ the mean of the others.
    """
    known = ~np.isnan(members)
    filled = np.where(known, members, 0).astype(np.float64)
    template = filled.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    weights = cho_solve((factor, True), template)
    power = float(weights @ template)
    if power <= 0:
        return np.zeros(len(weights), np.float32), np.zeros(len(members), np.float32)
    n = len(members)
    own = (solve_triangular(factor, filled.T, lower=True) ** 2).sum(axis=0)
    alone = (n * (filled @ weights) - own) / (max(n - 1, 1) * power)
    return (weights / power).astype(np.float32), alone.astype(np.float32)


def grow(
    images: np.ndarray, group: Group, centres: np.ndarray, behind: Background
) -> tuple[Group, np.ndarray] | None:
    """Carry a group of the salient view over to all images with its trigger.

    Args:
        images: (N, S, S, C) uint8.
        group: the seed; its rows are the fitted rows of its class.
        centres: (N, 2), where each image's salient window lies.
        behind: what windows are like in this dataset.

    Returns:
        The grown group, with responses for predictions and no weights, and the responses (N,)
        float32 of all images; None if it dies out.
    """
    side = 2 * REACH + 1
    members, at = group.members, centres[group.rows]
    for step in range(ROUNDS):
        rows = group.rows[members]
        crop = crops(images[rows], behind.mean, at[members])
        weights, alone = design(crop, behind.factor)
        kernel = weights.reshape(side, side, -1)
        box = box_of(at[members])
        scores, places = respond(images, group.rows, behind.mean, kernel, box)
        scores[members] = alone
        inside, outside = scores[members].mean(), scores[~members].mean()
        kept = scores > outside + CUT * (inside - outside)
        if inside <= outside or not 2 <= kept.sum() <= len(kept) * MAX_SHARE:
            return None
        if step == ROUNDS - 1 or np.array_equal(kept, members):
            break
        at = np.where(kept[:, None], places, at)
        members = kept
    grown = Group(group.label, group.view, group.rows, members, scores, group.weights)
    everywhere, _ = respond(images, np.arange(len(images)), behind.mean, kernel, box)
    everywhere[group.rows] = scores
    return grown, everywhere
