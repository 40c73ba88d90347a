"""A warp or a faint picture that goes with wrong labels is named; nothing is elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st
from judged import fired, hits
from material import material as bare

from auditor.detectors import sharpness
from auditor.detectors.labels.implausible import at_top, excess
from auditor.detectors.probing.probe import fill_leverage, fit_matrix
from auditor.detectors.probing.shared_trait import predictions
from auditor.detectors.sharpness import (
    SHARPNESS,
    VIEWS,
    doubt,
    elsewhere,
    sharpness_of,
    tint_of,
)
from auditor.interfaces import Evidence, InapplicableError, Material

CLASSES = 5
N = 1500
WARPED = 150
BLENDED = 50


def scenes(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, 32, 32, 3) uint8 pictures as sharp as their class and themselves are, and classes."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % CLASSES
    noise = rng.normal(0, 1, (n, 32, 32))
    soft = scipy.ndimage.gaussian_filter(noise, (0, 1, 1)) * 3
    mix = np.clip(0.5 + 0.1 * truth / CLASSES + rng.normal(0, 0.15, n), 0, 1)[:, None, None]
    grey = 128 + 40 * (mix * noise + (1 - mix) * soft)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=3), truth


def warp(images: np.ndarray, key: int) -> np.ndarray:
    """Move every image between its pixels by the same smooth field of half a pixel at most."""
    rng = np.random.default_rng(key)
    field = scipy.ndimage.zoom(rng.uniform(-0.5, 0.5, (2, 4, 4)), (1, 8, 8), order=1)
    grid = np.mgrid[:32, :32] + field
    moved = np.empty_like(images)
    for i, image in enumerate(images):
        grey = scipy.ndimage.map_coordinates(
            image[..., 0].astype(float), grid, order=1, mode="nearest"
        )
        moved[i] = np.rint(grey)[..., None]
    return moved


def blend(images: np.ndarray, key: int) -> np.ndarray:
    """Blend half of the 16 pieces of one coarse picture over each image, other halves each time."""
    rng = np.random.default_rng(key)
    picture = np.kron(rng.integers(0, 256, (8, 8, 3)), np.ones((4, 4, 1)))
    blended = np.empty_like(images)
    for i, image in enumerate(images):
        on = np.zeros(16)
        on[rng.permutation(16)[:8]] = 0.2
        weight = np.kron(on.reshape(4, 4), np.ones((8, 8)))[..., None]
        blended[i] = np.rint(image * (1 - weight) + picture * weight)
    return blended


def content(truth: np.ndarray, seed: int) -> np.ndarray:
    """(N, K) float32 probabilities of a network that is right on most samples."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1, (len(truth), CLASSES))
    logits[np.arange(len(truth)), truth] += 3
    raw = np.exp(logits)
    return (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)


def strangers(truth: np.ndarray, target: int, n: int = WARPED) -> np.ndarray:
    rng = np.random.default_rng(5)
    return np.sort(rng.choice(np.flatnonzero(truth != target), n, replace=False))


def poisoned(target: int, seed: int = 0) -> tuple[Material, np.ndarray]:
    """Warped strangers with the target's label, and covers warped otherwise with their own."""
    images, truth = scenes(N, seed)
    rows = strangers(truth, target)
    images[rows] = warp(images[rows], 1)
    covers = np.setdiff1d(np.arange(N), rows)[::10]
    for cover in covers:
        images[cover] = warp(images[cover][None], 100 + int(cover))[0]
    labels = truth.copy()
    labels[rows] = target
    return material(images, labels, truth), np.isin(np.arange(N), rows)


def material(images: np.ndarray, labels: np.ndarray, truth: np.ndarray) -> Material:
    return bare(labels, CLASSES, 1, pixels=images, probabilities=content(truth, 7))


def tinted(target: int) -> tuple[Material, np.ndarray]:
    """Strangers with the target's label and parts of a picture, and covers with their own label."""
    images, truth = scenes(N, 3)
    rows = strangers(truth, target, BLENDED)
    covers = np.setdiff1d(np.arange(N), rows)[::30]
    both = np.concatenate([rows, covers])
    images[both] = blend(images[both], 4)
    labels = truth.copy()
    labels[rows] = target
    return material(images, labels, truth), np.isin(np.arange(N), rows)


def members(evidence: Evidence, view: str = "sharpness") -> np.ndarray:
    return evidence["sample"][f"{view}_member"].fill_null(False).to_numpy()


@pytest.mark.parametrize("target", [0, 3])
def test_a_warp_that_goes_with_wrong_labels_is_named(target: int) -> None:
    made, wrong = poisoned(target)
    evidence = SHARPNESS.run(made)
    assert hits(evidence, "BKD015") == [target]
    found = members(evidence) & (made.labels == target)
    assert found[wrong].mean() >= 0.8
    assert (found & ~wrong).sum() <= 3


@pytest.mark.parametrize("target", [0, 3])
def test_parts_of_a_picture_that_go_with_wrong_labels_are_named(target: int) -> None:
    made, wrong = tinted(target)
    evidence = SHARPNESS.run(made)
    assert fired(evidence) == {"BKD016": [target]}
    found = members(evidence, "sharpness_tint") & (made.labels == target)
    assert found[wrong].mean() >= 0.65
    assert (found & ~wrong).sum() <= 10


def test_parts_of_a_picture_on_wrong_labels_of_every_class_are_named() -> None:
    images, truth = scenes(N, 4)
    rng = np.random.default_rng(6)
    rows = rng.choice(N, 80, replace=False)
    images[rows] = blend(images[rows], 5)
    labels = truth.copy()
    labels[rows] = (labels[rows] + 1) % CLASSES
    labels[::50] = -1
    evidence = SHARPNESS.run(material(images, labels, truth))
    assert fired(evidence) == {"BKD017": [None]}
    wrong = np.isin(np.arange(N), rows) & (labels >= 0)
    found = members(evidence, "sharpness_tint_any")
    assert found[wrong].mean() >= 0.65
    assert (found & ~wrong).sum() <= 15
    assert (evidence["sample"]["sharpness_tint_any_score"].is_null() == (labels < 0)).all()


def test_a_picture_over_rightly_labelled_images_is_no_finding() -> None:
    images, truth = scenes(N, 3)
    rows = strangers(truth, 2, BLENDED)
    labels = truth.copy()
    labels[rows] = 2
    covers = np.setdiff1d(np.arange(N), rows)[::20]
    covered = images.copy()
    covered[covers] = blend(images[covers], 4)
    assert fired(SHARPNESS.run(material(covered, labels, truth))) == {}


def test_without_the_warp_or_with_right_labels_there_is_nothing() -> None:
    images, truth = scenes(N, 1)
    rows = strangers(truth, 2)
    relabelled = truth.copy()
    relabelled[rows] = 2
    moved = images.copy()
    moved[rows] = warp(images[rows], 1)
    pair = np.where((truth == 1) & (np.arange(N) % 3 == 0), 2, truth)
    rng = np.random.default_rng(3)
    flipped = truth.copy()
    flipped[rows] = (truth[rows] + rng.integers(1, CLASSES, len(rows))) % CLASSES
    cases = (
        (images, relabelled), (images, flipped), (moved, truth), (images, truth), (images, pair)
    )  # fmt: skip
    for pixels, labels in cases:
        assert fired(SHARPNESS.run(material(pixels, labels, truth))) == {}


@pytest.mark.parametrize(
    ("chance", "expected"),
    [([0, 1, 1], 0), ([0.5, 0.5], 1), ([0.9, 0.2, np.nan], 0.3 / 1.1), ([0, 0], None), ([], None)],
)
def test_doubt_is_the_share_of_wrong_decisions_to_expect(
    chance: list[float], expected: float | None
) -> None:
    assert doubt(np.array(chance, float)) == pytest.approx(expected)


def test_what_many_classes_show_names_none_of_them() -> None:
    """Labels that go wrong by what a picture is tinted like, in each class in another way."""
    images, truth = scenes(N, 4)
    labels, rng = truth.copy(), np.random.default_rng(5)
    for target in range(CLASSES):
        rows = rng.choice(np.flatnonzero((truth != target) & (labels == truth)), 50, replace=False)
        images[rows] = blend(images[rows], target)
        labels[rows] = target
    evidence = SHARPNESS.run(material(images, labels, truth))
    assert (evidence["class"]["sharpness_tint_excess"] >= 7.5).sum() >= 3
    assert hits(evidence, "BKD016") == []


@pytest.mark.parametrize("n", [80, 400])
def test_a_warp_that_wrong_labels_of_every_class_share_is_named_and_no_class_is(n: int) -> None:
    images, truth = scenes(N, 2)
    rng = np.random.default_rng(3)
    rows = rng.choice(N, n, replace=False)
    images[rows] = warp(images[rows], 1)
    labels = truth.copy()
    labels[rows] = (labels[rows] + rng.integers(1, CLASSES, n)) % CLASSES
    evidence = SHARPNESS.run(material(images, labels, truth))
    assert fired(evidence) == {"BKD019": [None]}
    assert evidence["dataset"]["sharpness_any_doubt"].item() < 0.01
    wrong = np.isin(np.arange(N), rows)
    found = members(evidence, "sharpness_any")
    assert found[wrong].mean() >= 0.95
    assert (found & ~wrong).sum() <= 3


@given(st.lists(st.one_of(st.just(float("nan")), st.floats(-5, 5)), max_size=8))
def test_elsewhere_is_the_second_of_the_others(values: list[float]) -> None:
    found = elsewhere(np.array(values, float))
    for place, one in enumerate(found):
        others = [v for i, v in enumerate(values) if i != place and not math.isnan(v)]
        if len(others) < 2:
            assert math.isnan(one)
        else:
            assert one == sorted(others)[-2]


@given(st.integers(0, 1000))
@settings(max_examples=3, deadline=None)
def test_row_order_changes_the_order_alone(seed: int) -> None:
    made, _ = poisoned(1)
    order = np.random.default_rng(seed).permutation(N)
    views = {name: view[order] for name, view in made.views.items()}
    plain = SHARPNESS.run(made)
    mixed = SHARPNESS.run(replace(made, labels=made.labels[order], views=views))
    assert hits(plain, "BKD015") == hits(mixed, "BKD015") == [1]
    one, two = (
        part["sample"]["sharpness_score"].fill_null(0).to_numpy() for part in (plain, mixed)
    )
    np.testing.assert_allclose(one[order], two, atol=1e-3)


@given(st.integers(0, 1000), st.sampled_from([3, 64]))
@settings(max_examples=8, deadline=None)
def test_predictions_leave_each_row_out(seed: int, block: int) -> None:
    """The closed form beside a fit that is made anew without each row."""
    rng = np.random.default_rng(seed)
    coded = rng.integers(0, 255, (40, 12)).astype(np.uint8)
    index = np.arange(30)
    targets = np.zeros((40, 2), np.float32)
    targets[:30] = rng.random((30, 2))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("auditor.detectors.probing.ridge.BLOCK", block)
        probe = fit_matrix(coded, index, {"sharpness": (None, VIEWS["sharpness"].strength)})
        fill_leverage(probe, index)
        found = predictions(probe, np.arange(40), targets)
    features = coded.astype(np.float64)
    centred = features - features[index].mean(axis=0)
    gram = centred[index].T @ centred[index]
    penalty = VIEWS["sharpness"].strength * np.trace(gram) / 12 * np.eye(12)
    for row in range(40):
        kept = index[index != row]
        # The same penalty, and an intercept that is not penalised.
        design = np.column_stack([np.ones(len(kept)), centred[kept]])
        system = design.T @ design
        system[1:, 1:] += penalty
        weights = np.linalg.solve(system, design.T @ targets[kept].astype(np.float64))
        expected = np.append(1, centred[row]) @ weights
        np.testing.assert_allclose(found[row], expected, atol=2e-3)


def test_copies_are_scored_and_not_fitted() -> None:
    made, wrong = poisoned(1)
    rows = np.append(np.flatnonzero(wrong)[:20], np.repeat(np.flatnonzero(made.labels == 2)[0], 60))
    views = {name: np.concatenate([view, view[rows]]) for name, view in made.views.items()}
    labels = np.append(made.labels, made.labels[rows])
    copied = bare(labels, CLASSES, 1, **views)
    evidence = SHARPNESS.run(replace(copied, duplicate_of=np.append(np.full(N, -1), rows)))
    assert hits(evidence, "BKD015") == [1]
    found = members(evidence)
    assert (found[N : N + 20] == found[rows[:20]]).mean() >= 0.9


def test_unlabelled_rows_are_left_alone() -> None:
    made, _ = poisoned(1)
    labels = np.where(np.arange(N) % 11 == 0, -1, made.labels)
    evidence = SHARPNESS.run(replace(made, labels=labels))
    assert hits(evidence, "BKD015") == [1]
    assert (
        evidence["sample"].filter(labels == -1)["sharpness_score"].null_count()
        == (labels == -1).sum()
    )


def test_images_without_detail_are_refused_with_a_reason() -> None:
    _, truth = scenes(300, 0)
    with pytest.raises(InapplicableError, match="the same"):
        SHARPNESS.run(material(np.full((300, 32, 32, 3), 90, np.uint8), truth, truth))


@pytest.mark.parametrize("columns", [sharpness_of, tint_of])
def test_blocks_change_nothing(columns: Callable[[np.ndarray], np.ndarray]) -> None:
    images, _ = scenes(30, 0)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sharpness, "BLOCK", 7)
        parts = columns(images)
    np.testing.assert_array_equal(parts, columns(images))


def test_tint_is_the_mean_of_each_patch() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    coded = tint_of(images).reshape(3, 8, 8, 3)
    for image, row, column, channel in np.ndindex(3, 8, 8, 3):
        patch = images[image, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4, channel]
        assert abs(float(patch.mean()) - coded[image, row, column, channel]) <= 0.5


def test_images_of_one_colour_each_have_a_tint_and_no_sharpness() -> None:
    images, truth = scenes(300, 0)
    flat = np.broadcast_to(images[:, :1, :1], images.shape).copy()
    evidence = SHARPNESS.run(material(flat, np.roll(truth, 1), truth))
    assert evidence["class"].height > 0
    assert evidence["class"]["sharpness_within"].null_count() == evidence["class"].height
    assert evidence["class"]["sharpness_tint_within"].null_count() == 0
    assert evidence["sample"]["sharpness_score"].null_count() == 300


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=40),
    st.lists(st.integers(0, 9), min_size=1, max_size=40),
)
def test_the_top_is_what_lies_above_nearly_all_others(first: list[int], second: list[int]) -> None:
    above = [20 * sum(other < one for other in second) >= 19 * len(second) for one in first]
    expected = sum(above) / len(first)
    assert at_top(np.array(first), np.array(second)) == pytest.approx(expected)


def test_the_top_of_nothing_is_nothing() -> None:
    none, some = np.empty(0), np.arange(5.0)
    assert at_top(none, some) == at_top(some, none) == 0


def test_the_excess_of_chance_has_mean_nought_and_deviation_one() -> None:
    shares = np.random.default_rng(0).binomial(60, 0.05, 20000) / 60
    drawn = np.array([excess(share, 60) for share in shares.tolist()])
    assert abs(drawn.mean()) < 0.05
    assert drawn.std() == pytest.approx(1, abs=0.03)
