import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.detectors.populations.separation import Tail, apart, beyond, continued, usual_share

TAIL = Tail(2.5, 1.0)


def test_tails_match_their_definition():
    assert beyond(np.array([2.5, 3.5, 4.5, -9.0]), TAIL) == pytest.approx([1e-2, 1e-3, 1e-4, 1.0])
    values = np.random.default_rng(0).exponential(1.0, 200_000)
    for t in (3.0, 5.0, 8.0):
        share = continued(np.append(values, t))[-1]
        assert share == pytest.approx(np.exp(-t), rel=0.3)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1_000))
def test_share_matches_a_slow_count(seed: int):
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(1, 1, 60) + 5 * (rng.random(60) < 0.2), 1)
    share = beyond(values, TAIL)
    slow = np.ones(60)
    for i in range(60):
        for j in range(60):
            counted = (values >= values[j]).sum()
            if values[j] <= values[i] and counted >= 5:
                slow[i] = min(slow[i], 60 * share[j] / counted)
    found = usual_share(values, share)
    assert found == pytest.approx(slow)
    order = rng.permutation(60)
    assert usual_share(values[order], share[order]) == pytest.approx(found[order])


def test_a_group_counts_and_a_few_do_not():
    rng = np.random.default_rng(1)
    values = rng.normal(0, 1, 10_000)
    assert apart(values, TAIL).max() < 0.9
    values[:4] = 9.0
    assert apart(values, TAIL).max() < 0.9
    values[:30] = rng.normal(6, 0.2, 30)
    found = apart(values, TAIL) > 0.9
    assert found[:30].all()
    assert found[30:].sum() <= 0.1 * found.sum()


def test_a_large_group_does_not_hide_itself():
    rng = np.random.default_rng(2)
    values = rng.normal(0, 1, 10_000)
    values[:800] = rng.normal(6, 0.2, 800)
    found = apart(values, TAIL) > 0.9
    assert found[:800].all()
    assert found[800:].sum() < 0.1 * found.sum()
