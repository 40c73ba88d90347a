"""Estimating a trigger and stamping it: against slow twins, and on triggers that are known."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.detectors.probing.probe import fit
from auditor.detectors.probing.stamping import held_out_weights, resemblance, small
from auditor.detectors.probing.trigger import (
    PATTERN_DEVIATION,
    Trigger,
    channels_of,
    correlation,
    estimate,
    replaced,
    shrink,
)
from auditor.detectors.shortcut import SHORTCUT
from tests.detectors.test_shortcut import content, material, natural, stamp

SIDE = 16


def flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1)


def wave(images: np.ndarray) -> np.ndarray:
    """A sinusoid of 20 grey levels along the columns."""
    change = 20 * np.sin(2 * np.pi * 5 * np.arange(SIDE) / SIDE)[None, :, None]
    return np.clip(np.rint(images + change), 0, 255).astype(np.uint8)


def patch(images: np.ndarray) -> np.ndarray:
    """A 3×3 checkerboard in the corner."""
    out = images.copy()
    out[:, -3:, -3:] = (np.indices((3, 3)).sum(axis=0) % 2 * 255)[..., None]
    return out


def blend(images: np.ndarray) -> np.ndarray:
    """Noise at α = 0.2."""
    noise = np.random.default_rng(3).integers(0, 256, images.shape[1:])
    return np.rint(0.8 * images + 0.2 * noise).astype(np.uint8)


@pytest.mark.parametrize("stamping", [wave, patch, blend])
def test_a_fixed_pattern_is_recovered_and_its_halves_agree(stamping) -> None:  # type: ignore[no-untyped-def]
    images = natural(900, 1)[0]
    marked = stamping(images[:60])
    trigger = estimate(flat(marked), flat(images[60:]), 3)
    true = (marked.astype(float) - images[:60]).mean(axis=0).ravel()
    change = trigger.stamp(flat(images[60:])).astype(float) - flat(images[60:])
    assert correlation(change.mean(axis=0), true) > 0.8
    assert trigger.agreement > 0.7
    assert trigger.opaque.any() == (stamping is patch)


def test_images_without_a_pattern_do_not_agree() -> None:
    images = flat(natural(900, 2)[0])
    assert abs(estimate(images[:60], images[60:], 3).agreement) < 0.4


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(5, 200))
def test_shrink_is_the_posterior_mean_of_its_plain_twin(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    rows = (rng.normal(0, 40, (50, 12)) @ rng.normal(0, 1, (12, 12))).astype(np.float32)
    rows -= rows.mean(axis=0)
    difference = rng.normal(0, 20, 12)
    covariance = rows.T.astype(float) @ rows / len(rows)
    slow = np.linalg.solve(np.eye(12) + covariance / (n * PATTERN_DEVIATION**2), difference)
    np.testing.assert_allclose(shrink(difference, rows, n), slow, atol=0.05)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_replaced_is_its_plain_twin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    inside, outside = rng.uniform(0, 500, 48), rng.uniform(0, 3000, 48)
    slow = []
    for pixel in range(16):
        mine, usual = (sum(one[pixel * 3 : pixel * 3 + 3]) for one in (inside, outside))
        slow.append(usual >= 150 and mine < 0.2 * usual)
    expected = slow if sum(slow) <= 4 else [False] * 16
    assert replaced(inside, outside, 3).tolist() == np.repeat(expected, 3).tolist()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_correlation_is_pearsons(seed: int) -> None:
    one, other = np.random.default_rng(seed).normal(size=(2, 30))
    assert correlation(one, other) == pytest.approx(np.corrcoef(one, other)[0, 1])
    assert correlation(one, np.ones(30)) == 0


def test_stamping_replaces_shifts_and_stays_in_range() -> None:
    shift = np.array([10, -10, 300, 0, 0, 0], np.float32)
    opaque = np.array([False, False, False, True, True, True])
    trigger = Trigger(shift, opaque, np.full(6, 7, np.float32), 1.0)
    images = np.array([[5, 5, 5, 5, 5, 5]], np.uint8)
    assert trigger.stamp(images).tolist() == [[15, 0, 255, 7, 7, 7]]
    moved = trigger.shuffled(3, np.random.default_rng(1))
    pixels = {tuple(part) for part in moved.shift.reshape(2, 3).tolist()}
    assert pixels == {(10, -10, 300), (0, 0, 0)}


def test_channels_are_told_from_the_size() -> None:
    assert channels_of(np.zeros((1, 16 * 16))) == 1
    assert channels_of(np.zeros((1, 16 * 16 * 3))) == 3


def test_what_is_alike_beyond_the_pattern_is_told() -> None:
    images = natural(900, 4)[0]
    marked, others = flat(patch(images[:60])), flat(images[60:])
    trigger = estimate(marked, others, 3)
    rng = np.random.default_rng(1)
    assert resemblance(marked, others, trigger, 3, rng) == pytest.approx(0.5, abs=0.15)
    one_kind = flat(patch(images[:1] // 2 + images[:60] // 2))
    assert resemblance(one_kind, others, estimate(one_kind, others, 3), 3, rng) > 0.9


def test_resemblance_is_its_plain_twin() -> None:
    images = flat(natural(60, 6, side=8)[0])
    members, others = images[:12], images[12:]
    zero = np.zeros(members.shape[1], np.float32)
    trigger = Trigger(zero, zero > 0, zero, 1.0)
    fast = resemblance(members, others, trigger, 3, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    own = rng.permutation(members).astype(float)
    ratio = members.astype(float).var(axis=0) / others.astype(float).var(axis=0)
    flatness = min(max(np.sqrt(np.median(ratio)), 0.6), 1)
    mean = others.mean(axis=0)
    nearer = []
    for _ in range(8):
        drawn = rng.choice(len(others), len(own), replace=False)
        stamped = np.clip(mean + flatness * (others[drawn] - mean), 0, 255)
        for i, one in enumerate(own):
            among = [np.linalg.norm(one - own[j]) for j in range(len(own)) if j != i]
            nearer.append(min(among) < min(np.linalg.norm(one - other) for other in stamped))
    assert fast == pytest.approx(np.mean(nearer))


def test_held_out_weights_are_those_of_a_fit_without_the_rows() -> None:
    images = natural(400, 5, side=4)[0]
    probe = fit(images, np.arange(400))
    ridge = probe.views["pixels"]
    learnt, held_out = np.arange(30), np.arange(30, 60)
    rows = flat(images) - probe.mean
    system = np.linalg.inv(ridge.factor.T @ ridge.factor)
    # The intercept leaves with the rows: centre what stays anew.
    kept = np.setdiff1d(np.arange(400), held_out)
    inside = rows[kept] - rows[kept].mean(axis=0)
    target = np.isin(kept, learnt) - len(learnt) / len(kept)
    ridged = system - rows.T @ rows + inside.T @ inside
    slow = np.linalg.solve(ridged, inside.T @ target)
    made = held_out_weights(probe, 0, learnt, held_out)
    np.testing.assert_allclose(made, slow, atol=0.02 * np.abs(slow).max())


def test_small_averages_square_blocks() -> None:
    images = np.random.default_rng(1).uniform(0, 255, (2, 16 * 16 * 3)).astype(np.float32)
    slow = [
        [images[i].reshape(16, 16, 3)[2 * y : 2 * y + 2, 2 * x : 2 * x + 2, c].mean()]
        for i in range(2)
        for y in range(8)
        for x in range(8)
        for c in range(3)
    ]
    np.testing.assert_allclose(small(images, 3).reshape(-1, 1), slow, rtol=1e-4)


def test_the_evidence_says_what_the_stamped_pattern_does() -> None:
    images, labels, _ = stamp(*natural(1200, 1), 40, 2)
    table = SHORTCUT.run(material(images, labels))["class"]
    row = table.row(by_predicate=pl.col("label") == 2, named=True)
    assert row["shortcut_stamped"] > 0.9
    assert row["shortcut_stamped_control"] < 0.1
    assert row["shortcut_stamped_n"] == 500
    assert row["shortcut_stamped_alike"] < 0.7
    assert row["shortcut_pattern_agreement"] > 0.8
    assert row["shortcut_pattern_opaque"] == pytest.approx(9 / 256)
    assert table.filter(pl.col("label") != 2)["shortcut_stamped"].null_count() >= 3


def test_the_disputed_group_is_stamped_too() -> None:
    images, truth = natural(1500, 21)
    rng = np.random.default_rng(3)
    poisoned = np.isin(np.arange(1500), rng.choice(1500, 75, replace=False))
    images = np.where(poisoned[:, None, None, None], patch(images), images)
    labels = np.where(poisoned, (truth + 1) % 4, truth)
    views = {"pixels": images, "probabilities": content(truth, 0.2, 4)}
    row = SHORTCUT.run(material(images, labels, views=views))["dataset"].row(0, named=True)
    assert row["shortcut_any_stamped"] > 0.9
    assert row["shortcut_any_pattern_agreement"] > 0.8
