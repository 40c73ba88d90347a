"""Implausible labels: each formula beside its plain twin."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.detectors.labels.implausible import (
    BINS,
    DEPTH,
    LEAST_ODDS,
    Odds,
    content_odds,
    implausible,
    judge,
    precedence,
    spread,
)

seeds = st.integers(0, 10_000)


def answers(seed: int, n: int, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels, some missing, and probabilities with ties."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, n_classes, n)
    raw = rng.integers(0, 6, (n, n_classes)) + 0.1
    return labels, raw / raw.sum(axis=1, keepdims=True)


@given(seeds, st.integers(2, 60), st.integers(2, 5))
@settings(max_examples=40, deadline=None)
def test_implausible_is_its_plain_twin(seed: int, n: int, n_classes: int) -> None:
    labels, probabilities = answers(seed, n, n_classes)
    found = implausible(labels, probabilities)
    for i in range(n):
        k = int(labels[i])
        others = [j for j in range(n) if labels[j] >= 0 and labels[j] != k]
        if k < 0 or not others:
            assert not found[i]
            continue
        bound = np.quantile([probabilities[j, k] for j in others], DEPTH)
        leads = all(probabilities[i, k] >= p for p in probabilities[i]) and (
            probabilities[i].argmax() == k
        )
        assert found[i] == (not leads and probabilities[i, k] <= bound)


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_rows_and_classes_may_come_in_any_order(seed: int) -> None:
    labels, probabilities = answers(seed, 50, 4)
    rng = np.random.default_rng(seed)
    rows, classes = rng.permutation(50), rng.permutation(4)
    # Ties of the leading class are broken by its number; without them it does not matter.
    probabilities = probabilities + rng.random((50, 4)) * 1e-6
    renamed = np.where(labels < 0, -1, np.argsort(classes)[np.maximum(labels, 0)])
    plain = implausible(labels, probabilities)
    np.testing.assert_array_equal(
        implausible(renamed[rows], probabilities[:, classes][rows]), plain[rows]
    )


@given(seeds, st.integers(0, 12), st.integers(0, 12))
@settings(max_examples=60, deadline=None)
def test_precedence_counts_pairs(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, 5, n) / 4, rng.integers(0, 5, m) / 4
    if n == 0 or m == 0:
        assert precedence(first, second) == 0.5
        return
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in first for b in second]
    assert precedence(first, second) == pytest.approx(sum(pairs) / len(pairs))
    assert precedence(first, second) + precedence(second, first) == pytest.approx(1)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40))
@settings(max_examples=40, deadline=None)
def test_spread_is_one_over_the_chance_of_a_pair_of_one_class(leading: list[int]) -> None:
    same = sum(a == b for a in leading for b in leading) / len(leading) ** 2
    assert spread(np.array(leading), 7) == pytest.approx(1 / same)


@given(seeds, st.integers(1, 60), st.integers(0, 60))
@settings(max_examples=30, deadline=None)
def test_content_odds_are_counts_in_bins(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    own, others = rng.integers(0, 9, n) / 9, rng.integers(0, 9, m) / 9
    odds = content_odds(own, others)
    edges = sorted({float(np.quantile(own, b / BINS)) for b in range(1, BINS)})
    place = [sum(value >= edge for edge in edges) for value in own]
    assert odds.bins.tolist() == place
    for b in range(len(edges) + 1):
        assert odds.all[b] == pytest.approx(place.count(b) / n)
        strange = sum(sum(value >= edge for edge in edges) == b for value in others)
        assert odds.wrong[b] == pytest.approx(strange / max(m, 1))


@given(seeds, st.floats(0.01, 0.9))
@settings(max_examples=30, deadline=None)
def test_what_is_not_wrong_is_rightful(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    odds = content_odds(rng.random(50), rng.random(80) ** 3)
    logs = odds.log_ratio(share)
    for i, b in enumerate(odds.bins):
        wrong, every = odds.wrong[b], odds.all[b]
        rightful = max(every - share * wrong, LEAST_ODDS * wrong) / (1 - share)
        if wrong:
            assert logs[i] == pytest.approx(math.log(wrong / rightful), abs=1e-6)


def judge_twin(predictions: list[float], chance: list[float], odds: Odds) -> list[float]:
    n = len(predictions)
    share = min(max(sum(chance) / n, 0.01), 0.9)
    high = sum(c * p for c, p in zip(chance, predictions, strict=True)) / sum(chance)
    low = sum((1 - c) * p for c, p in zip(chance, predictions, strict=True)) / (n - sum(chance))
    variance = (
        sum(
            c * (p - high) ** 2 + (1 - c) * (p - low) ** 2
            for c, p in zip(chance, predictions, strict=True)
        )
        / n
    )
    logs = odds.log_ratio(share)
    judged = []
    for p, log in zip(predictions, logs, strict=True):
        shared = 0.0
        if high > low:  # two normal densities of one variance
            shared = ((p - low) ** 2 - (p - high) ** 2) / (2 * variance)
        judged.append(1 / (1 + math.exp(-(math.log(share / (1 - share)) + shared + log))))
    return judged


@given(seeds, st.integers(5, 40))
@settings(max_examples=40, deadline=None)
def test_judge_is_its_plain_twin(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    predictions, chance = rng.normal(0, 0.3, n), rng.uniform(0.05, 0.95, n)
    odds = content_odds(rng.random(n), rng.random(30) ** 2)
    expected = judge_twin(predictions.tolist(), chance.tolist(), odds)
    np.testing.assert_allclose(judge(predictions, chance, odds), expected, rtol=1e-6, atol=1e-9)


def test_judge_finds_the_two_parts_of_a_class() -> None:
    rng = np.random.default_rng(0)
    wrong = np.arange(1000) < 300
    predictions = rng.normal(0, 1, 1000) + 2 * wrong
    own = np.where(wrong, rng.beta(1, 8, 1000), rng.beta(4, 2, 1000))
    odds = content_odds(own, rng.beta(1, 8, 5000))
    chance = np.where(own < 0.1, 0.7, 0.0)
    for _ in range(6):
        chance = judge(predictions, chance, odds)
    assert chance.mean() == pytest.approx(0.3, abs=0.03)
    assert (chance[wrong] > 0.8).mean() > 0.75
    assert (chance[~wrong] > 0.8).mean() < 0.02
    # A chance of p comes true in p of the cases.
    sure = chance > 0.5
    assert wrong[sure].mean() == pytest.approx(chance[sure].mean(), abs=0.1)


def test_judge_stays_finite_where_nothing_varies() -> None:
    flat = judge(np.zeros(30), np.zeros(30), content_odds(np.ones(30), np.zeros(0)))
    assert np.isfinite(flat).all()
    assert (flat < 0.5).all()
