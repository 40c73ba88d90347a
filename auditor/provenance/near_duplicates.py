"""Near-duplicates: the same picture saved again, resized or slightly altered."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from auditor.interfaces import Check, Evidence

ROTATIONS = 8
"""Bit rotations of the 64-bit hash by which the samples are sorted: two hashes that differ in a
few bits share a long prefix under one of them."""

WINDOW = 6
"""Neighbours compared in each sorted order; bounds the work at N · ROTATIONS · WINDOW pairs, so
that a flood of equal hashes costs no more than anything else."""

MAX_BITS = 6
"""Of 64 hash bits: beyond it the pixel comparison no longer confirms pairs (CIFAR-10)."""

MAX_DIFFERENCE = 4.0
"""Mean absolute difference of the 32×32 views, 0–255, after removing the mean brightness. JPEG at
quality 75 against its source differs by 1–3."""

MIN_DEVIATION = 8.0
"""Standard deviation of luma below which an image is too flat for a perceptual hash to mean
anything; exact duplicates among them are found by their bytes."""

MAX_RELATIVE = 0.12
"""The difference may be at most this part of the image's own deviation: a dim or low-contrast
image is close to every other in absolute terms."""


def measure(samples: pl.DataFrame, views: Mapping[str, np.ndarray]) -> Evidence:
    """Pair samples by perceptual hash, confirm by pixels, and group the pairs.

    Returns:
        ``sample``: ``near_duplicates_of`` (row of the group's first member, null for it and for
        single samples), ``near_duplicates_n`` (group size ≥ 1), ``near_duplicates_conflict``.
        ``dataset``: ``near_duplicates_extra``, ``near_duplicates_share``.
    """
    scanned = samples.filter(pl.col("status") == "scanned")
    pixels = views["pixels"]
    distinct = scanned.with_row_index("place").unique("sha256", keep="first", maintain_order=True)
    places = distinct["place"].to_numpy()
    usable = distinct["luma_deviation"].to_numpy() >= MIN_DEVIATION
    hashes = distinct["perceptual_hash"].to_numpy()[usable]
    places = places[usable]
    left, right = candidate_pairs(hashes)
    confirmed = confirm(pixels, places[left], places[right])
    left, right = left[confirmed], right[confirmed]
    edges = coo_array((np.ones(len(left), bool), (left, right)), shape=(len(places), len(places)))
    _, component = connected_components(edges, directed=False)
    return _evidence(scanned, distinct["row"].to_numpy()[usable], component)


def candidate_pairs(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (left < right) of positions whose (M,) uint64 hashes differ in at most 6 bits."""
    found: list[np.ndarray] = []
    for turn in range(0, 64, 64 // ROTATIONS):
        shift, back = np.uint64(turn), np.uint64((64 - turn) % 64)
        rotated = (hashes << shift) | (hashes >> back) if turn else hashes
        order = np.argsort(rotated, kind="stable")
        ordered = hashes[order]
        for step in range(1, WINDOW + 1):
            close = np.bitwise_count(ordered[step:] ^ ordered[:-step]) <= MAX_BITS
            pair = np.stack([order[:-step][close], order[step:][close]])
            found.append(np.sort(pair, axis=0))
    pairs = np.unique(np.concatenate(found, axis=1), axis=1)
    return pairs[0], pairs[1]


def confirm(pixels: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(P,) bool: which pairs of rows of the (N, 32, 32, 3) uint8 view show the same picture."""
    thumbs, spread = _thumbs(pixels)
    # Averaging never increases a mean absolute difference, so this loses no pair.
    near = np.abs(thumbs[left] - thumbs[right]).mean(axis=1) <= MAX_DIFFERENCE
    near &= MAX_RELATIVE * np.minimum(spread[left], spread[right]) > 0
    same = np.zeros(len(left), bool)
    places = np.flatnonzero(near)
    for start in range(0, len(places), 4096):
        part = places[start : start + 4096]
        a = pixels[left[part]].astype(np.float32)
        b = pixels[right[part]].astype(np.float32)
        a -= a.mean(axis=(1, 2), keepdims=True)
        b -= b.mean(axis=(1, 2), keepdims=True)
        difference = np.abs(a - b).mean(axis=(1, 2, 3))
        limit = MAX_RELATIVE * np.minimum(spread[left[part]], spread[right[part]])
        same[part] = difference <= np.minimum(limit, MAX_DIFFERENCE)
    return same


def _thumbs(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, 64) float32 centred 8×8 grey averages, and (N,) the standard deviation of each image."""
    thumbs = np.empty((len(pixels), 64), np.float32)
    spread = np.empty(len(pixels), np.float32)
    for start in range(0, len(pixels), 4096):
        block = pixels[start : start + 4096].astype(np.float32)
        block -= block.mean(axis=(1, 2), keepdims=True)
        pooled = block.reshape(-1, 8, 4, 8, 4, 3).mean(axis=(2, 4, 5))
        thumbs[start : start + 4096] = pooled.reshape(-1, 64)
        spread[start : start + 4096] = block.std(axis=(1, 2, 3))
    return thumbs, spread


def _evidence(scanned: pl.DataFrame, rows: np.ndarray, component: np.ndarray) -> Evidence:
    groups = pl.DataFrame({"row": rows, "group": component}, schema_overrides={"row": pl.UInt64})
    first = pl.col("row").first().over("group")
    table = (
        scanned.select("row", "sha256", "label")
        .join(groups, on="row", how="left", maintain_order="left")
        # A sample that is an exact duplicate belongs to its first copy's group.
        .with_columns(group=pl.col("group").first().over("sha256"))
        .with_columns(
            group=pl.when(pl.col("group").is_null())
            .then(-1 - pl.col("row").cast(pl.Int64))
            .otherwise(pl.col("group").cast(pl.Int64))
        )
        .select(
            "row",
            near_duplicates_of=pl.when(first == pl.col("row")).then(None).otherwise(first),
            near_duplicates_n=pl.len().over("group").cast(pl.Int64),
            near_duplicates_conflict=(pl.col("label").drop_nulls().n_unique().over("group") > 1)
            & (pl.col("sha256").n_unique().over("group") > 1),
        )
    )
    extra = table["near_duplicates_of"].is_not_null().sum()
    dataset = pl.DataFrame(
        {
            "near_duplicates_extra": [extra],
            "near_duplicates_share": [extra / max(1, scanned.height)],
        }
    )
    return {"sample": table, "dataset": dataset}


NEAR_DUPLICATES = Check("near_duplicates", "1", "Near-duplicates", measure)
