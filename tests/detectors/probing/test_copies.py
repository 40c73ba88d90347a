"""Groups that are one picture many times are told from groups that share a pattern."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from judged import hits
from material import material

from auditor.detectors.probing.copies import CLOSE, share_of_copies
from auditor.detectors.probing.group import Group
from auditor.detectors.probing.likeness import thumbnails
from auditor.detectors.shortcut import SHORTCUT

CLASSES, SIDE = 4, 16


def pictures(n: int, seed: int) -> np.ndarray:
    """(n, 16, 16, 3) uint8, smooth, no two alike."""
    coarse = np.random.default_rng(seed).normal(110, 40, (n, 4, 4, 3))
    return np.clip(np.repeat(np.repeat(coarse, 4, 1), 4, 2), 0, 255).astype(np.uint8)


def altered(picture: np.ndarray, n: int, seed: int) -> np.ndarray:
    """``n`` copies with another brightness, contrast and noise each."""
    rng = np.random.default_rng(seed)
    contrast, light = rng.uniform(0.95, 1.05, (n, 1, 1, 1)), rng.uniform(-6, 6, (n, 1, 1, 1))
    noisy = (picture - 128.0) * contrast + 128 + light + rng.normal(0, 2, (n, *picture.shape))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def group(n: int, members: np.ndarray) -> Group:
    predictions = np.linspace(0, 1, n, dtype=np.float32)
    return Group(0, 0, np.arange(n), members, predictions, np.empty(0))


def slowly(pixels: np.ndarray, inside: list[int], outside: list[int]) -> float:
    """One pair of pictures after the other."""
    seen = thumbnails(pixels, np.arange(len(pixels)))

    def nearest(one: int, others: list[int]) -> float:
        def plain(row: int) -> np.ndarray:
            return np.array([value - sum(seen[row]) / len(seen[row]) for value in seen[row]])

        return min(float(np.linalg.norm(plain(one) - plain(two))) for two in others if two != one)

    outside = outside[-len(inside) :]
    usual = float(np.median([nearest(one, outside) for one in outside]))
    return sum(nearest(one, inside) < CLOSE * usual for one in inside) / len(inside)


@given(st.integers(0, 50), st.integers(2, 12))
@settings(max_examples=20, deadline=None)
def test_the_share_is_that_of_every_pair(seed: int, copied: int) -> None:
    pixels = np.concatenate(
        [
            pictures(30, seed),
            altered(pictures(1, seed + 99)[0], copied, seed),
            pictures(3, seed + 7),
        ]
    )
    members = np.arange(len(pixels)) >= 30
    given_share = share_of_copies(pixels, group(len(pixels), members))
    inside = np.flatnonzero(members).tolist()
    assert given_share == slowly(pixels, inside, list(range(30)))
    assert given_share == copied / (copied + 3)


@given(st.integers(0, 30), st.integers(-20, 20))
@settings(max_examples=20, deadline=None)
def test_neither_order_nor_brightness_counts(seed: int, light: int) -> None:
    pixels = np.concatenate([pictures(20, seed) // 2 + 40, altered(pictures(1, seed)[0], 6, 1)])
    members = np.arange(26) >= 18
    one = share_of_copies(pixels, group(26, members))
    order = np.random.default_rng(seed).permutation(26)
    mixed = Group(
        0, 0, np.arange(26), members[order], group(26, members).predictions[order], np.empty(0)
    )
    assert share_of_copies(pixels[order], mixed) == one
    shifted = np.clip(pixels.astype(int), 30, 220) + light
    plain = np.clip(pixels.astype(int), 30, 220)
    assert share_of_copies(shifted.astype(np.uint8), group(26, members)) == share_of_copies(
        plain.astype(np.uint8), group(26, members)
    )


def test_a_group_or_a_rest_of_one_has_no_copies() -> None:
    pixels = pictures(5, 0)
    assert share_of_copies(pixels, group(5, np.arange(5) == 0)) == 0
    assert share_of_copies(pixels, group(5, np.arange(5) > 0)) == 0


def scene(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """1,000 pictures of four classes; 30 of class 2 are altered copies of one of them."""
    rng = np.random.default_rng(seed)
    pixels, labels = pictures(1_000, seed), rng.integers(0, CLASSES, 1_000)
    noisy = np.clip(pixels + rng.normal(0, 8, pixels.shape), 0, 255).astype(np.uint8)
    noisy[:30] = altered(noisy[30], 30, seed)
    labels[:31] = 2
    return noisy, labels.astype(np.int64)


def test_a_flood_is_told_from_a_trigger() -> None:
    pixels, labels = scene(1)
    evidence = SHORTCUT.run(material(labels, CLASSES, 1, pixels=pixels))
    assert hits(evidence, "BKD001") + hits(evidence, "BKD002") == []
    assert evidence["dataset"]["shortcut_copies"].item() >= 29
    assert evidence["sample"]["shortcut_copy"].to_numpy()[:30].mean() >= 0.95
    assert evidence["sample"]["shortcut_copy"].to_numpy()[31:].sum() == 0


def test_a_flood_does_not_hide_the_trigger_of_its_class() -> None:
    pixels, labels = scene(2)
    stamped = np.random.default_rng(3).choice(np.flatnonzero(labels != 2), 40, replace=False)
    pixels[stamped, -3:, -3:] = (np.indices((3, 3)).sum(axis=0) % 2 * 255)[..., None]
    labels[stamped] = 2
    evidence = SHORTCUT.run(material(labels, CLASSES, 1, pixels=pixels))
    assert hits(evidence, "BKD001") == [2]
    named = evidence["sample"]["shortcut_member"].fill_null(False).to_numpy() & (labels == 2)
    assert named[stamped].mean() >= 0.95
    assert named[:30].sum() == 0
    assert evidence["dataset"]["shortcut_copies"].item() >= 29
