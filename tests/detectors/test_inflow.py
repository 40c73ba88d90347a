"""Inflow fires where labels go one way into a class, and stays silent where they go both ways."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judged import fired, hits
from material import material as bare

from auditor.detectors.inflow import INFLOW, chances, flows, inflow, one_way
from auditor.interfaces import InapplicableError, Material

CLASSES = 8
N = 4000


def seen(truth: np.ndarray, seed: int, confused: float = 0.15) -> np.ndarray:
    """(N, K) float32: what a network says that now and then takes a class for its neighbour."""
    rng = np.random.default_rng(seed)
    step = np.where(truth % 2 == 0, 1, -1)
    looks = np.where(rng.random(len(truth)) < confused, truth + step, truth)
    logits = rng.normal(0, 1, (len(truth), CLASSES))
    logits[np.arange(len(truth)), looks] += 5
    odds = np.exp(logits)
    return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)


def material(labels: np.ndarray, truth: np.ndarray, seed: int) -> Material:
    return bare(labels, CLASSES, 1, probabilities=seen(truth, seed))


def classes(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, CLASSES, N)


def fed(truth: np.ndarray, target: int, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels with ``n`` samples of all other classes moved into one, and which they are."""
    rng = np.random.default_rng(seed)
    wrong = np.zeros(len(truth), bool)
    wrong[rng.choice(np.flatnonzero(truth != target), n, replace=False)] = True
    return np.where(wrong, target, truth), wrong


@pytest.mark.parametrize("target", [0, 5])
def test_a_class_that_is_fed_from_all_others_is_named_with_its_samples(target: int) -> None:
    truth = classes(1)
    labels, wrong = fed(truth, target, 240, 2)
    evidence = INFLOW.run(material(labels, truth, 3))
    assert fired(evidence) == {"LBL003": [target]}
    found = evidence["sample"]["inflow_member"].to_numpy() & (labels == target)
    assert found[wrong].mean() >= 0.35
    assert (found & ~wrong).sum() <= 0.2 * found.sum()
    suggested = evidence["sample"]["inflow_suggested"].to_numpy()
    assert (suggested == truth)[found & wrong].mean() >= 0.7


@pytest.mark.parametrize("seed", range(4))
def test_mistakes_that_go_both_ways_or_come_from_one_class_are_silent(seed: int) -> None:
    truth, rng = classes(seed), np.random.default_rng(seed)
    some = rng.random(N) < 0.15
    flipped = np.where(some, rng.integers(0, CLASSES, N), truth)
    nexts = np.where(some, (truth + 1) % CLASSES, truth)
    one = np.where((truth == 1) & (rng.random(N) < 0.4), 2, truth)
    for labels in (truth, flipped, nexts, one):
        assert fired(INFLOW.run(material(labels, truth, seed + 20))) == {}


def test_few_are_not_judged() -> None:
    truth = classes(5)
    labels, _ = fed(truth, 0, 20, 6)
    assert fired(INFLOW.run(material(labels, truth, 7))) == {}


def test_copies_of_one_mistake_are_one_mistake() -> None:
    truth = classes(8)
    labels, wrong = fed(truth, 3, 240, 9)
    made = material(labels, truth, 10)
    first = np.flatnonzero(wrong)[0]
    copies = np.where(wrong, first, -1)
    copies[first] = -1
    assert hits(INFLOW.run(made), "LBL003") == [3]
    assert fired(INFLOW.run(replace(made, duplicate_of=copies))) == {}


@given(st.integers(0, 10_000), st.integers(2, 6))
@settings(max_examples=30, deadline=None)
def test_counts_and_figures_are_their_plain_twins(seed: int, n_classes: int) -> None:
    rng = np.random.default_rng(seed)
    labels, leading = rng.integers(0, n_classes, (2, 60))
    flow = flows(labels, leading, n_classes)
    for a in range(n_classes):
        for b in range(n_classes):
            assert flow[a, b] == sum(
                x == a and y == b for x, y in zip(labels, leading, strict=True)
            )
        others = [b for b in range(n_classes) if b != a]
        coming, going = ([flow[a, b] for b in others], [flow[b, a] for b in others])
        excess, median = inflow(flow, a)
        assert excess == pytest.approx(
            (sum(coming) - sum(going)) / (sum(coming) + sum(going) + 1) ** 0.5
        )
        each = [(c - g) / (c + g + 1) ** 0.5 for c, g in zip(coming, going, strict=True)]
        assert median == pytest.approx(np.median(each))


@given(st.integers(0, 300), st.integers(0, 300))
def test_what_goes_both_ways_cancels(coming: int, going: int) -> None:
    there, back = (float(one_way(np.float64(a), np.float64(b)))
                   for a, b in ((coming, going), (going, coming)))  # fmt: skip
    assert there == -back
    flow = np.array([[0.0, coming], [going, 0.0]])
    chance = float(chances(flow, np.array([0]), np.array([1]))[0])
    assert 0 <= chance < 1
    assert (chance > 0) == (coming > going)


@given(st.integers(0, 1000))
@settings(max_examples=5, deadline=None)
def test_row_order_changes_the_order_alone(seed: int) -> None:
    truth = classes(11)
    labels, _ = fed(truth, 2, 240, 12)
    made = material(labels, truth, 13)
    order = np.random.default_rng(seed).permutation(N)
    mixed = bare(labels[order], CLASSES, 1, probabilities=made.views["probabilities"][order])
    plain, other = INFLOW.run(made), INFLOW.run(mixed)
    assert plain["class"].equals(other["class"])
    scores = plain["sample"]["inflow_score"].to_numpy()[order]
    np.testing.assert_array_equal(scores, other["sample"]["inflow_score"].to_numpy())


def test_three_classes_are_refused_with_a_reason() -> None:
    with pytest.raises(InapplicableError, match="3 classes; needs 4"):
        INFLOW.run(bare(np.arange(90) % 3, 3, 1, probabilities=np.full((90, 3), 1 / 3)))
