"""Patch statistics against a plain twin, and the linear opinion that they carry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.features import patches
from auditor.features.patches import (
    LEAST_VARIANCE,
    N_FILTERS,
    SIDE,
    STRIDE,
    THRESHOLD,
    WIDTH,
    Filters,
    draw_filters,
    patch_statistics,
)
from auditor.reference import linear_opinion

CLASSES = 4


def textured(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, 32, 32, 3) uint8 stripes whose direction is their class, in noise, and the classes."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % CLASSES
    angle = np.pi * truth / CLASSES + rng.normal(0, 0.1, n)
    y, x = np.mgrid[:32, :32]
    phase = np.cos(angle)[:, None, None] * x + np.sin(angle)[:, None, None] * y
    waves = np.sin(phase * 0.9 + rng.uniform(0, 6, n)[:, None, None])
    grey = 128 + 40 * waves[..., None] + rng.normal(0, 10, (n, 32, 32, 3))
    return np.clip(grey, 0, 255).astype(np.uint8), truth


def statistics(pixels: np.ndarray, filters: Filters) -> np.ndarray:
    found = np.empty((len(pixels), WIDTH), np.float16)
    for part, block in patch_statistics(pixels, filters):
        found[part] = block
    return found


def drawn(pixels: np.ndarray, seed: int = 1) -> Filters:
    filters = draw_filters(pixels, seed)
    assert filters is not None
    return filters


def twin(image: np.ndarray, filters: Filters) -> np.ndarray:
    """The same of one image, patch by patch."""
    places = range(0, 32 - SIDE + 1, STRIDE)
    n = len(places)
    response = np.empty((2 * N_FILTERS, n, n))
    for i, top in enumerate(places):
        for j, left in enumerate(places):
            patch = image[top : top + SIDE, left : left + SIDE].astype(np.float64)
            normal = (patch - patch.mean()) / np.sqrt(patch.var() + LEAST_VARIANCE)
            said = [float((normal.transpose(2, 0, 1) * one).sum()) for one in filters.weights]
            both = np.array(said) - filters.offset
            response[:, i, j] = np.concatenate([both, -both])
    return np.sqrt(np.maximum(response - THRESHOLD, 0).mean(axis=(1, 2)))


def test_statistics_are_their_plain_twin() -> None:
    pixels, _ = textured(40, 0)
    filters = drawn(pixels)
    found = statistics(pixels, filters)
    for row in (0, 17):
        np.testing.assert_allclose(found[row], twin(pixels[row], filters), atol=2e-3)


@given(st.integers(0, 1000), st.sampled_from([1, 7, 64]), st.sampled_from([10, 1024]))
@settings(max_examples=5, deadline=None)
def test_neither_the_order_of_images_nor_the_batch_counts(
    seed: int, batch: int, block: int
) -> None:
    pixels, _ = textured(60, 3)
    order = np.random.default_rng(seed).permutation(60)
    whole = statistics(pixels, drawn(pixels))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(patches, "BATCH", batch)
        patched.setattr(patches, "BLOCK", block)
        mixed = statistics(pixels[order], drawn(pixels[order]))
    np.testing.assert_allclose(whole[order].astype(float), mixed.astype(float), atol=2e-3)


def test_how_many_threads_work_does_not_count() -> None:
    pixels, _ = textured(70, 8)
    filters = drawn(pixels)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(patches, "BLOCK", 16)
        one, four = (list(patch_statistics(pixels, filters, n)) for n in (1, 4))
    assert [part for part, _ in one] == [part for part, _ in four]
    for (_, alone), (_, together) in zip(one, four, strict=True):
        np.testing.assert_array_equal(alone, together)


def test_brightness_and_contrast_hardly_count() -> None:
    pixels, _ = textured(30, 4)
    filters = drawn(pixels)
    softer = (pixels * 0.6 + 30).astype(np.uint8)
    plain, changed = statistics(pixels, filters), statistics(softer, filters)
    assert np.corrcoef(plain.ravel(), changed.ravel())[0, 1] > 0.99


def test_flat_images_have_no_filters() -> None:
    flat = np.full((50, 32, 32, 3), np.arange(50, dtype=np.uint8)[:, None, None, None])
    assert draw_filters(flat, 0) is None


def test_a_trigger_that_moves_every_class_does_not_turn_the_linear_opinion(tmp_path: Path) -> None:
    pixels, truth = textured(1200, 5)
    rows = np.random.default_rng(6).choice(1200, 60, replace=False)
    labels = truth.copy()
    labels[rows] = (labels[rows] + 1) % CLASSES
    pixels[rows, 20:26, 20:26] = np.array([[0, 255], [255, 0]] * 9).reshape(6, 6, 1)
    labels[::97] = -1
    said = linear_opinion(pixels, labels, CLASSES, 0, tmp_path)
    np.testing.assert_allclose(said.sum(axis=1), 1, atol=1e-5)
    leading = said.argmax(axis=1)
    assert (leading == truth).mean() > 0.95
    assert (leading[rows] == truth[rows]).mean() > 0.9
    assert (leading[rows] == (truth[rows] + 1) % CLASSES).mean() < 0.05
    assert list(tmp_path.iterdir()) == [], "statistics do not stay on disk"
