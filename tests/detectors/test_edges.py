"""The edge probe finds shapes whose colour changes, which pixels do not share, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judged import fired, hits
from leaning import CLASSES, content
from material import material as bare
from scipy.ndimage import gaussian_filter

from auditor.detectors.edges import EDGES
from auditor.detectors.shortcut import SHORTCUT
from auditor.interfaces import Evidence, InapplicableError, Material

SQUARE = (slice(20, 26), slice(20, 26))


def natural(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Clouded images whose brightness leans on the label a little, and labels of four classes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, n)
    clouds = gaussian_filter(rng.normal(size=(n, 32, 32, 3)), (0, 2, 2, 0)) * 400
    grain = rng.normal(0, 8, (n, 32, 32, 3))
    images = np.clip(120 + 6 * labels[:, None, None, None] + clouds + grain, 0, 255)
    return images.astype(np.uint8), labels


def squared(
    images: np.ndarray, labels: np.ndarray, target: int, n: int = 40
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Squares in one place, each of a colour of its own, on images of other classes, relabelled."""
    rng = np.random.default_rng(3)
    rows = rng.choice(np.flatnonzero(labels != target), n, replace=False)
    images, given_labels = images.copy(), labels.copy()
    images[(rows, *SQUARE)] = rng.integers(0, 256, (n, 1, 1, 3))
    given_labels[rows] = target
    return images, given_labels, np.isin(np.arange(len(labels)), rows)


def material(
    images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray | None = None
) -> Material:
    views = {"pixels": images}
    if probabilities is not None:
        views["probabilities"] = probabilities
    return bare(labels, CLASSES, 1, **views)


def members(evidence: Evidence) -> np.ndarray:
    return evidence["sample"]["edges_member"].fill_null(False).to_numpy()


@pytest.mark.parametrize("target", [0, 2])
def test_squares_of_any_colour_in_one_place_are_found_and_pixels_do_not_find_them(
    target: int,
) -> None:
    images, truth = natural(1200, 1)
    images, labels, poisoned = squared(images, truth, target)
    made = material(images, labels, content(truth, 0.2, 5))
    assert fired(SHORTCUT.run(made)) == {}
    evidence = EDGES.run(made)
    assert hits(evidence, "BKD021") == [target]
    found = members(evidence) & (labels == target)
    assert found[poisoned].mean() >= 0.95
    assert (found & ~poisoned).sum() <= 2


def test_a_clear_shape_needs_no_content() -> None:
    images, truth = natural(1200, 2)
    rows = np.random.default_rng(3).choice(np.flatnonzero(truth != 1), 40, replace=False)
    images[rows, 8:24, 8:24] = np.random.default_rng(4).integers(0, 256, (40, 1, 1, 3))
    labels = np.where(np.isin(np.arange(1200), rows), 1, truth)
    evidence = EDGES.run(material(images, labels))
    assert hits(evidence, "BKD020") == [1]
    assert hits(evidence, "BKD021") == []
    assert members(evidence)[rows].all()


def test_a_shape_that_leads_to_every_label_shows_among_the_disputed() -> None:
    images, truth = natural(1200, 3)
    images, _, poisoned = squared(images, truth, 0, n=60)
    labels = np.where(poisoned, (truth + 1) % CLASSES, truth)
    evidence = EDGES.run(material(images, labels, content(truth, 0.2, 5)))
    assert hits(evidence, "BKD022") == [None]
    found = evidence["sample"]["edges_any_member"].to_numpy()
    assert found[poisoned].mean() >= 0.9
    assert (found & ~poisoned).sum() <= 3


def test_squares_that_move_share_no_place() -> None:
    images, truth = natural(1200, 4)
    rng = np.random.default_rng(3)
    rows = rng.choice(np.flatnonzero(truth != 0), 40, replace=False)
    for row, (top, left) in zip(rows, rng.integers(0, 26, (40, 2)), strict=True):
        images[row, top : top + 6, left : left + 6] = rng.integers(0, 256, 3)
    labels = np.where(np.isin(np.arange(1200), rows), 0, truth)
    assert fired(EDGES.run(material(images, labels, content(truth, 0.2, 5)))) == {}


def test_the_same_shape_in_every_class_is_no_trigger() -> None:
    images, truth = natural(1200, 5)
    images[(slice(0, 240), *SQUARE)] = np.random.default_rng(0).integers(0, 256, (240, 1, 1, 3))
    assert fired(EDGES.run(material(images, truth, content(truth, 0.2, 5)))) == {}


@pytest.mark.parametrize("seed", range(3))
def test_natural_edges_and_wrong_labels_fire_nothing(seed: int) -> None:
    images, truth = natural(1200, seed + 10)
    probabilities = content(truth, 0.2, seed + 40)
    rng = np.random.default_rng(seed)
    flipped = np.where(rng.random(1200) < 0.15, rng.integers(0, CLASSES, 1200), truth)
    relabelled = np.where((truth == 1) & (rng.random(1200) < 0.3), 2, truth)
    for labels in (truth, flipped, relabelled):
        assert fired(EDGES.run(material(images, labels, probabilities))) == {}


@given(st.integers(0, 1000))
@settings(max_examples=4, deadline=None)
def test_row_order_changes_the_order_alone(seed: int) -> None:
    images, labels, _ = squared(*natural(600, 6), 1)
    order = np.random.default_rng(seed).permutation(600)
    plain = members(EDGES.run(material(images, labels)))
    mixed = members(EDGES.run(material(images[order], labels[order])))
    own = labels[order] == 1
    np.testing.assert_array_equal(plain[order][own], mixed[own])


@given(st.integers(1, 60))
@settings(max_examples=4, deadline=None)
def test_brightness_of_all_images_changes_nobody(more: int) -> None:
    images, labels, _ = squared(*natural(600, 7), 1)
    images = np.clip(images, 0, 195).astype(np.uint8)
    plain = members(EDGES.run(material(images, labels)))
    brighter = members(EDGES.run(material(images + np.uint8(more), labels)))
    np.testing.assert_array_equal(plain[labels == 1], brighter[labels == 1])


def test_flat_images_are_refused_with_a_reason() -> None:
    flat = np.zeros((300, 32, 32, 3), np.uint8) + np.arange(300)[:, None, None, None] % 200
    with pytest.raises(InapplicableError, match="no image has an edge"):
        EDGES.run(material(flat.astype(np.uint8), natural(300, 0)[1]))
