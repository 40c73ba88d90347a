"""Exact tests against slow twins and against scipy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from auditor.provenance import enrichment
from auditor.provenance.enrichment import counts, holm, stratified_p


def slow_p(total: list[int], marked: list[int], drawn: list[int], seen: int) -> float:
    """Every way to draw, counted one by one."""
    outcomes = []
    for size, hits, n in zip(total, marked, drawn, strict=True):
        items = [1] * hits + [0] * (size - hits)
        outcomes.append([sum(pick) for pick in itertools.combinations(items, n)])
    sums = [sum(pick) for pick in itertools.product(*outcomes)]
    return float(np.mean([one >= seen for one in sums]))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_against_enumeration(data: st.DataObject) -> None:
    n_strata = data.draw(st.integers(1, 3))
    total = [data.draw(st.integers(1, 6)) for _ in range(n_strata)]
    marked = [data.draw(st.integers(0, size)) for size in total]
    drawn = [data.draw(st.integers(0, size)) for size in total]
    seen = data.draw(st.integers(0, sum(drawn)))
    fast = stratified_p(np.array(total), np.array(marked), np.array(drawn), seen)
    assert fast == pytest.approx(slow_p(total, marked, drawn, seen), abs=1e-9)


def test_one_class_is_fishers_test() -> None:
    expected = fisher_exact([[8, 2], [20, 970]], alternative="greater").pvalue
    found = stratified_p(np.array([1000]), np.array([28]), np.array([10]), 8)
    assert found == pytest.approx(expected, rel=1e-6)


def test_large_groups_by_mean_and_variance(monkeypatch: pytest.MonkeyPatch) -> None:
    args = (np.array([4000, 6000]), np.array([900, 1500]), np.array([400, 500]), 245)
    exact = stratified_p(*args)
    monkeypatch.setattr(enrichment, "MAX_WORK", 0)
    assert stratified_p(*args) == pytest.approx(exact, rel=0.1)
    assert 1e-4 < exact < 0.5


def test_a_whole_class_from_one_source_says_nothing() -> None:
    assert stratified_p(np.array([50, 950]), np.array([50, 0]), np.array([50, 0]), 50) == 1.0


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])


def test_counts() -> None:
    strata = np.array([0, 1, 1, 2])
    assert counts(strata, np.array([True, True, False, False]), 4).tolist() == [1, 1, 0, 0]
