import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from material import activations, material

from auditor.detectors.populations.subpopulation import (
    MIN_BLOCK,
    MIN_MINOR,
    best_split,
    class_blocks,
    leading,
    second_moment,
    whitener,
)
from auditor.detectors.spectral import measure, squared_projection
from auditor.interfaces import InapplicableError
from auditor.tables import check_evidence


def slow_split(values: np.ndarray) -> float:
    ordered = np.sort(values)
    best = 0.0
    for cut in range(MIN_MINOR, len(ordered) - MIN_MINOR + 1):
        low, high = ordered[:cut], ordered[cut:]
        spread = low.std() + high.std()
        if high.mean() > low.mean() and spread > 0:
            best = max(best, (high.mean() - low.mean()) / spread)
    return best


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(2 * MIN_MINOR, 120))
def test_split_matches_the_slow_twin(seed: int, n: int):
    values = np.random.default_rng(seed).gamma(1.0, 1.0, n)
    assert best_split(values).separation == pytest.approx(slow_split(values), rel=1e-6)


def test_split_finds_the_far_group_and_ignores_sign_and_scale():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(size=970), rng.normal(12, 1, 30)])
    split = best_split(values)
    assert split.separation > 5
    assert np.flatnonzero(split.minor).tolist() == list(range(970, 1000))
    turned = best_split(-7 * values + 3)
    assert turned.separation == pytest.approx(split.separation)
    assert (turned.minor == split.minor).all()
    assert best_split(np.full(100, 3.0)).separation == 0.0


def test_single_populations_do_not_stand_apart():
    rng = np.random.default_rng(0)
    for draw in (rng.normal, rng.exponential, rng.laplace, rng.uniform):
        assert best_split(draw(size=2_500)).separation < 3.6


def test_projection_matches_the_singular_value_decomposition():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 8)).astype(np.float32) * np.arange(1, 9, dtype=np.float32)
    rows -= rows.mean(axis=0)
    _, values, vectors = np.linalg.svd(rows, full_matrices=False)
    projection, squared, gap = squared_projection(rows, second_moment(rows))
    assert np.abs(projection) == pytest.approx(np.abs(rows @ vectors[0]), rel=1e-3, abs=1e-3)
    assert squared.mean() == pytest.approx(1.0)
    assert gap == pytest.approx((values[0] / values[1]) ** 2, rel=1e-3)


def test_whitened_projection_matches_that_of_whitened_rows():
    rng = np.random.default_rng(1)
    rows = (rng.normal(size=(400, 12)) * np.arange(1, 13)).astype(np.float32)
    rows -= rows.mean(axis=0)
    half = rng.normal(size=(12, 12))
    root = (half @ half.T / 12 + np.eye(12)).astype(np.float32)
    slow = rows @ root
    _, values, vectors = np.linalg.svd(slow, full_matrices=False)
    projection, squared, gap = squared_projection(rows, second_moment(rows), root)
    assert np.abs(projection) == pytest.approx(np.abs(slow @ vectors[0]), rel=1e-3, abs=1e-2)
    assert squared == pytest.approx(projection**2 / np.mean(projection**2), rel=1e-4, abs=1e-6)
    assert gap == pytest.approx((values[0] / values[1]) ** 2, rel=1e-3)


@settings(deadline=None)
@given(st.integers(0, 1_000), st.sampled_from([3, 40, 150]), st.sampled_from([1, 2, 10]))
def test_leading_matches_the_full_decomposition(seed: int, width: int, count: int):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(300, width)) * rng.gamma(1.0, 1.0, width)
    gram = rows.T @ rows
    every, _ = np.linalg.eigh(gram)
    values, vectors = leading(gram, count)
    assert values == pytest.approx(every[-count:], rel=1e-6)
    residual = gram @ vectors - vectors * values
    assert np.abs(residual).max() <= 1e-5 * every[-1]


@pytest.mark.parametrize("gram", [np.zeros((200, 200)), np.eye(200), np.diag([1.0] + [0.0] * 199)])
def test_leading_of_degenerate_matrices(gram: np.ndarray):
    values, vectors = leading(gram, 2)
    assert values[-1] == pytest.approx(gram.max())
    assert gram @ vectors == pytest.approx(vectors * values, abs=1e-9)


@settings(deadline=None)
@given(st.integers(0, 1_000), st.integers(2, 5))
def test_blocks_match_a_slow_count(seed: int, n_classes: int):
    rng = np.random.default_rng(seed)
    n = 600
    labels = rng.integers(-1, n_classes, n)
    fold = rng.integers(0, 2, n).astype(np.int8)
    probabilities = rng.dirichlet(np.ones(n_classes), n)
    agree = rng.random(n) < 0.8
    probabilities[agree, np.maximum(labels[agree], 0)] += 2.0
    data = material(labels, n_classes, probabilities=probabilities, fold=fold)
    slow = [
        (k, f, rows.tolist())
        for f in (0, 1)
        for k in range(n_classes)
        if (rows := np.flatnonzero((probabilities.argmax(1) == labels) & (labels == k)
                                   & (fold == f))).size >= MIN_BLOCK
    ]  # fmt: skip
    if slow:
        assert [(b.label, b.fold, b.index.tolist()) for b in class_blocks(data)] == slow


def test_scores_ignore_rotation_and_translation():
    labels, features, probabilities, fold = activations(800, 4, 0)
    views = {"probabilities": probabilities, "fold": fold}
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(24, 24)))[0]
    base = measure(material(labels, 4, penultimate=features.astype(np.float64), **views))
    turned = measure(material(labels, 4, penultimate=features @ turn + 2.0, **views))
    for name in ("spectral_plain", "spectral_score"):
        first, second = base["sample"][name].to_numpy(), turned["sample"][name].to_numpy()
        assert second == pytest.approx(first, rel=0.02, abs=0.02)


def test_whitening_makes_the_pooled_covariance_one():
    labels, features, probabilities, fold = activations(2_000, 2, 0)
    data = material(labels, 2, penultimate=features, probabilities=probabilities, fold=fold)
    blocks = [block for block in class_blocks(data) if block.fold == 0]
    root = whitener(features, blocks)
    rows = np.concatenate(
        [features[b.index] - features[b.index].astype(np.float32).mean(axis=0) for b in blocks]
    )
    covariance = np.cov((rows @ root).T, bias=True)
    assert np.abs(covariance - np.eye(24)).max() < 0.3


def test_a_hidden_population_is_found_and_clean_classes_are_silent():
    labels, features, probabilities, fold = activations(4_000, 4, 0)
    poison = np.flatnonzero(labels == 1)[:80]
    shifted = features.copy()
    direction = np.random.default_rng(3).normal(size=24)
    shifted[poison] += 14 * direction / np.linalg.norm(direction)
    views = {"probabilities": probabilities, "fold": fold}
    clean = measure(material(labels, 4, penultimate=features, **views))
    check_evidence("spectral", clean)
    assert clean["class"]["spectral_separation"].max() < 4
    found = measure(material(labels, 4, penultimate=shifted, **views))
    separation = found["class"]["spectral_separation"].to_numpy()
    assert separation.argmax() == 1
    assert separation[1] > 4
    minority = found["sample"]["spectral_minority"].to_numpy() & (labels == 1)
    assert np.flatnonzero(minority).tolist() == poison.tolist()


def test_disputed_samples_and_small_classes_are_null():
    labels, features, probabilities, fold = activations(400, 2, 0)
    probabilities[0] = probabilities[0, ::-1]
    labels[1] = -1
    views = {"penultimate": features, "probabilities": probabilities, "fold": fold}
    sample = measure(material(labels, 2, **views))["sample"]
    assert sample["spectral_score"].is_null().to_numpy()[:4].tolist() == [True, True, False, False]
    with pytest.raises(InapplicableError, match="60 samples"):
        measure(material(labels[:100], 2, **{k: v[:100] for k, v in views.items()}))
