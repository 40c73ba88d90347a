import numpy as np
import pytest
from material import material

from auditor.detectors.label_consistency import LABEL_CONSISTENCY, measure
from auditor.detectors.labels import neighbours
from auditor.detectors.labels.neighbours import neighbour_agreement
from auditor.interfaces import InapplicableError
from auditor.tables import check_evidence


def slow_agreement(features: np.ndarray, labels: np.ndarray, k: int = 10) -> np.ndarray:
    rows = features - features.mean(axis=0)
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    result = []
    for i in range(len(rows)):
        similarity = rows @ rows[i]
        similarity[i] = -np.inf
        nearest = np.argsort(-similarity)[:k]
        result.append((labels[nearest] == labels[i]).mean())
    return np.array(result)


def flipped(n: int, rate: float, seed: int):
    rng = np.random.default_rng(seed)
    true = np.arange(n) % 4
    labels = np.where(rng.random(n) < rate, (true + rng.integers(1, 4, n)) % 4, true)
    features = np.eye(4)[true] * 4 + rng.normal(size=(n, 4))
    logits = features * 1.5
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    probabilities = probabilities * (1 - rate * 4 / 3) + rate / 3
    return material(
        labels,
        4,
        probabilities=probabilities.astype(np.float32),
        penultimate=features.astype(np.float16),
        fold=(np.arange(n) // 4 % 2).astype(np.int8),
    ), true


def test_agreement_matches_the_slow_twin():
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(90, 6)), rng.integers(0, 3, 90)
    found = neighbour_agreement(features, labels, rng)
    assert found == pytest.approx(slow_agreement(features, labels), abs=1e-6)


def test_agreement_ignores_rotation_and_translation():
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(90, 6)), rng.integers(0, 3, 90)
    turned = features @ np.linalg.qr(rng.normal(size=(6, 6)))[0] + 5.0
    assert neighbour_agreement(turned, labels, rng) == pytest.approx(
        neighbour_agreement(features, labels, rng), abs=1e-6
    )


def test_agreement_with_few_references(monkeypatch):
    monkeypatch.setattr(neighbours, "MAX_REFERENCE", 40)
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2
    features = labels[:, None] * 10.0 + rng.normal(size=(200, 3))
    assert neighbour_agreement(features, labels, rng).mean() > 0.95
    assert np.isnan(neighbour_agreement(features[:1], labels[:1], rng)).all()


def test_flipped_labels_are_found_with_their_true_class():
    data, true = flipped(4_000, 0.1, 0)
    evidence = measure(data)
    for scope in evidence:
        assert scope in ("sample", "class", "dataset")
    check_evidence("label_consistency", evidence)
    sample = evidence["sample"]
    wrong = data.labels != true
    flagged = sample["label_consistency_posterior"].to_numpy() > 0.5
    assert 2 * (flagged & wrong).sum() / (flagged.sum() + wrong.sum()) > 0.9
    suggested = sample["label_consistency_suggested"].to_numpy()
    assert (suggested[flagged] == true[flagged]).mean() > 0.9
    near = sample["label_consistency_neighbours"].to_numpy()
    assert near[wrong].mean() < 0.2 < 0.7 < near[~wrong].mean()
    row = evidence["dataset"].row(0, named=True)
    assert row["label_consistency_noise_low"] < 0.1 < row["label_consistency_noise_high"] + 0.02
    assert evidence["class"]["label_consistency_noise_rate"].max() < 0.2


def test_confused_class_is_named():
    data, _ = flipped(4_000, 0.0, 1)
    labels = data.labels.copy()
    moved = np.flatnonzero(labels == 0)[:200]
    labels[moved] = 2
    table = measure(material(labels, 4, **data.views))["class"]
    row = table.row(2, named=True)
    assert row["label"] == 2
    assert row["label_consistency_confused_with"] == 0
    assert row["label_consistency_confused_share"] > 0.1


def test_too_few_labels_are_said():
    data, _ = flipped(40, 0.0, 0)
    with pytest.raises(InapplicableError, match="20 samples"):
        measure(data)
    assert LABEL_CONSISTENCY.needs == {"probabilities", "penultimate", "fold", "labels"}
