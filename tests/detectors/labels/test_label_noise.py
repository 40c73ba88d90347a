import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.detectors.labels.confidence import (
    confidence_rank,
    confident_disputes,
    even_share,
    noise_pattern,
    read_floor,
    wilson_interval,
)
from auditor.detectors.labels.noise import judge_labels, noise_share

K = 10


def world(n: int, hard: float, flips: float, seed: int) -> tuple[np.ndarray, ...]:
    """A calibrated network on images of varied hardness, and labels with random flips.

    Returns probabilities (n, K) of the noisy label, given labels, true labels, and the probability
    that each label is wrong (n,), which nobody but the world knows.
    """
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, K))
    top = rng.integers(0, K, n)
    logits[np.arange(n), top] += np.where(rng.random(n) < hard, 2.0, 9.0) + rng.normal(size=n)
    clean = np.exp(logits)
    clean /= clean.sum(axis=1, keepdims=True)
    true = (clean.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    other = (true + rng.integers(1, K, n)) % K
    labels = np.where(rng.random(n) < flips, other, true)
    noisy = clean * (1 - flips) + (1 - clean) * flips / (K - 1)
    own = np.arange(n), labels
    oracle = (1 - clean[own]) * flips / (K - 1) / noisy[own]
    return noisy.astype(np.float32), labels, true, oracle


def f1(flagged: np.ndarray, wrong: np.ndarray) -> float:
    return float(2 * (flagged & wrong).sum() / (flagged.sum() + wrong.sum()))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("flips", [0.05, 0.1, 0.2])
def test_random_flips_are_found(flips: float, seed: int):
    probabilities, labels, true, oracle = world(8_000, 0.25, flips, seed)
    judged = judge_labels(probabilities, labels)
    wrong = labels != true
    assert f1(judged.posterior > 0.5, wrong) > 0.8 * f1(oracle > 0.5, wrong) > 0.6
    assert judged.floor.low - 0.01 <= flips <= judged.floor.high + 0.02


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("hard", [0.1, 0.5, 0.9])
def test_hard_but_clean_data_stays_silent(hard: float, seed: int):
    probabilities, labels, _, _ = world(8_000, hard, 0.0, seed)
    assert (judge_labels(probabilities, labels).posterior > 0.5).mean() <= 0.002


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1_000), st.integers(2, 6))
def test_judgement_follows_rows_and_class_numbers(seed: int, n_classes: int):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(n_classes, 0.3), 300)
    random = rng.integers(-1, n_classes, 300)
    labels = np.where(rng.random(300) < 0.8, probabilities.argmax(axis=1), random)
    order, names = rng.permutation(300), rng.permutation(n_classes)
    base = judge_labels(probabilities, labels)
    renamed = np.empty_like(probabilities)
    renamed[:, names] = probabilities
    moved = np.where(labels >= 0, names[np.maximum(labels, 0)], -1)
    again = judge_labels(renamed[order], moved[order])
    assert again.posterior == pytest.approx(base.posterior[order], abs=1e-5, nan_ok=True)
    assert (np.isnan(base.posterior) == np.isnan(base.given)).all()
    inside = base.posterior[~np.isnan(base.posterior)]
    assert ((inside >= 0) & (inside <= 1)).all()


def test_rare_classes_and_missing_labels_are_not_judged():
    probabilities, labels, _, _ = world(500, 0.2, 0.1, 0)
    labels[labels == 4] = 5
    labels[:6] = 4
    labels[6:10] = -1
    judged = judge_labels(probabilities, labels)
    assert np.isnan(judged.posterior[:10]).all()
    assert not np.isnan(judged.posterior[10:]).any()


def test_nothing_to_judge_is_no_error():
    judged = judge_labels(np.full((3, 2), 0.5), np.array([0, 1, -1]))
    assert np.isnan(judged.posterior).all()
    assert judged.floor.high == 1.0


def test_rank_is_within_the_prediction():
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]])
    rank = confidence_rank(probabilities, probabilities.argmax(axis=1))
    assert rank == pytest.approx([2.5 / 3, 0.5 / 3, 0.5, 1.5 / 3])


def test_floor_reads_a_line_at_full_confidence():
    rank = (np.arange(100_000) + 0.5) / 100_000
    rng = np.random.default_rng(0)
    flat = read_floor(rank, rng.random(rank.size) < 0.1)
    assert flat.rate == pytest.approx(0.1, abs=0.01)
    falling = read_floor(rank, rng.random(rank.size) < 0.4 * (1 - rank))
    assert falling.rate < 0.01
    tenths = [(rank >= 0.5 + 0.1 * i) & (rank < 0.6 + 0.1 * i) for i in range(5)]
    disputed = rng.random(rank.size) < 0.3 - 0.2 * rank
    means = [disputed[tenth].mean() for tenth in tenths]
    slope, origin = np.polyfit([0.1, 0.3, 0.5, 0.7, 0.9], means, 1)
    least = min(origin + slope, np.mean(means))
    assert read_floor(rank, disputed).rate == pytest.approx(least, abs=1e-6)


def test_interval_matches_its_definition():
    low, high = wilson_interval(0.1, 200)
    for edge in (low, high):
        assert abs(0.1 - edge) == pytest.approx(1.96 * np.sqrt(edge * (1 - edge) / 200), rel=1e-6)
    assert wilson_interval(0.0, 50)[0] == 0.0


def test_share_matches_a_slow_count():
    """With one bin a share is expected noise over samples; the pattern has unit rows."""
    probabilities, labels, _, _ = world(2_000, 0.3, 0.1, 1)
    predicted = probabilities.argmax(axis=1)
    rank = confidence_rank(probabilities, predicted)
    counts = confident_disputes(rank, predicted, labels, K)
    slow = np.zeros((K, K))
    for r, p, y in zip(rank, predicted, labels, strict=True):
        slow[p, y] += r >= 0.75
    assert (counts == slow).all()
    pattern = noise_pattern(counts, predicted)
    assert pattern[predicted].sum(axis=1).mean() == pytest.approx(1.0)
    assert (np.diag(pattern) == 0).all()
    share = noise_share(probabilities, labels, predicted, pattern, np.full(2_000, 0.1))
    ratio = (
        probabilities[np.arange(2_000), labels]
        / (probabilities @ pattern)[np.arange(2_000), labels]
    )
    ordered = share[np.argsort(ratio)]
    assert (np.diff(ordered) <= 1e-6).all()
    assert share.sum() == pytest.approx(200, rel=0.15)


def test_even_share_tells_flips_from_confusion():
    even = np.full((K, K), 30.0)
    paired = np.full((K, K), 0.0)
    paired[np.arange(K), (np.arange(K) + 1) % K] = 300.0
    assert even_share(even) == pytest.approx(8 / 9, abs=0.12)
    assert even_share(paired) == 0.0
    assert even_share(even / 100) == 1.0


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "least"),
    [("cifar10n-aggre_resnet18", 0.77), ("cifar10-synthetic-noise20-sparsity40_resnet18", 0.94)],
)
def test_published_probabilities(name: str, least: float, data_root: Path):
    with np.load(data_root / "labels" / f"{name}.npz", allow_pickle=False) as data:
        probabilities = data["pred_probs"].astype(np.float32)
        labels, true = data["noisy_label"].astype(np.int64), data["true_label"]
    start = time.process_time()
    judged = judge_labels(probabilities, labels)
    assert time.process_time() - start < 1.0
    assert f1(judged.posterior > 0.5, labels != true) > least


def test_a_network_that_knows_nothing_judges_no_label() -> None:
    rng = np.random.default_rng(5)
    probabilities = rng.dirichlet(np.ones(10), 3000).astype(np.float32)
    judgement = judge_labels(probabilities, rng.integers(0, 10, 3000))
    assert judgement.floor.rate > 0.45
    assert np.isnan(judgement.posterior).all()
