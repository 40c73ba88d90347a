import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.detectors.labels import second_opinion
from auditor.detectors.labels.second_opinion import both_opinions, combine, ridge_scores, softmax


def slow_scores(features: np.ndarray, labels: np.ndarray, n_classes: int) -> np.ndarray:
    """Each sample predicted by a fit from which its label, not its place, was taken out."""
    rows = features - features.mean(axis=0)
    gram = rows.T @ rows
    inverse = np.linalg.inv(gram + 0.01 * np.trace(gram) / len(gram) * np.eye(len(gram)))
    hat = rows @ inverse @ rows.T + 1 / len(rows)
    targets = np.eye(n_classes)[labels]
    scores = np.empty((len(rows), n_classes))
    for i in range(len(rows)):
        others = [k for k in range(len(rows)) if k != i]
        scores[i] = sum(hat[i, k] * targets[k] for k in others) / (1 - hat[i, i])
    return scores


def blobs(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    return np.eye(3)[labels] @ rng.normal(size=(3, 6)) * 2 + rng.normal(size=(n, 6)), labels


def test_scores_match_the_slow_twin():
    features, labels = blobs(60, 0)
    assert ridge_scores(features, labels, 3) == pytest.approx(
        slow_scores(features, labels, 3), abs=1e-5
    )


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 1_000))
def test_scores_ignore_rotation_translation_and_row_order(seed: int):
    features, labels = blobs(80, seed)
    rng = np.random.default_rng(seed)
    base = ridge_scores(features, labels, 3)
    turned = features @ np.linalg.qr(rng.normal(size=(6, 6)))[0] + 3.0
    assert ridge_scores(turned, labels, 3) == pytest.approx(base, abs=1e-4)
    order = rng.permutation(80)
    assert ridge_scores(features[order], labels[order], 3) == pytest.approx(base[order], abs=1e-5)


def test_scores_do_not_depend_on_blocks(monkeypatch):
    features, labels = blobs(100, 3)
    base = ridge_scores(features, labels, 3)
    monkeypatch.setattr(second_opinion, "BLOCK", 7)
    assert ridge_scores(features, labels, 3) == pytest.approx(base, abs=1e-6)


def test_unlabelled_samples_are_predicted_and_not_learnt_from():
    features, labels = blobs(90, 4)
    hidden = labels.copy()
    hidden[:20] = -1
    scores = ridge_scores(features, hidden, 3)
    assert (scores[:20].argmax(axis=1) == labels[:20]).mean() > 0.7
    assert scores[20:] == pytest.approx(ridge_scores(features[20:], labels[20:], 3), abs=1e-5)


def test_weights_are_the_likeliest():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 400)
    first = np.log(softmax(np.eye(3)[labels] * 1.0 + rng.normal(size=(400, 3))))
    second = np.eye(3)[labels] * 0.5 + rng.normal(size=(400, 3)) * 0.5

    def loss(table: np.ndarray) -> float:
        return float(-np.log(table[np.arange(400), labels]).mean())

    best = loss(combine(first, second, labels))
    grid = [
        loss(softmax(a * first + b * second))
        for a in np.linspace(0, 3, 31)
        for b in np.linspace(0, 6, 61)
    ]
    assert best == pytest.approx(min(grid), abs=2e-3)
    assert best < loss(softmax(first))


def test_without_labels_the_first_opinion_stands():
    probabilities = np.array([[0.7, 0.3], [0.2, 0.8]], np.float32)
    none = np.full(2, -1)
    fold = np.zeros(2, np.int8)
    mixed = both_opinions(probabilities, np.eye(2, dtype=np.float16), fold, none)
    assert mixed == pytest.approx(probabilities, abs=1e-4)


def test_two_opinions_are_right_more_often_than_one():
    rng = np.random.default_rng(1)
    features, labels = blobs(2_000, 1)
    probabilities = softmax(np.eye(3)[labels] * 1.2 + rng.normal(size=(2_000, 3)))
    fold = (np.arange(2_000) % 2).astype(np.int8)
    mixed = both_opinions(probabilities.astype(np.float32), features, fold, labels)
    alone = max(
        (probabilities.argmax(axis=1) == labels).mean(),
        (ridge_scores(features, labels, 3).argmax(axis=1) == labels).mean(),
    )
    assert (mixed.argmax(axis=1) == labels).mean() > alone
    assert mixed.sum(axis=1) == pytest.approx(np.ones(2_000), abs=1e-5)
