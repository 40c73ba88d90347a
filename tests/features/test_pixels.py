"""The pixel view and the perceptual hash against slow, obvious twins."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.features.pixels import dct_basis, luma, perceptual_hash, pixel_view


def random_images(seed: int, n: int, side: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


def test_the_view_averages_blocks_and_rounds_half_up() -> None:
    canvas = random_images(0, 2, 64)
    view = pixel_view(canvas)
    for n, i, j, c in [(0, 0, 0, 0), (1, 31, 31, 2), (0, 7, 19, 1)]:
        block = canvas[n, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2, c].astype(float)
        assert view[n, i, j, c] == math.floor(block.mean() + 0.5)
    assert view.shape == (2, 32, 32, 3)
    assert view.dtype == np.uint8


def test_a_small_canvas_is_the_view() -> None:
    canvas = random_images(1, 3, 32)
    assert np.array_equal(pixel_view(canvas), canvas)


@pytest.mark.parametrize("size", [1, 2, 8, 32])
def test_the_basis_is_orthonormal_and_is_the_dct(size: int) -> None:
    basis = dct_basis(size).astype(float)
    assert np.allclose(basis @ basis.T, np.eye(size), atol=1e-5)
    for u in range(size):
        for i in range(size):
            scale = math.sqrt((1 if u == 0 else 2) / size)
            expected = scale * math.cos(math.pi * (2 * i + 1) * u / (2 * size))
            assert basis[u, i] == pytest.approx(expected, abs=1e-6)


def slow_hash(image: np.ndarray) -> int:
    """The hash of one image, coefficient by coefficient, bit by bit."""
    grey = image.astype(float) @ [0.299, 0.587, 0.114]
    basis = dct_basis(32).astype(float)
    low = [float(basis[u] @ grey @ basis[v]) for u in range(8) for v in range(8)]
    middle = float(np.median(low[1:]))
    value = 0
    for coefficient in low:
        value = 2 * value + (coefficient > middle)
    return value


def test_the_hash_matches_its_slow_twin() -> None:
    images = random_images(2, 20, 32)
    for image, found in zip(images, perceptual_hash(images), strict=True):
        differing = (int(found) ^ slow_hash(image)).bit_count()
        assert differing <= 2  # a coefficient next to the median may fall on either side in float32


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(-20, 20), st.floats(0.8, 1.0))
def test_the_hash_hardly_minds_brightness_and_contrast(seed: int, shift: int, gain: float) -> None:
    image = np.random.default_rng(seed).integers(40, 200, (1, 8, 8, 3))
    smooth = np.repeat(np.repeat(image, 4, 1), 4, 2).astype(np.uint8)
    changed = np.clip(smooth * gain + shift, 0, 255).astype(np.uint8)
    one, other = int(perceptual_hash(smooth)[0]), int(perceptual_hash(changed)[0])
    assert (one ^ other).bit_count() <= 6


def test_the_hash_does_not_depend_on_the_batch() -> None:
    images = random_images(3, 7, 32)
    alone = np.concatenate([perceptual_hash(images[i : i + 1]) for i in range(7)])
    differing = np.bitwise_count(perceptual_hash(images) ^ alone)
    assert differing.max() <= 1


def test_luma_of_grey_is_grey() -> None:
    grey = np.full((2, 2, 3), 77, np.uint8)
    assert luma(grey) == pytest.approx(77, abs=1e-3)
