"""Patch statistics: fixed features of the content, on which a linear classifier is a plain opinion.

A network may learn a trigger, and then it agrees with the labels that the trigger brings. These
features are averages over the whole image, not learnt from labels: what a trigger adds to a linear
score of a class is the same for every image. So it can favour one class, and can not move each
class to another one. With averages of parts of the image it could: what is missing where the
trigger lies would tell the other parts how to vote.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from auditor.features.folds import content_keys

VERSION = "2"
"""Raise it with anything that changes the statistics: stored opinions are then made anew."""

N_FILTERS = 192
SIDE = 6
"""Pixels of a patch across and down."""

STRIDE = 2
WIDTH = 2 * N_FILTERS
"""Statistics of an image. Share of labels that a leave-one-out ridge on them gets right, and of the
labels that a patch brought (5 %, every class moved to the next) that it agrees with: Fashion-MNIST,
10,000 images, 0.82 and 0.01, where a network has 0.89 and 0.73; CIFAR-10 0.50, of 49,000 0.53. With
averages of 2×2 parts of the image (96 filters) 0.87 and 0.55; but in made images whose class shows
everywhere it then follows a patch on 5 % of them for 80 % of these, with averages of the whole for
none (a patch on 15 %: 97 % and 33 %)."""

N_PATCHES = 20_000
"""Patches whose covariance whitens, and among which the filters are drawn."""

LEAST_VARIANCE = 10.0
"""Added to a patch's variance, of values 0–255, before it divides (Coates & Ng 2012)."""

LEAST_EIGENVALUE = 0.1
"""Added to the eigenvalues of the covariance of normalised patches (ibid.)."""

THRESHOLD = 0.5
"""Responses below it count as none (ibid.)."""

FLAT = 5.0
"""Standard deviation under which a patch is too flat to be a filter."""

BATCH = 16
"""Images at a time: their responses stay in the cache."""

BLOCK = 1_024
"""Images that one thread is given at once."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What is asked of every patch.

    Attributes:
        weights: (F, 3, `SIDE`, `SIDE`) float32, to be laid over normalised patches.
        offset: (F,) float32, subtracted from the responses.
    """

    weights: np.ndarray
    offset: np.ndarray


def draw_filters(pixels: np.ndarray, seed: int) -> Filters | None:
    """Whitened patches of the images themselves, as filters.

    Args:
        pixels: (N, 32, 32, 3) uint8, may be memory-mapped.
        seed: which images and places are drawn depends on it and on their content, not on their
            order.

    Returns:
        The filters; None where fewer than `N_FILTERS` patches are not flat. Source: Coates & Ng
        2012, Learning Feature Representations with K-means; filters are drawn among the patches,
        which does nearly as well as clustering them (Coates & Ng 2011, The Importance of Encoding
        Versus Training with Sparse Coding and Vector Quantization).
    """
    order = np.argsort(content_keys(pixels, seed), kind="stable")
    generator = np.random.default_rng(seed)
    rows = order[np.arange(N_PATCHES) % len(order)]
    top, left = generator.integers(0, pixels.shape[1] - SIDE + 1, (2, N_PATCHES))
    patches = np.empty((N_PATCHES, SIDE * SIDE * 3), np.float32)
    for i, (row, y, x) in enumerate(zip(rows, top, left, strict=True)):
        patches[i] = pixels[row, y : y + SIDE, x : x + SIDE].reshape(-1)
    sharp = np.flatnonzero(patches.std(axis=1) > FLAT)
    if len(sharp) < N_FILTERS:
        return None
    patches -= patches.mean(axis=1, keepdims=True)
    patches /= np.sqrt(patches.var(axis=1, keepdims=True) + LEAST_VARIANCE)
    centre = patches.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(patches.T))
    whitening = (vectors / np.sqrt(np.maximum(values, 0) + LEAST_EIGENVALUE)) @ vectors.T
    drawn = (patches[generator.choice(sharp, N_FILTERS, replace=False)] - centre) @ whitening
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    laid = (drawn @ whitening).astype(np.float32)
    shaped = laid.reshape(N_FILTERS, SIDE, SIDE, 3).transpose(0, 3, 1, 2)
    return Filters(np.ascontiguousarray(shaped), (laid @ centre).astype(np.float32))


def patch_statistics(
    pixels: np.ndarray, filters: Filters, workers: int = 1
) -> Iterator[tuple[slice, np.ndarray]]:
    """Blocks of rows with their (B, `WIDTH`) float16 statistics.

    Each patch is normalised and laid under each filter; what exceeds `THRESHOLD`, and what falls
    below minus it, is averaged over the image; square roots, because averages of rare responses
    have long tails.

    Args:
        pixels: (N, 32, 32, 3) uint8, may be memory-mapped.
        filters: from `draw_filters`.
        workers: blocks at a time; the result does not depend on it.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    parts = [slice(start, start + BLOCK) for start in range(0, len(pixels), BLOCK)]
    one = partial(_statistics, pixels, filters)
    # Each product is too small to be shared between threads: two of them side by side take half.
    with threadpool_limits(limits=1), ThreadPoolExecutor(workers) as threads:
        yield from zip(parts, threads.map(one, parts), strict=True)


def _statistics(pixels: np.ndarray, filters: Filters, part: slice) -> np.ndarray:
    """(B, `WIDTH`) float16 of one block, a few images at a time."""
    images = pixels[part]
    kernel = filters.weights.transpose(1, 2, 3, 0).reshape(-1, len(filters.offset))
    found = np.empty((len(images), 2 * len(filters.offset)), np.float16)
    for start in range(0, len(images), BATCH):
        few = slice(start, start + BATCH)
        response = normalised_patches(images[few]) @ kernel
        response -= filters.offset
        above = np.maximum(response - THRESHOLD, 0).mean(axis=1)
        below = np.maximum(-response - THRESHOLD, 0).mean(axis=1)
        found[few] = np.sqrt(np.concatenate([above, below], axis=1))
    return found


def normalised_patches(images: np.ndarray) -> np.ndarray:
    """The patches of images (B, S, S, 3), each without its mean and in units of its deviation.

    Returns:
        (B, P, 3·`SIDE`²) float32 of P patches an image, colours first, as `Filters.weights` are.
    """
    windows = sliding_window_view(images.astype(np.float32), (SIDE, SIDE), axis=(1, 2))
    laid = windows[:, ::STRIDE, ::STRIDE]
    patches = laid.reshape(len(images), laid.shape[1] * laid.shape[2], -1)
    patches -= patches.mean(axis=2, keepdims=True)
    square = np.einsum("bpd,bpd->bp", patches, patches) / patches.shape[2]
    patches /= np.sqrt(square + LEAST_VARIANCE)[..., None]
    return patches
