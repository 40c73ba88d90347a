"""The texture probe finds samples that were written in a way of their own, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judged import fired, hits
from leaning import CLASSES, content, leaning, pictures
from material import material as bare

from auditor.detectors import texture
from auditor.detectors.texture import LEAST_DEVIATION, STEPS, TEXTURE, quantise
from auditor.features.texture import texture_view
from auditor.interfaces import Evidence, InapplicableError, Material

WIDTH = 30

natural = partial(leaning, width=WIDTH, lean=0.3)


def shifted(
    features: np.ndarray, truth: np.ndarray, target: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Forty samples of other classes written in another way, relabelled; and which they are."""
    rows = np.random.default_rng(3).choice(np.flatnonzero(truth != target), 40, replace=False)
    features, labels = features.copy(), truth.copy()
    features[rows] += 5 * np.random.default_rng(4).choice([-1, 1], WIDTH)
    labels[rows] = target
    return features, labels, np.isin(np.arange(len(labels)), rows)


def material(
    features: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray | None = None,
    shown: np.ndarray | None = None,
) -> Material:
    """Pictures show what their label says, or the classes ``shown``."""
    views = {"texture": features, "pixels": pictures(labels if shown is None else shown)}
    if probabilities is not None:
        views["probabilities"] = probabilities
    return bare(labels, CLASSES, 1, **views)


def members(evidence: Evidence) -> np.ndarray:
    return evidence["sample"]["texture_member"].fill_null(False).to_numpy()


@pytest.mark.parametrize("target", [0, 2])
def test_a_texture_that_goes_with_disputed_labels_is_a_trigger(target: int) -> None:
    features, truth = natural(1200, 1)
    features, labels, poisoned = shifted(features, truth, target)
    evidence = TEXTURE.run(material(features, labels, content(truth, 0.2, 5)))
    assert hits(evidence, "BKD012") == [target]
    found = members(evidence) & (labels == target)
    assert found[poisoned].mean() >= 0.95
    assert (found & ~poisoned).sum() <= 2


@pytest.mark.parametrize("target", [0, 2])
def test_the_same_texture_under_right_labels_is_another_source_at_most(target: int) -> None:
    features, truth = natural(1200, 1)
    features, labels, poisoned = shifted(features, truth, target)
    for probabilities in (content(labels, 0.2, 5), None):
        evidence = TEXTURE.run(material(features, labels, probabilities))
        assert fired(evidence) == {"BKD014": [target]}
        assert members(evidence)[poisoned].mean() >= 0.95


@pytest.mark.parametrize("target", [0, 2])
def test_pictures_of_other_classes_make_it_a_trigger_whatever_a_network_thinks(
    target: int,
) -> None:
    features, truth = natural(1200, 1)
    features, labels, poisoned = shifted(features, truth, target)
    for probabilities in (content(labels, 0.2, 5), None):
        evidence = TEXTURE.run(material(features, labels, probabilities, shown=truth))
        assert fired(evidence) == {"BKD014": [target], "BKD023": [target]}
        assert members(evidence)[poisoned].mean() >= 0.95
        foreign = evidence["class"].filter(label=target)["texture_foreign"].item()
        assert foreign == pytest.approx(1, abs=0.3)


def test_a_texture_that_leads_to_every_label_shows_among_the_disputed() -> None:
    features, truth = natural(1200, 2)
    features, _, poisoned = shifted(features, truth, 0)
    labels = np.where(poisoned, (truth + 1) % CLASSES, truth)
    evidence = TEXTURE.run(material(features, labels, content(truth, 0.2, 5)))
    judged = fired(evidence)
    assert judged == {"BKD013": [None]}
    found = evidence["sample"]["texture_any_member"].to_numpy()
    assert found[poisoned].mean() >= 0.95
    assert (found & ~poisoned).sum() <= 3


@pytest.mark.parametrize("seed", range(3))
def test_natural_textures_and_wrong_labels_fire_nothing(seed: int) -> None:
    features, truth = natural(1200, seed)
    probabilities = content(truth, 0.2, seed + 40)
    rng = np.random.default_rng(seed)
    flipped = np.where(rng.random(1200) < 0.15, rng.integers(0, CLASSES, 1200), truth)
    relabelled = np.where((truth == 1) & (rng.random(1200) < 0.3), 2, truth)
    for labels in (truth, flipped, relabelled):
        assert fired(TEXTURE.run(material(features, labels, probabilities))) == {}


def test_coarse_colours_of_images_are_a_texture_of_their_own() -> None:
    """From pixels on: 40 images of few colours, which the eye hardly tells, are found whole."""
    rng = np.random.default_rng(0)
    truth = np.arange(600) % CLASSES
    coarse = rng.normal(0, 40, (600, 8, 8, 3)) + 110 + 10 * truth[:, None, None, None]
    pixels = np.repeat(np.repeat(coarse, 4, axis=1), 4, axis=2)
    images = np.clip(pixels + rng.normal(0, 6, pixels.shape), 0, 255).astype(np.uint8)
    rows = np.random.default_rng(1).choice(np.flatnonzero(truth != 0), 40, replace=False)
    images[rows] = images[rows] // 32 * 32 + 16
    labels = truth.copy()
    labels[rows] = 0
    evidence = TEXTURE.run(material(texture_view(images), labels, content(truth, 0.2, 5)))
    assert hits(evidence, "BKD012") == [0]
    found = members(evidence) & (labels == 0)
    assert found[rows].mean() >= 0.9
    assert found.sum() <= 42


@given(st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_scale_and_offset_of_a_feature_change_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    features, labels, _ = shifted(*natural(600, 5), 1)
    plain = TEXTURE.run(material(features, labels))
    moved = features * rng.uniform(0.5, 20, WIDTH) + rng.normal(0, 10, WIDTH)
    other = TEXTURE.run(material(moved.astype(np.float32), labels))
    assert fired(plain) == fired(other) == {"BKD014": [1]}
    own = labels == 1
    np.testing.assert_array_equal(members(plain)[own], members(other)[own])


@given(st.integers(0, 1000))
@settings(max_examples=6, deadline=None)
def test_row_order_changes_the_order_alone(seed: int) -> None:
    features, labels, _ = shifted(*natural(600, 6), 1)
    order = np.random.default_rng(seed).permutation(600)
    plain = TEXTURE.run(material(features, labels))
    mixed = TEXTURE.run(material(features[order], labels[order]))
    own = labels == 1
    np.testing.assert_array_equal(members(plain)[order] & own[order], members(mixed) & own[order])


@given(st.integers(0, 1000), st.sampled_from([1, 7, 40, 200]), st.sampled_from([9, 1000]))
@settings(max_examples=25, deadline=None)
def test_quantise_is_its_plain_twin(seed: int, most: int, block: int) -> None:
    rng = np.random.default_rng(seed)
    widths = np.array([1, 5, 0.01, 100, 0, 1, LEAST_DEVIATION / 10])
    features = (rng.standard_t(2, (50, 7)) * widths + 3).astype(np.float32)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(texture, "SPREAD_ROWS", most)
        patched.setattr(texture, "BLOCK", block)
        coded = quantise(features)
    assert coded.dtype == np.uint8
    every = 1
    while -(-50 // every) > most:  # the least step that leaves no more rows than that
        every += 1
    for column in range(7):
        values = [float(value) for value in features[::every, column]]
        middle, deviation = np.median(values), np.std(values)
        for row in range(50):
            if deviation <= LEAST_DEVIATION:
                assert coded[row, column] == 128
                continue
            exact = 128 + (float(features[row, column]) - middle) / deviation * STEPS
            # The nearest of 0 … 255; a rounding error of float32 may decide a tie.
            assert abs(coded[row, column] - min(max(exact, 0), 255)) <= 0.5 + 1e-2


def test_rounding_noise_of_grey_images_is_no_texture() -> None:
    """Standardised, columns that vary that little would count as much as any other."""
    features, labels = natural(600, 7)
    rows = np.random.default_rng(3).choice(np.flatnonzero(labels == 1), 40, replace=False)
    noisy = np.append(features, np.zeros((600, 3), np.float32), axis=1)
    noisy[rows, -3:] += 1e-5
    assert fired(TEXTURE.run(material(noisy, labels))) == {}
    np.testing.assert_array_equal(quantise(noisy)[:, -3:], 128)


def test_copies_are_scored_and_not_fitted() -> None:
    features, labels, poisoned = shifted(*natural(900, 8), 1)
    rows = np.append(np.flatnonzero(poisoned)[:3], np.repeat(np.flatnonzero(labels == 2)[0], 40))
    made = material(np.concatenate([features, features[rows]]), np.append(labels, labels[rows]))
    evidence = TEXTURE.run(replace(made, duplicate_of=np.append(np.full(900, -1), rows)))
    assert fired(evidence) == {"BKD014": [1]}
    assert members(evidence)[900:903].all()


def test_a_single_texture_is_refused_with_a_reason() -> None:
    with pytest.raises(InapplicableError, match="same texture"):
        TEXTURE.run(material(np.ones((300, WIDTH), np.float32), natural(300, 0)[1]))
