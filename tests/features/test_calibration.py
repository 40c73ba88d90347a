import numpy as np
import pytest

from auditor.features.calibration import fit_temperature, softmax


def slow_loss(logits: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    total = 0.0
    for row, label in zip(logits, labels, strict=True):
        weights = np.exp(row / temperature)
        total -= np.log(weights[label] / weights.sum())
    return total / len(labels)


def test_temperature_is_the_likeliest():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(400, 4)) * 3
    labels = np.array(
        [
            rng.choice(
                4,
                p=softmax(row[None] / 2.0)[0].astype(float)
                / softmax(row[None] / 2.0)[0].astype(float).sum(),
            )
            for row in logits
        ]
    )
    best = fit_temperature(logits, labels)
    grid = np.exp(np.linspace(-2, 2, 81))
    losses = [slow_loss(logits, labels, value) for value in grid]
    assert slow_loss(logits, labels, best) <= min(losses) + 1e-6
    assert best == pytest.approx(2.0, rel=0.25)


def test_unlabelled_rows_do_not_count():
    logits = np.array([[2.0, 0.0], [0.0, 1.0], [5.0, 0.0]])
    assert fit_temperature(logits, np.array([-1, -1, -1])) == 1.0
    with_extra = fit_temperature(logits, np.array([0, 0, -1]))
    assert with_extra == fit_temperature(logits[:2], np.array([0, 0]))


def test_softmax_survives_large_logits():
    found = softmax(np.array([[1e4, 0.0], [-1e4, -1e4]]))
    assert found.tolist() == [[1.0, 0.0], [0.5, 0.5]]
