import numpy as np
import pytest
from material import material

from auditor.detectors.loss import cross_entropy, measure, robust_score
from auditor.interfaces import InapplicableError
from auditor.tables import check_evidence


def case(n: int = 200):
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.full(3, 0.5), n).astype(np.float32)
    labels = rng.integers(0, 3, n)
    labels[:3] = -1
    fold = (np.arange(n) % 2).astype(np.int8)
    return material(labels, 3, probabilities=probabilities, fold=fold)


def test_loss_matches_the_slow_twin():
    data = case()
    losses = cross_entropy(data.views["probabilities"], data.labels)
    assert np.isnan(losses[:3]).all()
    for row in range(3, 200):
        given = max(float(data.views["probabilities"][row, data.labels[row]]), 1e-6)
        assert losses[row] == pytest.approx(-np.log(given), abs=1e-6)


def test_score_is_in_robust_deviations():
    rng = np.random.default_rng(0)
    scores = robust_score(np.exp(rng.normal(size=20_000)))
    assert np.median(scores) == pytest.approx(0.0, abs=1e-9)
    assert scores.std() == pytest.approx(1.0, rel=0.03)
    assert np.isfinite(robust_score(np.zeros(30))).all()


def test_evidence_is_whole():
    data = case()
    evidence = measure(data)
    check_evidence("loss", evidence)
    assert evidence["sample"]["loss_value"].null_count() == 3
    losses = cross_entropy(data.views["probabilities"], data.labels)
    for label, mean in evidence["class"].rows():
        assert mean == pytest.approx(losses[data.labels == label].mean())


def test_no_labels_is_said():
    with pytest.raises(InapplicableError, match="no sample"):
        measure(
            material(
                np.full(5, -1), 2, probabilities=np.full((5, 2), 0.5), fold=np.zeros(5, np.int8)
            )
        )
