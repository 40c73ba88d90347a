from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from auditor.benching.scoring import auroc, recall_at, upper_bound, wilson

scores = st.lists(st.integers(-3, 3).map(float) | st.just(-math.inf), min_size=1, max_size=12)


def slow_auroc(poisoned: list[float], clean: list[float]) -> float:
    wins = 0.0
    for p in poisoned:
        for c in clean:
            wins += 1.0 if p > c else 0.5 if p == c else 0.0
    return wins / (len(poisoned) * len(clean))


def slow_recall_at(poisoned: list[float], clean: list[float], rate: float) -> float:
    """The best recall of all thresholds whose false-positive rate is at most ``rate``."""
    best = 0.0
    for threshold in [-math.inf, *clean]:
        false = sum(c > threshold for c in clean)
        if false <= rate * len(clean) + 1e-9:
            best = max(best, sum(p > threshold for p in poisoned) / len(poisoned))
    return best


@given(scores, scores)
def test_auroc_is_the_chance_of_ranking_right(poisoned: list[float], clean: list[float]) -> None:
    assert auroc(np.array(poisoned), np.array(clean)) == pytest.approx(slow_auroc(poisoned, clean))


@given(scores, scores, st.sampled_from([0.0, 0.001, 0.01, 0.2, 0.5]))
def test_recall_at_a_false_positive_rate(
    poisoned: list[float], clean: list[float], rate: float
) -> None:
    got = recall_at(np.array(poisoned), np.array(clean), rate)
    assert got == pytest.approx(slow_recall_at(poisoned, clean, rate))


def test_recall_at_counts_no_tie_with_clean_samples() -> None:
    assert recall_at(np.ones(10), np.ones(1000), 0.01) == 0.0


@given(st.integers(0, 50), st.integers(1, 50))
def test_wilson_ends_are_where_the_score_test_rejects(successes: int, trials: int) -> None:
    successes = min(successes, trials)
    low, high = wilson(successes, trials)
    share = successes / trials
    assert 0 <= low <= share <= high <= 1
    for end in (low, high):
        if 0 < end < 1:
            z = abs(share - end) / math.sqrt(end * (1 - end) / trials)
            assert z == pytest.approx(1.959964, abs=1e-4)


def test_wilson_without_trials_knows_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@given(st.integers(0, 20), st.integers(1, 40))
def test_upper_bound_is_where_so_few_events_have_one_chance_in_twenty(
    events: int, trials: int
) -> None:
    bound = upper_bound(events, trials)
    if events >= trials:
        assert bound == 1.0
    else:
        assert stats.binom.cdf(events, trials, bound) == pytest.approx(0.05)


def test_no_alarm_in_300_runs() -> None:
    assert upper_bound(0, 300) == pytest.approx(1 - 0.05 ** (1 / 300))
