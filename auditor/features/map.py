"""A picture of the feature space: two coordinates a sample, for display and never for judging."""

from __future__ import annotations

import contextlib
import warnings

import numpy as np

MAP_POINTS = 5_000
"""Points that a reader can still tell apart, and that are laid out within a few seconds."""
_DIMENSIONS = 32
"""Principal components kept: neighbours on 5,000 samples then cost 0.5 s, whatever the width."""
_NEIGHBOURS = 12
"""A little under UMAP's default of 15: small flagged groups stay together, edges cost less."""
_EPOCHS = 200
"""UMAP's own choice for large sets (McInnes 2018, §4.3: 200); below 10,000 it would take 500."""
_FEWEST = 8
"""Below this many samples there is no neighbourhood to speak of: the first two components do."""


def umap_map(
    features: np.ndarray, flagged_index: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lay out at most 5,000 samples in the plane, every flagged one among them.

    Args:
        features: (N, D) float; may be memory-mapped; values that are not finite count as 0.
        flagged_index: (F,) int, indices into 0…N−1; where F exceeds 5,000, a part of them is drawn.
        seed: decides which other samples are shown, and the layout.

    Returns:
        index (M,) int64 ascending, x (M,) float32, y (M,) float32; the same for the same input.

    Source: UMAP (McInnes, Healy, Melville 2018, arXiv 1802.03426). Deviations: features are first
    standardised as a whole and reduced to 32 principal components, the layout starts from the
    first two of them instead of a spectral embedding, and neighbours are exact.
    """
    generator = np.random.default_rng(seed)
    index = _choose(len(features), np.asarray(flagged_index, np.int64), generator)
    part = np.nan_to_num(np.asarray(features[index], np.float32), posinf=0.0, neginf=0.0)
    layout = _components(part, seed % 2**32)
    if len(index) >= _FEWEST and layout.any():
        layout = _layout(layout, seed % 2**32)
    return index, layout[:, 0].copy(), layout[:, 1].copy()


def _choose(n: int, flagged: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    flagged = np.unique(flagged)
    if len(flagged) >= MAP_POINTS:
        return np.sort(generator.choice(flagged, MAP_POINTS, replace=False))
    others = np.setdiff1d(np.arange(n), flagged, assume_unique=True)
    room = min(MAP_POINTS - len(flagged), len(others))
    chosen = generator.choice(others, room, replace=False)
    return np.sort(np.concatenate([flagged, chosen])).astype(np.int64)


def _components(features: np.ndarray, seed: int) -> np.ndarray:
    """Project on the leading principal components: (M, D) → (M, ≥2) float32, unit overall scale."""
    from sklearn.decomposition import PCA
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    kept = min(_DIMENSIONS, *features.shape)
    if kept == 0:
        return np.zeros((len(features), 2), np.float32)
    centred = features - features.mean(axis=0, keepdims=True)
    if not centred.any():
        return np.zeros((len(features), 2), np.float32)
    # One thread: another order of summation moves points, and with them the page. The limit binds
    # the libraries loaded by now, so it stands below the imports.
    with threadpool_limits(limits=1):
        solver = PCA(kept, svd_solver="randomized", random_state=seed)
        points = solver.fit_transform(centred / centred.std()).astype(np.float32)
    missing = max(0, 2 - points.shape[1])
    return np.pad(points, ((0, 0), (0, missing)))


def _layout(points: np.ndarray, seed: int) -> np.ndarray:
    """Run UMAP on (M, d) float32 points; returns (M, 2) float32."""
    from sklearn.neighbors import NearestNeighbors
    from threadpoolctl import threadpool_limits

    with warnings.catch_warnings():
        # umap warns at import that its tensorflow variant is missing; we have no use for it.
        warnings.simplefilter("ignore")
        from umap import UMAP, layouts, umap_

    _keep_compiled(umap_, "smooth_knn_dist", "compute_membership_strengths")
    _keep_compiled(layouts, "_nb_optimize_layout_euclidean_single_epoch")
    neighbours = min(_NEIGHBOURS, len(points) - 1)
    start = points[:, :2] / max(float(np.abs(points[:, :2]).max()), 1e-12) * 10
    with threadpool_limits(limits=1), warnings.catch_warnings():
        # Given neighbours, umap warns that new points can not be placed; there are none.
        warnings.simplefilter("ignore", UserWarning)
        # Exact neighbours: at this size as fast as the approximate search, without compiling it.
        search = NearestNeighbors(n_neighbors=neighbours, algorithm="brute").fit(points)
        distances, nearest = search.kneighbors(points)
        model = UMAP(
            n_neighbors=neighbours,
            n_epochs=_EPOCHS,
            min_dist=0.1,
            init=start,
            random_state=seed,
            n_jobs=1,
            precomputed_knn=(nearest, distances.astype(np.float32)),
        )
        return np.asarray(model.fit_transform(points), np.float32)


def _keep_compiled(module: object, *names: str) -> None:
    """Have numba keep the machine code of umap's functions, in its own folder or the user's.

    Compiling them takes 8 of the 10 processor seconds of a map, in every process anew.
    """
    for name in names:
        # Another version of umap may not have them, or compile them otherwise (AttributeError);
        # then they are compiled each time, as where no folder can be written (RuntimeError).
        with contextlib.suppress(AttributeError, RuntimeError):
            getattr(module, name).enable_caching()
