"""The texture probe finds samples that were written in a way of their own, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from material import material as bare

from auditor.detectors.texture import LEAST_DEVIATION, TEXTURE, standardise
from auditor.interfaces import Evidence, InapplicableError, Material
from auditor.ruleset import load_rules

CLASSES = 4
RULE = next(rule for rule in load_rules() if rule.id == "BKD012")


def natural(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Correlated skewed features that lean on the label, (n, 30) float32, and labels (n,)."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, n)
    mixing = np.random.default_rng(1).normal(size=(30, 30)) / np.sqrt(30)
    features = rng.gamma(3.0, 1.0, (n, 30)) @ mixing
    features += 0.3 * np.random.default_rng(2).normal(size=(CLASSES, 30))[labels]
    return features.astype(np.float32), labels


def shifted(
    features: np.ndarray, labels: np.ndarray, target: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Forty samples of other classes written in another way, relabelled; and which they are."""
    rows = np.random.default_rng(3).choice(np.flatnonzero(labels != target), 40, replace=False)
    features, labels = features.copy(), labels.copy()
    features[rows] += 5 * np.random.default_rng(4).choice([-1, 1], 30)
    labels[rows] = target
    return features, labels, np.isin(np.arange(len(labels)), rows)


def material(features: np.ndarray, labels: np.ndarray, **changes: object) -> Material:
    return replace(bare(labels, CLASSES, 1, texture=features), **changes)  # type: ignore[arg-type]


def fired(evidence: Evidence) -> list[int]:
    query = f"SELECT label FROM t WHERE {RULE.when}"
    return pl.SQLContext(t=evidence["class"]).execute(query, eager=True)["label"].to_list()


def members(evidence: Evidence) -> np.ndarray:
    return evidence["sample"]["texture_member"].fill_null(False).to_numpy()


@pytest.mark.parametrize("target", [0, 2])
def test_samples_of_another_texture_are_found_and_nothing_else(target: int) -> None:
    features, labels, poisoned = shifted(*natural(1200, 1), target)
    evidence = TEXTURE.run(material(features, labels))
    assert fired(evidence) == [target]
    found = members(evidence) & (labels == target)
    assert found[poisoned].mean() >= 0.95
    assert (found & ~poisoned).sum() <= 2


@pytest.mark.parametrize("seed", range(3))
def test_natural_textures_and_wrong_labels_fire_nothing(seed: int) -> None:
    features, labels = natural(1200, seed)
    assert fired(TEXTURE.run(material(features, labels))) == []
    rng = np.random.default_rng(seed)
    flipped = np.where(rng.random(1200) < 0.15, rng.integers(0, CLASSES, 1200), labels)
    assert fired(TEXTURE.run(material(features, flipped))) == []


@given(st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_scale_and_offset_of_a_feature_change_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    features, labels, _ = shifted(*natural(600, 5), 1)
    plain = TEXTURE.run(material(features, labels))
    moved = features * rng.uniform(0.5, 20, 30) + rng.normal(0, 10, 30)
    other = TEXTURE.run(material(moved.astype(np.float32), labels))
    assert fired(plain) == fired(other)
    np.testing.assert_array_equal(members(plain), members(other))


def test_row_order_changes_the_order_alone() -> None:
    features, labels, _ = shifted(*natural(800, 6), 1)
    order = np.random.default_rng(2).permutation(800)
    plain = TEXTURE.run(material(features, labels))
    mixed = TEXTURE.run(material(features[order], labels[order]))
    own = labels == 1
    np.testing.assert_array_equal(members(plain)[order] & own[order], members(mixed) & own[order])


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_standardise_is_its_plain_twin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = (rng.normal(size=(50, 6)) * [1, 5, 0.01, 100, 0, 1] + 3).astype(np.float32)
    index = np.sort(rng.choice(50, 40, replace=False))
    plain = features.astype(np.float64)
    deviation = plain[index].std(axis=0)
    expected = (plain - plain[index].mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    expected[:, deviation <= LEAST_DEVIATION] = 0
    np.testing.assert_allclose(standardise(features, index), expected, rtol=1e-3, atol=1e-3)


def test_a_single_texture_is_refused_with_a_reason() -> None:
    with pytest.raises(InapplicableError, match="same texture"):
        TEXTURE.run(material(np.ones((300, 30), np.float32), natural(300, 0)[1]))
