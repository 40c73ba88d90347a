"""Near-duplicates: candidate pairs against brute force, and what counts as the same picture."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import picture

from auditor.features.pixels import luma, perceptual_hash
from auditor.provenance.near_duplicates import MAX_BITS, candidate_pairs, confirm, measure


def brute(hashes: np.ndarray) -> set[tuple[int, int]]:
    return {
        (i, j)
        for i in range(len(hashes))
        for j in range(i + 1, len(hashes))
        if (int(hashes[i]) ^ int(hashes[j])).bit_count() <= MAX_BITS
    }


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), max_size=7), st.data())
def test_small_sets_are_paired_completely(values: list[int], data: st.DataObject) -> None:
    """Up to WINDOW + 1 hashes every pair is looked at, so nothing can be missed."""
    near = [value ^ (1 << data.draw(st.integers(0, 63))) for value in values[:3]]
    hashes = np.array((values + near)[:7], dtype=np.uint64)
    left, right = candidate_pairs(hashes)
    assert set(zip(left.tolist(), right.tolist(), strict=True)) == brute(hashes)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 3))
def test_large_sets_give_only_true_pairs_and_nearly_all(seed: int, bits: int) -> None:
    generator = np.random.default_rng(seed)
    base = generator.integers(0, 2**64, 300, dtype=np.uint64)
    near = base[:100].copy()
    for _ in range(bits):
        near ^= np.uint64(1) << generator.integers(0, 64, 100, dtype=np.uint64)
    hashes = np.concatenate([base, near])
    left, right = candidate_pairs(hashes)
    found = set(zip(left.tolist(), right.tolist(), strict=True))
    expected = brute(hashes)
    assert found <= expected
    assert all(i < j for i, j in found)
    assert len(found) >= 0.95 * len(expected)


def test_no_and_one_hash() -> None:
    for n in (0, 1):
        left, right = candidate_pairs(np.zeros(n, np.uint64))
        assert len(left) == len(right) == 0


def test_a_flood_of_equal_hashes_costs_no_more() -> None:
    left, _ = candidate_pairs(np.zeros(20_000, np.uint64))
    assert len(left) < 20_000 * 6


def views(seeds: list[int]) -> np.ndarray:
    return np.stack([np.asarray(picture(seed, 32, 32)) for seed in seeds])


def test_confirms_the_same_picture_only() -> None:
    pixels = views([1, 1, 2, 1])
    noise = np.random.default_rng(0).integers(-3, 4, pixels[1].shape)
    pixels[1] = np.clip(pixels[1].astype(int) + noise, 0, 255)
    pixels[3] = np.clip(pixels[3].astype(int) + 12, 0, 255)  # brighter
    left, right = np.array([0, 0, 1, 0]), np.array([1, 2, 2, 3])
    assert confirm(pixels, left, right).tolist() == [True, False, False, True]


def test_confirm_is_symmetric_and_flat_images_never_match() -> None:
    pixels = np.concatenate([views([1, 1]), np.full((2, 32, 32, 3), 9, np.uint8)])
    a, b = np.array([0, 1, 2, 0]), np.array([1, 0, 3, 2])
    assert confirm(pixels, a, b).tolist() == confirm(pixels, b, a).tolist() == [
        True, True, False, False,
    ]  # fmt: skip


def ledger(pixels: np.ndarray, labels: list[int | None], digests: list[str]) -> pl.DataFrame:
    light = luma(pixels).reshape(len(pixels), 1024)
    return pl.DataFrame(
        {
            "row": range(len(pixels)), "status": ["scanned"] * len(pixels), "label": labels,
            "sha256": digests, "perceptual_hash": perceptual_hash(pixels),
            "luma_deviation": light.std(axis=1),
        },
        schema_overrides={"row": pl.UInt64, "label": pl.Int64, "luma_deviation": pl.Float32},
    )  # fmt: skip


def test_groups_and_conflicts() -> None:
    pixels = views([1, 1, 2, 3, 3, 3])
    for i in (1, 4):
        pixels[i, 0, 0] ^= 3  # another file, the same picture
    digests = ["a", "b", "c", "d", "e", "d"]
    evidence = measure(ledger(pixels, [0, 1, 0, 2, 2, 2], digests), {"pixels": pixels})
    sample = evidence["sample"]
    assert sample["near_duplicates_of"].to_list() == [None, 0, None, None, 3, 3]
    assert sample["near_duplicates_n"].to_list() == [2, 2, 1, 3, 3, 3]
    assert sample["near_duplicates_conflict"].to_list() == [True, True, False, False, False, False]
    assert evidence["dataset"]["near_duplicates_extra"].to_list() == [3]


def test_a_copy_without_a_label_disputes_nothing() -> None:
    pixels = views([1, 1])
    pixels[1, 0, 0] ^= 3
    sample = measure(ledger(pixels, [0, None], ["a", "b"]), {"pixels": pixels})["sample"]
    assert sample["near_duplicates_conflict"].to_list() == [False, False]


def test_nothing_scanned() -> None:
    empty = ledger(np.zeros((0, 32, 32, 3), np.uint8), [], [])
    evidence = measure(empty, {"pixels": np.zeros((0, 32, 32, 3), np.uint8)})
    assert evidence["sample"].height == 0
    assert evidence["dataset"]["near_duplicates_extra"].to_list() == [0]
