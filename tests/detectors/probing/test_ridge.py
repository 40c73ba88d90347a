"""The closed-form leave-one-out ridge against a refit that really leaves the row out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.detectors.probing import ridge


def draw(n: int, d: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, d), dtype=np.uint8)


def refit(images: np.ndarray, targets: np.ndarray, leave: int, penalty: float) -> float:
    """Ridge with intercept without one row. The slow twin of the closed form.

    The closed form keeps the intercept of the full fit at the full mean, which is exact when the
    intercept is an unpenalised column: solve that system directly.
    """
    keep = np.arange(len(images)) != leave
    design = np.hstack([np.ones((len(images), 1)), images - images.mean(axis=0)])
    penalties = np.diag([0.0] + [penalty] * images.shape[1])
    kept = design[keep]
    solution = np.linalg.solve(kept.T @ kept + penalties, kept.T @ targets[keep])
    return float(design[leave] @ solution)


@given(st.integers(0, 10_000), st.sampled_from([(40, 12), (12, 30)]))
@settings(max_examples=20, deadline=None)
def test_leave_one_out_is_a_refit_without_the_row(seed: int, shape: tuple[int, int]) -> None:
    images = draw(*shape, seed)
    targets = np.random.default_rng(seed + 1).random(shape[0])
    data = ridge.moments(images, np.arange(len(images)))
    fitted = ridge.factorise(data, None, 1e-2)
    assert fitted is not None
    penalty = 1e-2 * float(np.trace(data.gram)) / shape[1]
    centred = (images - data.mean).astype(np.float32)
    weights = fitted.weights((centred.T @ targets)[:, None].astype(np.float64))
    predicted = ridge.leave_one_out(
        targets.mean() + centred @ weights,
        targets[:, None],
        fitted.leverage(fitted.whiten(centred))[:, None],
    )[:, 0]
    expected = [refit(images.astype(np.float64), targets, i, penalty) for i in range(shape[0])]
    np.testing.assert_allclose(predicted, expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
@pytest.mark.parametrize("n", [5, ridge.BLOCK, ridge.BLOCK + 3])
def test_moments_of_any_number_of_blocks_are_the_plain_ones(n: int, kind: type) -> None:
    images = (draw(n + 7, 6, n) / (1 if kind is np.uint8 else 7)).astype(kind)
    index = np.arange(n + 7)[::-1][:n]
    data = ridge.moments(images, index)
    rows = images[index].astype(np.float64)
    np.testing.assert_allclose(data.mean, rows.mean(axis=0))
    centred = rows - rows.mean(axis=0)
    np.testing.assert_allclose(data.gram, centred.T @ centred, rtol=1e-5, atol=n * 1e-2)
    assert data.n == n


def test_pooling_averages_squares_of_pixels_by_channel() -> None:
    image = np.random.default_rng(0).random((8, 8, 3))
    pooled = image.reshape(-1) @ ridge.pooling(8, 3, 2)
    expected = [
        image[r : r + 2, c : c + 2, k].mean()
        for r in range(0, 8, 2)
        for c in range(0, 8, 2)
        for k in range(3)
    ]
    np.testing.assert_allclose(pooled, expected, rtol=1e-6)


def test_weights_of_a_pooled_view_act_on_raw_pixels_as_the_view_itself() -> None:
    images = draw(60, 48, 3)
    pool = ridge.pooling(4, 3, 2)
    data = ridge.moments(images, np.arange(60))
    fitted = ridge.factorise(data, pool, 1e-2)
    assert fitted is not None
    targets = np.random.default_rng(1).random((60, 2))
    centred = images - data.mean
    small = centred @ pool
    gram = small.T @ small
    system = gram + 1e-2 * np.trace(gram) / len(gram) * np.eye(len(gram))
    expected = small @ np.linalg.solve(system, small.T @ targets)
    np.testing.assert_allclose(
        centred @ fitted.weights(centred.T @ targets), expected, rtol=1e-4, atol=1e-5
    )


def test_whitened_rows_reproduce_the_fit() -> None:
    images = draw(50, 12, 4)
    data = ridge.moments(images, np.arange(50))
    fitted = ridge.factorise(data, None, 1e-3)
    assert fitted is not None
    centred = (images - data.mean).astype(np.float32)
    whitened = fitted.whiten(centred)
    targets = np.random.default_rng(2).random((50, 3))
    np.testing.assert_allclose(
        whitened @ (whitened.T @ targets),
        centred @ fitted.weights(centred.T.astype(np.float64) @ targets),
        rtol=1e-3,
        atol=1e-4,
    )


def test_constant_images_have_no_view() -> None:
    data = ridge.moments(np.full((30, 12), 7, dtype=np.uint8), np.arange(30))
    assert ridge.factorise(data, None, 1e-3) is None
