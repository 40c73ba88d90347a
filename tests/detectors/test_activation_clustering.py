import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from material import activations, material
from sklearn.metrics import silhouette_score

from auditor.detectors.activation_clustering import (
    cluster,
    mean_silhouette,
    measure,
    principal_components,
)
from auditor.tables import check_evidence


def test_components_match_the_singular_value_decomposition():
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(300, 15)) * np.arange(1, 16)).astype(np.float32)
    rows -= rows.mean(axis=0)
    _, _, vectors = np.linalg.svd(rows, full_matrices=False)
    expected = np.sort(np.abs(rows @ vectors[:10].T), axis=1)
    assert np.sort(np.abs(principal_components(rows, 10)), axis=1) == pytest.approx(
        expected, abs=2e-2
    )


@settings(deadline=None)
@given(st.integers(0, 1_000), st.integers(1, 40))
def test_silhouette_matches_the_definition(seed: int, n_minor: int):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(60, 3)).astype(np.float32)
    minor = np.zeros(60, bool)
    minor[rng.choice(60, n_minor, replace=False)] = True
    assert mean_silhouette(rows, minor) == pytest.approx(silhouette_score(rows, minor), abs=1e-5)
    assert mean_silhouette(rows, np.zeros(60, bool)) == 0.0


def test_two_populations_stand_apart_and_one_does_not():
    rng = np.random.default_rng(0)
    one = rng.normal(size=(600, 12)).astype(np.float32)
    two = one.copy()
    two[:120, 0] += 12
    _, single = cluster(one - one.mean(axis=0), 0)
    minor, double = cluster(two - two.mean(axis=0), 0)
    assert single["separation"] < 2
    assert double["separation"] > 4
    assert double["share"] == pytest.approx(0.2)
    assert double["silhouette"] > single["silhouette"]
    assert np.flatnonzero(minor).tolist() == list(range(120))


def test_equal_rows_are_one_population():
    _, found = cluster(np.zeros((100, 4), np.float32), 0)
    assert found["separation"] == 0.0


def test_poisoned_class_is_told_from_clean_ones():
    labels, features, probabilities, fold = activations(2_000, 4, 0)
    views = {"probabilities": probabilities, "fold": fold}
    clean = measure(material(labels, 4, penultimate=features, **views))
    check_evidence("activation_clustering", clean)
    assert clean["class"]["activation_clustering_separation"].max() < 3
    shifted = features.copy()
    poison = np.flatnonzero(labels == 2)[:120]
    shifted[poison, :6] += 12
    found = measure(material(labels, 4, penultimate=shifted, **views))
    separation = found["class"]["activation_clustering_separation"].to_numpy()
    assert separation.argmax() == 2
    assert separation[2] > 4
    minority = found["sample"]["activation_clustering_minority"].to_numpy()
    assert minority[poison].all()
