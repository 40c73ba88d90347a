import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from judged import hits
from material import material

from auditor.detectors.impostor import measure, runners
from auditor.detectors.populations.mixture import (
    Populations,
    even_distribution,
    evenness,
    fit_populations,
)
from auditor.detectors.probing.likeness import N_NEIGHBOURS, foreignness, thumbnails, votes
from auditor.interfaces import InapplicableError, Material
from auditor.tables import check_evidence

K = 6


def populations(seed: int, n_native: int = 300, n_impostor: int = 60, gap: float = 5.0):
    """(rows, runner-ups, who is an impostor) of class 0: natives prefer class 1."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n_native + n_impostor, 8))
    rows[n_native:, 2] += gap
    natural = rng.choice(np.arange(1, K), n_native, p=[0.8, 0.05, 0.05, 0.05, 0.05])
    runner_up = np.concatenate([natural, rng.integers(1, K, n_impostor)])
    impostor = np.arange(len(rows)) >= n_native
    order = rng.permutation(len(rows))
    return (rows - rows.mean(axis=0))[order], runner_up[order], impostor[order]


EVEN = even_distribution(np.full(K, 100), 0)


def slow_gains(model: Populations, rows: np.ndarray, runner_up: np.ndarray) -> tuple[float, float]:
    def density(value: float, mean: float, variance: float) -> float:
        return np.exp(-((value - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)

    activation = runner = 0.0
    for row, second in zip(rows, runner_up, strict=True):
        at = float(row @ model.direction)
        near = model.weight * density(at, model.impostor, model.variance)
        far = (1 - model.weight) * density(at, model.native, model.variance)
        activation += np.log((near + far) / density(at, model.mean, model.spread))
        chance = near / (near + far)
        mixed = chance * model.even[second] + (1 - chance) * model.preferred[second]
        runner += np.log(mixed / model.runners[second])
    return 2 * activation / len(rows), 2 * runner / len(rows)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_gains_match_the_slow_twin(seed: int):
    rows, runner_up, _ = populations(seed, 120, 40)
    model = fit_populations(rows[::2], runner_up[::2], EVEN)
    assume(model is not None)  # half of so few samples do not always fall apart into two
    assert model is not None
    found = model.gains(rows[1::2], runner_up[1::2])
    assert found == pytest.approx(slow_gains(model, rows[1::2], runner_up[1::2]), rel=1e-6)


@given(st.integers(0, 10_000), st.floats(0.1, 50.0))
@settings(max_examples=20, deadline=None)
def test_posteriors_ignore_rotation_scale_and_row_order(seed: int, scale: float):
    rows, runner_up, _ = populations(seed)
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(8, 8)))[0]
    first = fit_populations(rows, runner_up, EVEN)
    order = np.random.default_rng(seed + 1).permutation(len(rows))
    turned = rows[order] @ turn * scale
    second = fit_populations(turned, runner_up[order], EVEN)
    assert first is not None
    assert second is not None
    expected = first.posterior(rows, runner_up)[order]
    assert second.posterior(turned, runner_up[order]) == pytest.approx(expected, abs=1e-4)


def test_impostors_are_found_and_one_population_gains_nothing():
    rows, runner_up, impostor = populations(0)
    model = fit_populations(rows, runner_up, EVEN)
    assert model is not None
    assert ((model.posterior(rows, runner_up) > 0.5) == impostor).mean() > 0.97
    gains = []
    for seed in range(10):
        rows, runner_up, _ = populations(seed, 360, 0)
        model = fit_populations(rows[::2], runner_up[::2], EVEN)
        gains.append((0.0, 0.0) if model is None else model.gains(rows[1::2], runner_up[1::2]))
    assert np.mean(gains, axis=0).max() < 0.02


def test_evenness_is_one_for_the_even_proportion_alone():
    even = even_distribution(np.array([50, 10, 20, 30]), 0)
    assert even.tolist() == pytest.approx([0, 1 / 6, 2 / 6, 3 / 6])
    assert evenness(np.repeat([1, 2, 3], [100, 200, 300]), even) == pytest.approx(1.0, abs=1e-6)
    assert evenness(np.full(600, 1), even) == pytest.approx(1 / 6, rel=0.02)


def test_runners_leave_out_the_label():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.5, 0.1, 0.4], [0.2, 0.3, 0.5]], np.float32)
    assert runners(probabilities, np.array([0, 2, -1])).tolist() == [1, 0, 2]


@given(st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_votes_match_the_slow_twin(seed: int):
    rng = np.random.default_rng(seed)
    reference = rng.random((60, 12)).astype(np.float32)
    rows = np.sort(rng.choice(200, 60, replace=False))
    asked_rows = np.concatenate([rows[:5], np.array([900, 901])])
    asked = np.concatenate([reference[:5], rng.random((2, 12)).astype(np.float32)])
    of_class = rng.random(60) < 0.4
    for found, row, one in zip(
        votes(asked, asked_rows, reference, rows, of_class), asked_rows, asked, strict=True
    ):
        distance = [
            np.inf if other == row else float(np.sum((one - thing).astype(np.float64) ** 2))
            for other, thing in zip(rows, reference, strict=True)
        ]
        assert found == pytest.approx(of_class[np.argsort(distance)[:N_NEIGHBOURS]].mean())


def test_thumbnails_are_mean_colours():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    small = thumbnails(pixels, np.array([2, 0]))
    assert small[0].reshape(8, 8, 3)[1, 2] == pytest.approx(
        pixels[2, 4:8, 8:12].mean(axis=(0, 1)) / 255, rel=1e-5
    )


def scene(seed: int, n_impostor: int, foreign: bool) -> tuple[Material, np.ndarray]:
    """Six classes of coloured pictures; some of class 0 lie apart, showing other classes or not."""
    rng = np.random.default_rng(seed)
    n = 2_400
    labels = np.arange(n) % K
    content = labels.copy()
    apart = np.flatnonzero(labels == 0)[:n_impostor]
    if foreign:
        content[apart] = rng.integers(1, K, n_impostor)
    colours = rng.integers(30, 220, (K, 3))
    pixels = colours[content][:, None, None] + rng.integers(-25, 26, (n, 32, 32, 3))
    features = 6 * np.eye(K, 20)[labels] + rng.normal(size=(n, 20))
    features[apart, 15] += 8
    runner = np.where(rng.random(n) < 0.9, (labels + 1) % K, (labels + rng.integers(1, K, n)) % K)
    runner[apart] = content[apart] if foreign else runner[apart]
    probabilities = np.full((n, K), 0.01, np.float32)
    probabilities[np.arange(n), runner] = 0.2
    probabilities[np.arange(n), labels] = 0.76
    fold = (np.arange(n) // K % 2).astype(np.int8)
    views = {
        "pixels": np.clip(pixels, 0, 255).astype(np.uint8),
        "penultimate": features.astype(np.float16),
        "probabilities": probabilities,
        "fold": fold,
    }
    return material(labels, K, **views), apart


def flagged_classes(data: Material) -> list[int | None]:
    """What the shipped rule says."""
    evidence = measure(data)
    check_evidence("impostor", evidence)
    # Who is named is gathered from other detectors' scores too; where it fires is asked here.
    gathered = evidence["class"].with_columns(gathered_score=pl.lit(1.0))
    return hits({**evidence, "class": gathered}, "BKD006")


def test_impostors_raise_the_rule_and_natural_groups_do_not():
    data, apart = scene(0, 80, foreign=True)
    assert flagged_classes(data) == [0]
    member = measure(data)["sample"]["impostor_member"].to_numpy() & (data.labels == 0)
    assert member[apart].mean() > 0.9
    assert member.sum() < 1.2 * len(apart)
    assert flagged_classes(scene(1, 80, foreign=False)[0]) == []
    assert flagged_classes(scene(2, 0, foreign=False)[0]) == []


def test_foreignness_is_one_for_strangers_and_zero_for_natives():
    for foreign, expected in ((True, 1.0), (False, 0.0)):
        data, apart = scene(3, 80, foreign)
        index = np.flatnonzero(data.labels == 0)
        everyone = np.arange(len(data.labels))
        found = foreignness(data, index, np.isin(index, apart), np.setdiff1d(everyone, apart))
        assert found.share == pytest.approx(expected, abs=0.15)
        assert (found.z > 4) == foreign


def test_too_little_is_said():
    data, _ = scene(4, 0, foreign=False)
    with pytest.raises(InapplicableError, match="4 classes"):
        measure(material(data.labels % 3, 3, **data.views))
    views = {name: view[:200] for name, view in data.views.items()}
    with pytest.raises(InapplicableError, match="60"):
        measure(material(data.labels[:200], K, **views))


def test_samples_without_label_are_null():
    data, _ = scene(5, 80, foreign=True)
    labels = data.labels.copy()
    labels[:3] = -1
    sample = measure(material(labels, K, **data.views))["sample"]
    assert sample["impostor_score"].is_null().to_numpy()[:4].tolist() == [True, True, True, False]
