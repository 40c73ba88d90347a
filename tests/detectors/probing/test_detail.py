"""Local detail: a slow twin, and what must leave it alone or move it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.detectors.probing import detail
from auditor.detectors.probing.detail import EDGE_SCALE, WARP_SCALE, Scale, local_detail

SCALES = st.sampled_from((WARP_SCALE, EDGE_SCALE))


def images(seed: int, n: int = 3, low: int = 0, high: int = 256) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(low, high, (n, 32, 32, 3), dtype=np.uint8)


def by_part(coded: np.ndarray, scale: Scale) -> np.ndarray:
    """(B, axis, filter, row of cells, column of cells)."""
    grid = 32 // scale.cell
    return coded.reshape(-1, 2, len(scale.filters), grid, grid)


def twin(image: np.ndarray, scale: Scale) -> np.ndarray:
    cell = scale.cell
    grey = [[0.299 * r + 0.587 * g + 0.114 * b for r, g, b in row] for row in image.tolist()]
    values = []
    for axis in (0, 1):
        for taps in scale.filters:
            for top in range(0, 32, cell):
                for left in range(0, 32, cell):
                    energy = 0.0
                    for i in range(top, top + cell):
                        for j in range(left, left + cell):
                            total = 0.0
                            for place, tap in enumerate(taps):
                                step = place - len(taps) // 2
                                # Past the border stands its last pixel.
                                row = min(max(i + (step if axis == 1 else 0), 0), 31)
                                column = min(max(j + (step if axis == 0 else 0), 0), 31)
                                total += tap * grey[row][column]
                            energy += total**2 / cell**2
                    values.append(scale.steps * math.log(1 + energy / scale.floor))
    return np.array(values)


@given(st.integers(0, 1000), st.integers(1, 256), SCALES)
@settings(max_examples=6, deadline=None)
def test_it_is_its_plain_twin(seed: int, high: int, scale: Scale) -> None:
    batch = images(seed, 2, 0, high)
    coded = local_detail(batch, scale)
    assert coded.shape == (2, scale.n_columns)
    assert coded.dtype == np.uint8
    for image, row in zip(batch, coded, strict=True):
        # The nearest whole step; float32 may decide a tie.
        assert np.abs(row - twin(image, scale)).max() <= 0.5 + 1e-2


@pytest.mark.parametrize("scale", [WARP_SCALE, EDGE_SCALE])
def test_the_sharpest_image_there_is_still_fits_a_byte(scale: Scale) -> None:
    worst = 0
    for period in range(2, 9):
        for shift in range(period):
            bright = (np.arange(32) + shift) // (period // 2) % 2
            image = np.repeat(np.tile(bright * 255, (32, 1))[:, :, None], 3, axis=2)
            worst = max(worst, int(local_detail(image[None].astype(np.uint8), scale).max()))
    assert worst > 150
    gain = max(sum(abs(tap) for tap in taps) for taps in scale.filters)
    assert scale.steps * math.log(1 + (255 * gain) ** 2 / scale.floor) < 255


@given(st.integers(0, 1000), st.integers(1, 100), SCALES)
@settings(max_examples=10, deadline=None)
def test_brightness_changes_nothing(seed: int, more: int, scale: Scale) -> None:
    batch = images(seed, 3, 0, 150)
    brighter = local_detail(batch + np.uint8(more), scale)
    assert np.abs(brighter.astype(int) - local_detail(batch, scale)).max() <= 1


@given(st.integers(0, 1000), SCALES)
@settings(max_examples=10, deadline=None)
def test_turning_the_image_over_its_diagonal_swaps_the_axes(seed: int, scale: Scale) -> None:
    batch = images(seed)
    plain = by_part(local_detail(batch, scale), scale)
    turned = np.ascontiguousarray(batch.swapaxes(1, 2))
    swapped = by_part(local_detail(turned, scale), scale)
    np.testing.assert_array_equal(swapped, plain[:, ::-1].swapaxes(3, 4))


@given(st.integers(0, 1000), st.integers(1, 4), SCALES)
@settings(max_examples=10, deadline=None)
def test_moving_by_whole_cells_moves_the_inner_cells(seed: int, cells: int, scale: Scale) -> None:
    batch, margin = images(seed), -(-4 // scale.cell)
    plain = by_part(local_detail(batch, scale), scale)
    moved = by_part(local_detail(np.roll(batch, cells * scale.cell, axis=2), scale), scale)
    grid = plain.shape[-1]
    inner = plain[..., margin : grid - cells - margin]
    np.testing.assert_array_equal(moved[..., cells + margin : grid - margin], inner)


@given(st.integers(0, 1000), st.integers(1, 5), SCALES)
@settings(max_examples=10, deadline=None)
def test_images_are_told_one_by_one(seed: int, size: int, scale: Scale) -> None:
    batch = images(seed, 5)
    parts = [local_detail(batch[i : i + size], scale) for i in range(0, 5, size)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(detail, "BLOCK", size)
        np.testing.assert_array_equal(np.concatenate(parts), local_detail(batch, scale))


def test_a_move_between_pixels_weakens_detail_where_it_happens_and_in_its_direction() -> None:
    batch = images(1, 40)
    left = batch.astype(np.float64)
    left[:, :, :16] = (left[:, :, :16] + left[:, :, 1:17]) / 2
    warped = local_detail(np.rint(left).astype(np.uint8), WARP_SCALE)
    change = by_part(warped, WARP_SCALE).astype(float).mean(axis=0)
    change -= by_part(local_detail(batch, WARP_SCALE), WARP_SCALE).mean(axis=0)
    along, across = change[0], change[1]
    assert (along[1, :, :3] < -1.5 * WARP_SCALE.steps * math.log(1.5)).all()
    assert (across[1, :, :3] > along[1, :, :3] + WARP_SCALE.steps * 0.2).all()
    assert np.abs(change[..., 5:]).max() == 0
