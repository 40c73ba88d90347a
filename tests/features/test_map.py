from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.features.map import MAP_POINTS, _choose, _components, _keep_compiled, umap_map


def groups(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    label = np.arange(n) % 3
    centres = np.eye(3, 20) * 12
    return (centres[label] + generator.normal(size=(n, 20))).astype(np.float16), label


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12_000), st.integers(0, 8_000), st.integers(0, 2**40))
def test_chooses_at_most_5000_all_flagged_among_them(n: int, f: int, seed: int) -> None:
    flagged = np.random.default_rng(1).integers(0, n, min(f, n))
    index = _choose(n, flagged, np.random.default_rng(seed))
    assert len(index) == min(n, MAP_POINTS)
    assert (np.diff(index) > 0).all()
    assert index.min() >= 0
    assert index.max() < n
    distinct = np.unique(flagged)
    kept = np.isin(distinct, index).sum()
    assert kept == min(len(distinct), MAP_POINTS)


def test_components_are_the_principal_ones() -> None:
    x, _ = groups(200)
    wide = x.astype(np.float32)
    got = _components(wide, 0)
    centred = wide - wide.mean(0)
    u, s, _ = np.linalg.svd(centred / centred.std(), full_matrices=False)
    expected = u * s
    assert got.shape == (200, 20)
    np.testing.assert_allclose(np.abs(got[:, :3]), np.abs(expected[:, :3]), rtol=2e-3, atol=2e-3)


def test_groups_stay_apart_and_the_layout_repeats() -> None:
    x, label = groups(600)
    first = umap_map(x, np.arange(5), seed=7)
    again = umap_map(x, np.arange(5), seed=7)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    index, *place = first
    points = np.stack(place, 1)
    assert np.isfinite(points).all()
    centres = np.stack([points[label[index] == k].mean(0) for k in range(3)])
    nearest = np.argmin(((points[:, None] - centres) ** 2).sum(2), 1)
    assert (nearest == label[index]).mean() > 0.99


@pytest.mark.parametrize(
    "features",
    [
        np.zeros((0, 4), np.float32),
        np.ones((1, 4), np.float32),
        np.arange(12, dtype=np.float32).reshape(3, 4),
        np.ones((50, 4), np.float32),
        np.arange(5, dtype=np.float32).reshape(5, 1),
        np.full((4, 3), np.nan, np.float32),
    ],
    ids=["none", "one", "few", "alike", "one feature", "not finite"],
)
def test_degenerate_sets_get_finite_points(features: np.ndarray) -> None:
    index, x, y = umap_map(features, np.array([], np.int64), seed=0)
    assert len(index) == len(x) == len(y) == len(features)
    assert np.isfinite(x).all()
    assert np.isfinite(y).all()


def test_input_is_left_alone() -> None:
    x, _ = groups(60)
    before = x.copy()
    umap_map(x, np.array([1, 1, 2]), seed=0)
    np.testing.assert_array_equal(x, before)


def test_machine_code_is_kept_where_a_folder_can_be_written_and_else_made_anew() -> None:
    asked: list[str] = []

    class Compiled:
        def enable_caching(self) -> None:
            asked.append("kept")

    class Nowhere:
        def enable_caching(self) -> None:
            raise RuntimeError("cannot cache function: no locator available")

    module = SimpleNamespace(nowhere=Nowhere(), plain=len, compiled=Compiled())
    _keep_compiled(module, "nowhere", "plain", "of another version", "compiled")
    assert asked == ["kept"]


def test_the_functions_that_a_map_compiles_are_kept() -> None:
    """Else every scan compiles them again, for longer than it lays the map out."""
    umap_map(groups(60)[0], np.arange(5), seed=0)
    from umap import umap_

    for function in (umap_.smooth_knn_dist, umap_.compute_membership_strengths):
        assert type(function._cache).__name__ != "NullCache"
