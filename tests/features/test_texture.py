"""Texture statistics against slow twins, and what they must not depend on."""

from __future__ import annotations

import numpy as np
import pytest

from auditor.features import N_FEATURES, texture_view
from auditor.features.pixels import dct_basis


def canvases(seed: int, n: int, side: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


def ycbcr(image: np.ndarray) -> np.ndarray:
    """(S, S, 3) → (3, S, S) float64, pixel by pixel formula."""
    r, g, b = (image[..., c].astype(float) for c in range(3))
    return np.stack(
        [
            0.299 * r + 0.587 * g + 0.114 * b,
            -0.1687 * r - 0.3313 * g + 0.5 * b,
            0.5 * r - 0.4187 * g - 0.0813 * b,
        ]
    )


def slow_texture(image: np.ndarray) -> np.ndarray:
    """The whole feature vector of one image with loops over channels, blocks and lags."""
    planes, side = ycbcr(image), image.shape[0]
    basis = dct_basis(8).astype(float)
    spectrum: list[float] = []
    for plane in planes:
        total = np.zeros((8, 8))
        for i in range(0, side, 8):
            for j in range(0, side, 8):
                total += np.abs(basis @ plane[i : i + 8, j : j + 8] @ basis.T)
        spectrum += np.log1p(total / (side // 8) ** 2).ravel().tolist()
    residual: list[float] = []
    for plane in planes:
        for oriented in (plane, plane.T):
            second = oriented[:, 2:] - 2 * oriented[:, 1:-1] + oriented[:, :-2]
            energy = (second**2).mean() + 1
            residual.append(float(np.log(energy)))
            along = [(second[:, lag:] * second[:, :-lag]).mean() for lag in (1, 2)]
            across = [(second[lag:] * second[:-lag]).mean() for lag in (1, 2)]
            residual.extend(float(product / energy) for product in (*along, *across))
    means = [float(plane.mean()) for plane in planes]
    deviations = [float(plane.std()) + 1 for plane in planes]
    skews = [
        float(((plane - plane.mean()) ** 3).mean()) / deviation**3
        for plane, deviation in zip(planes, deviations, strict=True)
    ]
    return np.array([*spectrum, *residual, *means, *deviations, *skews])


@pytest.mark.parametrize("side", [32, 64])
def test_matches_its_slow_twin(side: int) -> None:
    batch = canvases(0, 3, side)
    fast = texture_view(batch)
    assert fast.shape == (3, N_FEATURES)
    assert fast.dtype == np.float32
    for image, row in zip(batch, fast, strict=True):
        assert row == pytest.approx(slow_texture(image), abs=2e-3, rel=2e-3)


def test_does_not_depend_on_the_batch() -> None:
    batch = canvases(1, 9, 32)
    alone = np.concatenate([texture_view(batch[i : i + 1]) for i in range(9)])
    assert np.allclose(texture_view(batch), alone, atol=1e-4)


def test_is_finite_on_flat_images() -> None:
    flat = np.stack([np.full((64, 64, 3), value, np.uint8) for value in (0, 128, 255)])
    assert np.isfinite(texture_view(flat)).all()


def test_sees_what_a_blur_changes() -> None:
    sharp = canvases(2, 1, 64)
    blurred = ((sharp.astype(int) + np.roll(sharp, 1, 1) + np.roll(sharp, 1, 2)) // 3).astype(
        np.uint8
    )
    lag = 3 * 64 + 1
    assert texture_view(blurred)[0, lag] > texture_view(sharp)[0, lag] + 0.1
