import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.detectors.labels.noise import judge_labels
from auditor.detectors.labels.pattern import (
    TAIL,
    even_rate,
    is_proven,
    mean_rate,
    one_way_rates,
    relative,
    tail_disputes,
    tail_floor,
    tail_rank,
)

K = 5


def weak_world(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A network that is right on two thirds, and confuses classes 0 and 1 both ways."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, K)) * 1.5
    top = rng.integers(0, K, n)
    logits[np.arange(n), top] += rng.gamma(2.0, 1.2, n)
    alike = top < 2
    logits[alike, 1 - top[alike]] += 1.5
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    true = (probabilities.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return probabilities.astype(np.float32), true


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1_000))
def test_rank_matches_a_slow_count(seed: int):
    rng = np.random.default_rng(seed)
    probabilities = rng.integers(1, 6, (60, 3)) / 6.0
    predicted, labels = probabilities.argmax(axis=1), rng.integers(0, 3, 60)
    slow = np.ones(60)
    for n in range(60):
        if predicted[n] == labels[n]:
            continue
        alike = [m for m in range(60) if predicted[m] == predicted[n]]
        own = probabilities[n, labels[n]]
        less = sum(probabilities[m, labels[n]] < own for m in alike)
        equal = sum(probabilities[m, labels[n]] == own for m in alike)
        slow[n] = (less + equal / 2) / len(alike)
    assert tail_rank(probabilities, predicted, labels) == pytest.approx(slow)


def test_floor_is_the_line_at_rank_zero():
    rng = np.random.default_rng(0)
    n = 40_000
    rank = np.where(rng.random(n) < 0.3, rng.random(n), 1.0)
    rates = [((rank >= s) & (rank < s + 0.1)).sum() / n / 0.1 for s in (0.0, 0.1, 0.2, 0.3, 0.4)]
    _, origin = np.polyfit([0.05, 0.15, 0.25, 0.35, 0.45], rates, 1)
    floor = tail_floor(rank)
    assert floor.rate == pytest.approx(min(origin, np.mean(rates)), abs=1e-9)
    assert floor.low < 0.3 < floor.high
    draws = [tail_floor(np.where(rng.random(n) < 0.3, rng.random(n), 1.0)) for _ in range(40)]
    spread = np.std([draw.rate for draw in draws])
    # The mean caps the line, so the spread is that of the smaller of the two.
    assert 0.4 < spread / ((floor.high - floor.low) / 3.92) < 1.3
    assert tail_floor(np.ones(100)).rate == 0.0
    assert is_proven(floor)
    assert not is_proven(tail_floor(np.ones(100)))


def test_one_way_rates_match_a_slow_twin():
    rng = np.random.default_rng(1)
    disputes = rng.poisson(3, (4, 4)).astype(float)
    disputes[0, 1], disputes[2, 3], disputes[3, 2] = 60, 50, 45
    np.fill_diagonal(disputes, 0)
    predicted = np.repeat([0, 1, 2, 3], [900, 700, 500, 800])
    size = [TAIL * k for k in (900, 700, 500, 800)]
    slow = np.zeros((4, 4))
    for j in range(4):
        taken, lent = sum(disputes[:, j]), sum(disputes[j])
        surplus, error = taken - 2 * lent, np.sqrt(taken + 4 * lent + 1)
        column = (surplus - error) / (sum(size) - size[j]) if surplus >= 2 * error else 0.0
        for i in range(4):
            if i == j:
                continue
            scale = 2 * max(1, size[i] / size[j])
            excess = disputes[i, j] - max(scale * disputes[j, i], column * size[i])
            error = np.sqrt(disputes[i, j] + scale**2 * disputes[j, i] + 1)
            slow[i, j] = column + ((excess - error) / size[i] if excess >= 2 * error else 0.0)
    found = one_way_rates(disputes, predicted, 2.0)
    assert found == pytest.approx(slow)
    assert found[0, 1] > 0.1
    assert found[2, 3] == found[3, 2] == 0.0
    assert even_rate(disputes, predicted) > 0
    assert mean_rate(relative(found, predicted), predicted) == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(4))
def test_a_weak_network_flags_nothing_of_clean_data(seed: int):
    probabilities, labels = weak_world(10_000, seed)
    assert 0.6 < (probabilities.argmax(axis=1) == labels).mean() < 0.8
    assert (judge_labels(probabilities, labels).posterior > 0.5).mean() <= 0.003


@pytest.mark.parametrize("seed", range(4))
def test_a_class_relabelled_as_another_is_found_by_its_direction(seed: int):
    probabilities, true = weak_world(10_000, seed)
    rng = np.random.default_rng(seed)
    labels = true.copy()
    moved = rng.permutation(np.flatnonzero(true == 2))[:400]
    labels[moved] = 4
    noisy = probabilities.copy()
    noisy[:, 4] += 0.2 * noisy[:, 2]
    noisy[:, 2] *= 0.8
    judged = judge_labels(noisy, labels)
    flagged = judged.posterior > 0.5
    assert flagged[moved].mean() > 0.3
    assert np.isin(np.flatnonzero(flagged), moved).mean() > 0.7
    tail = tail_rank(noisy, judged.suggested, labels)
    disputes = tail_disputes(tail, judged.suggested, labels, K)
    rates = one_way_rates(disputes, judged.suggested, 4.0)
    assert np.unravel_index(rates.argmax(), rates.shape) == (2, 4)


@pytest.mark.parametrize("rate", [0.1, 0.2])
def test_the_posterior_of_a_weak_network_means_what_it_says(rate: float):
    expected, wrong = [], []
    for seed in range(4):
        probabilities, true = weak_world(10_000, seed)
        rng = np.random.default_rng(100 + seed)
        flip = rng.random(true.size) < rate
        labels = np.where(flip, (true + rng.integers(1, K, true.size)) % K, true)
        noisy = probabilities * (1 - rate) + (1 - probabilities) * rate / (K - 1)
        judged = judge_labels(noisy, labels)
        expected.append(judged.posterior)
        wrong.append(labels != true)
    expected, wrong = np.concatenate(expected), np.concatenate(wrong)
    for low, high in ((0.1, 0.3), (0.3, 0.5), (0.5, 0.75), (0.75, 1.01)):
        inside = (expected >= low) & (expected < high)
        if inside.sum() > 200:
            assert abs(expected[inside].mean() - wrong[inside].mean()) < 0.15
