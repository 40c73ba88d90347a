"""The moving-trigger probe finds patches wherever they lie, and stays quiet on natural images."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judged import hits
from material import material as bare

from auditor.attacks.copies.folder_copy import open_folder
from auditor.attacks.copies.rewriting import thumbnails
from auditor.detectors.moving import MOVING
from auditor.detectors.probing import salient as windows
from auditor.detectors.probing import template
from auditor.detectors.probing.group import Group
from auditor.interfaces import Evidence, InapplicableError, Material

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / os.environ.get("AUDITOR_TEST_DATA", "../shared/data")
CLASSES = 4


def natural(n: int, seed: int, side: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Smooth random images with a little noise, and labels that their mean colour leans on."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, n)
    coarse = rng.normal(0, 40, (n, side // 4 + 1, side // 4 + 1, 3)) + 110
    coarse += 12 * np.random.default_rng(0).normal(0, 1, (CLASSES, 1, 1, 3))[labels]
    at = np.arange(side) / 4
    low = at.astype(int)
    share = (at - low)[:, None]
    rows = coarse[:, low] * (1 - share[..., None]) + coarse[:, low + 1] * share[..., None]
    images = rows[:, :, low] * (1 - share) + rows[:, :, low + 1] * share
    images = images + rng.normal(0, 6, images.shape)
    return np.clip(images, 0, 255).astype(np.uint8), labels.astype(np.int64)


def stamp(
    images: np.ndarray, labels: np.ndarray, count: int, target: int, side: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A square of random saturated colours anywhere in ``count`` samples, relabelled."""
    rng = np.random.default_rng(9)
    images, labels = images.copy(), labels.copy()
    square = np.random.default_rng(5).choice([0, 255], (side, side, 3))
    rows = rng.choice(np.flatnonzero(labels != target), count, replace=False)
    for row in rows:
        i, j = rng.integers(0, images.shape[1] - side + 1, 2)
        images[row, i : i + side, j : j + side] = square
    labels[rows] = target
    return images, labels, np.isin(np.arange(len(labels)), rows)


def material(images: np.ndarray, labels: np.ndarray, **changes: object) -> Material:
    made = bare(labels, CLASSES, 1, pixels=images)
    return replace(made, **changes)  # type: ignore[arg-type]


def fired(evidence: Evidence) -> list[int | None]:
    """The classes in which the certain rule fires."""
    return hits(evidence, "BKD010")


def members(evidence: Evidence) -> np.ndarray:
    return evidence["sample"]["moving_member"].fill_null(False).to_numpy()


@pytest.mark.parametrize("side", [3, 6])
@pytest.mark.parametrize("grey", [False, True])
def test_a_patch_that_moves_is_found_whole_and_nothing_else(side: int, grey: bool) -> None:
    images, labels, poisoned = stamp(*natural(1200, 1), 40, 2, side)
    if grey:
        images = np.repeat(images[..., :1], 3, axis=3)
    evidence = MOVING.run(material(images, labels))
    assert fired(evidence) == [2]
    found = members(evidence) & (labels == 2)
    assert found[poisoned].mean() >= 0.95
    assert (found & ~poisoned).sum() <= 1


@pytest.mark.parametrize("seed", range(3))
def test_natural_images_and_wrong_labels_fire_nothing(seed: int) -> None:
    images, labels = natural(900, seed)
    assert fired(MOVING.run(material(images, labels))) == []
    rng = np.random.default_rng(seed)
    flipped = np.where(rng.random(900) < 0.15, rng.integers(0, CLASSES, 900), labels)
    assert fired(MOVING.run(material(images, flipped))) == []


def test_a_patch_in_every_class_is_no_trigger() -> None:
    images, labels = natural(1200, 3)
    images, _, _ = stamp(images, labels, 160, 0, 3)
    assert fired(MOVING.run(material(images, labels))) == []


def test_row_order_changes_the_order_alone() -> None:
    images, labels, _ = stamp(*natural(800, 4), 40, 1, 3)
    order = np.random.default_rng(2).permutation(800)
    plain = MOVING.run(material(images, labels))
    mixed = MOVING.run(material(images[order], labels[order]))
    assert fired(plain) == fired(mixed) == [1]
    own = labels == 1
    np.testing.assert_array_equal(members(plain)[order] & own[order], members(mixed) & own[order])


def test_copies_of_one_sample_make_no_group_and_copies_of_poison_are_members() -> None:
    images, labels, poisoned = stamp(*natural(900, 5), 40, 1, 3)
    first = np.repeat(np.flatnonzero(poisoned)[0], 3)
    clean = np.repeat(np.flatnonzero(~poisoned & (labels == 2))[0], 40)
    copied = np.concatenate([first, clean])
    evidence = MOVING.run(
        material(
            np.concatenate([images, images[copied]]),
            np.append(labels, labels[copied]),
            duplicate_of=np.append(np.full(900, -1), copied),
        )
    )
    assert fired(evidence) == [1]
    assert members(evidence)[900:903].all()


def test_one_picture_many_times_is_no_patch_that_moves() -> None:
    images, labels, _ = stamp(*natural(1200, 8), 1, 2, 8)
    rng = np.random.default_rng(1)
    shown = images[np.flatnonzero(labels == 2)[0]].copy()
    shown[10:18, 12:20] = np.random.default_rng(5).choice([0, 255], (8, 8, 3))
    flood = np.stack([np.roll(shown, rng.integers(-1, 2, 2), (0, 1)) for _ in range(40)])
    flood = np.clip(flood + rng.normal(rng.normal(0, 6), 2, flood.shape), 0, 255).astype(np.uint8)
    evidence = MOVING.run(
        material(np.concatenate([images, flood]), np.append(labels, np.full(40, 2)))
    )
    assert fired(evidence) == hits(evidence, "BKD011") == []
    assert not members(evidence)[1200:].any()


def test_unlabelled_samples_are_null() -> None:
    images, labels, _ = stamp(*natural(900, 6), 40, 1, 3)
    labels[:50] = -1
    sample = MOVING.run(material(images, labels))["sample"]
    assert sample.head(50)["moving_score"].null_count() == 50
    scores = sample["moving_score"].drop_nulls()
    assert 0 <= scores.min() <= scores.max() <= 1  # type: ignore[operator]


def test_identical_images_are_refused_with_a_reason() -> None:
    with pytest.raises(InapplicableError, match="identical"):
        MOVING.run(material(np.full((300, 32, 32, 3), 9, np.uint8), natural(300, 0)[1]))


@given(st.integers(0, 1000), st.sampled_from([1, 3]))
@settings(max_examples=15, deadline=None)
def test_the_salient_window_is_its_plain_twin(seed: int, channels: int) -> None:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (12, 11, 11, channels), dtype=np.uint8)
    index = np.arange(10)
    tiles = [
        images[n, i : i + 3, j : j + 3].reshape(-1).astype(np.float64)
        for n in index
        for i in (0, 3, 6)
        for j in (0, 3, 6)
    ]
    mean, covariance = np.mean(tiles, axis=0), np.cov(np.array(tiles).T, bias=True)
    values, vectors = np.linalg.eigh(covariance)
    values = np.maximum(values, windows.FLOOR * values[-1])
    inverse = vectors / values @ vectors.T
    found = windows.salient(images, index)
    for n in range(12):
        norms = np.empty((9, 9))
        for i in range(9):
            for j in range(9):
                # The columns of the fast version run over place, then channel, as these do.
                p = images[n, i : i + 3, j : j + 3].reshape(-1) - mean
                norms[i, j] = p @ inverse @ p
        i, j = found.centres[n] - 1
        assert norms[i, j] == pytest.approx(norms.max(), rel=1e-3)
        assert found.patches[n] @ found.patches[n] == pytest.approx(norms[i, j], rel=1e-3)


@given(st.integers(0, 1000), st.integers(0, 5), st.integers(0, 5))
@settings(max_examples=15, deadline=None)
def test_a_patch_that_moves_keeps_its_window(seed: int, down: int, right: int) -> None:
    images, _ = natural(40, seed)
    square = np.random.default_rng(5).choice([0, 255], (3, 3, 3))
    patches = []
    for i, j in ((4, 4), (4 + 3 * down, 4 + 3 * right)):
        images[0, 4:25, 4:25] = 110
        images[0, i : i + 3, j : j + 3] = square
        patches.append(windows.salient(images, np.arange(1, 40)).patches[0])
    np.testing.assert_allclose(patches[0], patches[1], rtol=1e-4, atol=1e-3)


def test_fourier_features_approach_the_gaussian_kernel() -> None:
    rng = np.random.default_rng(0)
    patches = rng.normal(size=(300, 9)).astype(np.float32)
    width = np.sqrt(2 * patches.astype(np.float64).var(axis=0).sum())
    features = [
        windows.fourier(patches, np.arange(300), np.random.default_rng(seed)) for seed in range(20)
    ]
    cosines = np.concatenate(features, axis=1).astype(np.float64) / 127.5 - 1
    kernel = 2 * cosines @ cosines.T / cosines.shape[1]
    distance = ((patches[:, None] - patches[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(kernel, np.exp(-distance / (2 * width**2)), atol=0.06)


def behind(images: np.ndarray) -> template.Background:
    return template.background(images, np.arange(len(images)))


def test_the_response_is_the_correlation_at_every_place() -> None:
    images, _ = natural(6, 7, 16)
    back = behind(images)
    side = 2 * template.REACH + 1
    kernel = np.random.default_rng(1).normal(size=(side, side, 3)).astype(np.float32)
    best, place = template.respond(images, np.array([4, 1]), back.mean, kernel)
    for found, where, row in zip(best, place, (4, 1), strict=True):
        padded = np.pad(images[row] - back.mean, ((5, 5), (5, 5), (0, 0)))
        maps = np.array(
            [
                [(padded[i : i + side, j : j + side] * kernel).sum() for j in range(16)]
                for i in range(16)
            ]
        )
        assert found == pytest.approx(maps.max(), rel=1e-4)
        assert tuple(where) == np.unravel_index(maps.argmax(), maps.shape)


def test_a_member_responds_to_the_template_of_the_others() -> None:
    images, _ = natural(60, 8, 16)
    back = behind(images)
    cut = template.crops(images[:9], back.mean, np.full((9, 2), 8))
    assert not np.isnan(cut).any()
    weights, alone = template.design(cut, back.factor)
    inverse = np.linalg.inv(back.factor @ back.factor.T)
    mean = cut.mean(axis=0)
    power = mean @ inverse @ mean
    np.testing.assert_allclose(weights, inverse @ mean / power, rtol=1e-3, atol=1e-6)
    for i in range(9):
        others = np.delete(cut, i, axis=0).mean(axis=0)
        assert alone[i] == pytest.approx(cut[i] @ inverse @ others / power, rel=1e-2, abs=1e-3)


def test_crops_at_the_edge_hold_nothing_outside() -> None:
    images, _ = natural(3, 9, 16)
    cut = template.crops(images, np.zeros(3, np.float32), np.array([[0, 0], [15, 8], [8, 8]]))
    cut = cut.reshape(3, 11, 11, 3)
    assert np.isnan(cut[0, :5]).all()
    np.testing.assert_array_equal(cut[0, 5:, 5:], images[0, :6, :6])
    assert np.isnan(cut[1, 6:]).all()
    np.testing.assert_array_equal(cut[2], images[2, 3:14, 3:14])


def test_a_part_of_a_square_leads_to_all_its_images() -> None:
    images, labels, poisoned = stamp(*natural(600, 10), 40, 1, 8)
    rows = np.flatnonzero(labels == 1)
    found = windows.salient(images, np.arange(600))
    seeds = np.isin(rows, np.flatnonzero(poisoned)[:12])
    # Align the seeds as the salient view does: by one and the same part of the square.
    square = np.random.default_rng(5).choice([0, 255], (8, 8, 3))
    centres = found.centres.copy()
    for row in rows[seeds]:
        spans = np.lib.stride_tricks.sliding_window_view(images[row], (8, 8), axis=(0, 1))
        same = (spans.transpose(0, 1, 3, 4, 2) == square).all(axis=(2, 3, 4))
        centres[row] = np.argwhere(same)[0] + 3
    group = Group(1, 0, rows, seeds, seeds.astype(np.float32), np.empty(0))
    result = template.grow(images, group, centres, behind(images))
    assert result is not None
    grown, everywhere = result
    np.testing.assert_array_equal(grown.members, poisoned[rows])
    assert everywhere[labels != 1].max() < 0.5


def test_a_second_trigger_of_the_same_class_is_found_too() -> None:
    images, labels, first = stamp(*natural(1500, 11), 40, 1, 3)
    images, labels = images.copy(), labels.copy()
    rows = np.random.default_rng(4).choice(np.flatnonzero(labels != 1), 30, replace=False)
    square = np.random.default_rng(6).choice([0, 255], (5, 5, 3))
    for row in rows:
        i, j = np.random.default_rng(row).integers(0, 28, 2)
        images[row, i : i + 5, j : j + 5] = square
    labels[rows] = 1
    evidence = MOVING.run(material(images, labels))
    assert fired(evidence) == [1]
    found = members(evidence) & (labels == 1)
    assert found[first].mean() >= 0.95
    assert found[rows].mean() >= 0.95
    assert found.sum() <= 72


def test_a_place_is_kept_only_by_a_group_that_has_one() -> None:
    rng = np.random.default_rng(0)
    fixed = np.array([28, 3]) + rng.integers(-1, 2, (40, 2))
    fixed[0] = [5, 20]
    assert template.box_of(fixed) == (slice(26, 31), slice(1, 6))
    assert template.box_of(rng.integers(1, 31, (40, 2))) == template.EVERYWHERE
    images, _ = natural(5, 12, 16)
    back = behind(images)
    side = 2 * template.REACH + 1
    kernel = rng.normal(size=(side, side, 3)).astype(np.float32)
    inside = (slice(2, 5), slice(9, 12))
    _, place = template.respond(images, np.arange(5), back.mean, kernel, inside)
    assert ((place >= [2, 9]) & (place < [5, 12])).all()


@pytest.mark.data
def test_clean_photos_are_silent_and_a_moving_square_in_them_is_found() -> None:
    folder = DATA / "imagenette" / "train"
    if not folder.is_dir():
        pytest.skip(f"no evaluation data at {folder}; set AUDITOR_TEST_DATA")
    layout = open_folder(folder)
    rows = np.sort(np.random.default_rng(7).choice(len(layout.labels), 1500, replace=False))
    images, labels = thumbnails(layout, rows, 32, 1), layout.labels[rows]
    assert fired(MOVING.run(material(images, labels, n_classes=10))) == []
    images, labels, poisoned = stamp(images, labels, 30, 6, 6)
    evidence = MOVING.run(material(images, labels, n_classes=10))
    assert fired(evidence) == [6]
    assert members(evidence)[poisoned].mean() >= 0.95
