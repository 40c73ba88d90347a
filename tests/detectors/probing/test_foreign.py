"""Whether a group's pictures are its class's own: what is asked, of whom, and a plain twin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from leaning import CLASSES, leaning, pictures
from material import material

from auditor.detectors.probing.likeness import MAX_REFERENCE, N_NEIGHBOURS, foreignness, some_of
from auditor.detectors.texture import TEXTURE


def scene(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, the classes that pictures show, and who is in the group of class 0."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, n)
    group = (labels == 0) & (rng.random(n) < 0.3)
    return labels, np.where(group, rng.integers(1, CLASSES, n), labels), group


@given(st.integers(0, 1000))
@settings(max_examples=8, deadline=None)
def test_foreignness_is_its_plain_twin(seed: int) -> None:
    labels, shown, group = scene(160, seed)
    shown = np.where(np.arange(160) % 3 == 0, labels, shown)  # some of the group are natives
    images = pictures(shown, seed)
    rows = np.flatnonzero(labels == 0)
    reference = np.sort(np.random.default_rng(seed).permutation(160)[:120])
    found = foreignness(material(labels, CLASSES, pixels=images), rows, group[rows], reference)

    flat = images.reshape(160, -1).astype(np.float64)  # 8 × 8 pixels are their own thumbnails

    def vote(row: int) -> float:
        others = [other for other in reference if other != row]
        nearest = sorted(others, key=lambda other: ((flat[row] - flat[other]) ** 2).sum())
        return float(np.mean([labels[other] == 0 for other in nearest[:N_NEIGHBOURS]]))

    votes = {row: vote(row) for row in {*rows, *reference}}
    rest = np.array([votes[row] for row in rows if not group[row]])
    inside = np.array([votes[row] for row in rows if group[row]])
    stranger = np.mean([votes[row] for row in reference if labels[row] != 0])
    share = (rest.mean() - inside.mean()) / (rest.mean() - stranger)
    error = np.sqrt(
        max(rest.var(), 1 / 1200) / len(rest) + max(inside.var(), 1 / 1200) / len(inside)
    )
    assert found.share == pytest.approx(share, rel=1e-6, abs=1e-9)
    assert found.z == pytest.approx((rest.mean() - inside.mean()) / error, rel=1e-6, abs=1e-9)


def test_pictures_that_tell_nothing_are_not_foreign() -> None:
    labels, _, group = scene(400, 1)
    images = np.full((400, 8, 8, 3), 7, np.uint8)
    rows = np.flatnonzero(labels == 0)
    found = foreignness(material(labels, CLASSES, pixels=images), rows, group[rows], np.arange(400))
    assert abs(found.z) < 4


def test_natural_groups_are_not_asked() -> None:
    features, labels = leaning(900, 3, 30, 0.3)
    evidence = TEXTURE.run(material(labels, CLASSES, texture=features, pixels=pictures(labels)))
    asked = evidence["class"].filter(
        (evidence["class"]["texture_contrast"] >= 1.5) & (evidence["class"]["texture_n"] >= 20)
    )
    told = evidence["class"].filter(evidence["class"]["texture_foreign"].is_not_null())
    assert told["label"].to_list() == asked["label"].to_list()


def test_references_are_few_and_in_order() -> None:
    rows = np.arange(0, 4 * MAX_REFERENCE, 2)
    some = some_of(rows, np.random.default_rng(0))
    assert len(some) == MAX_REFERENCE
    assert (np.diff(some) > 0).all()
    assert np.isin(some, rows).all()
    np.testing.assert_array_equal(some_of(rows[:50], np.random.default_rng(0)), rows[:50])
