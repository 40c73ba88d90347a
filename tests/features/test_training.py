import numpy as np
import pytest
import torch

from auditor.features.augmentation import Look, augment, looks, mirroring_is_harmless, show
from auditor.features.network import N_PENULTIMATE, build_network, choose_hardware
from auditor.features.training import (
    TOTAL_PASSES,
    measure_scaling,
    one_cycle,
    plan_training,
    predict,
)


def test_augmentation_only_shifts_and_mirrors():
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8))
    shown = augment(images, True, torch.Generator().manual_seed(0))
    mirrored = 0
    for image, result in zip(images.numpy(), shown.numpy(), strict=True):
        padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="reflect")
        windows = [padded[y : y + 32, x : x + 32] for y in range(5) for x in range(5)]
        straight = any((window == result).all() for window in windows)
        turned = any((window[:, ::-1] == result).all() for window in windows)
        assert straight or turned
        mirrored += turned and not straight
    assert 8 <= mirrored <= 32


@pytest.mark.parametrize("mirror", [True, False])
def test_images_are_judged_as_they_are_and_in_ways_that_were_learnt(mirror):
    images = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    ways = looks(mirror)
    assert ways[0] == Look()
    assert len(set(ways)) == len(ways)
    assert any(way.mirrored for way in ways) == mirror
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
    for way in ways:
        down, across = 2 + way.down, 2 + way.across
        expected = padded[:, down : down + 32, across : across + 32]
        if way.mirrored:
            expected = expected[:, :, ::-1]
        assert (show(torch.from_numpy(images), way).numpy() == expected).all()


def test_logits_are_the_mean_over_the_ways_of_showing():
    images = np.random.default_rng(2).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    hardware, rows = choose_hardware("cpu"), np.arange(5)
    network = build_network(4, seed=0).eval()
    scale = measure_scaling(images, rows)

    def said(*ways: Look) -> tuple[np.ndarray, np.ndarray]:
        ((_, penultimate, logits),) = predict(network, images, rows, scale, hardware, ways)
        return penultimate, logits

    ways = looks(True)
    penultimate, logits = said(*ways)
    assert logits == pytest.approx(np.mean([said(way)[1] for way in ways], axis=0), rel=1e-5)
    assert (penultimate == said(ways[0])[0]).all()


def test_mirroring_is_refused_where_direction_matters():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400)
    pixels = rng.integers(0, 60, (400, 32, 32, 3), dtype=np.uint8)
    sided, even = pixels.copy(), pixels.copy()
    sided[labels == 0, :, :16] += 120
    sided[labels == 1, :, 16:] += 120
    even[labels == 0, :16] += 120
    even[labels == 1, 16:] += 120
    rows = np.arange(400)
    assert not mirroring_is_harmless(sided, labels, rows)
    assert mirroring_is_harmless(even, labels, rows)


def test_budget_is_bounded_and_shrinks_with_the_data():
    for n in (20, 500, 2_000, 50_000, 60_000, 1_000_000):
        plan = plan_training(n, n // 2)
        assert plan.batch_size <= n // 2
        assert plan.passes <= max(TOTAL_PASSES / 2, n / 2) + plan.batch_size
    assert plan_training(2_000, 1_000).passes < plan_training(50_000, 25_000).passes


def test_learning_rate_rises_then_falls_to_zero():
    shares = np.linspace(0, 1, 41)
    rates = [one_cycle(share) for share in shares]
    assert rates[0] == 0.0
    assert rates[-1] == 0.0
    assert max(rates) == 1.0
    peak = int(np.argmax(rates))
    assert np.all(np.diff(rates[: peak + 1]) > 0)
    assert np.all(np.diff(rates[peak:]) < 0)


def test_network_depends_on_its_seed_alone():
    torch.manual_seed(5)
    first = build_network(3, 1).state_dict()
    before = torch.get_rng_state()
    second = build_network(3, 1).state_dict()
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = build_network(3, 2).state_dict()
    assert not torch.equal(first["1.weight"], other["1.weight"])


def test_prediction_covers_all_rows_once():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (30, 32, 32, 3), dtype=np.uint8)
    rows = np.arange(3, 30)
    network = build_network(4, 0).eval()
    scale = measure_scaling(pixels, rows)
    found = list(predict(network, pixels, rows, scale, choose_hardware("cpu")))
    assert np.concatenate([part for part, _, _ in found]).tolist() == rows.tolist()
    assert found[0][1].shape == (27, N_PENULTIMATE)
    assert found[0][1].dtype == np.float16
    assert found[0][2].shape == (27, 4)


def test_scaling_is_mean_and_deviation_of_colours():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (50, 32, 32, 3), dtype=np.uint8)
    scale = measure_scaling(pixels, np.arange(50))
    assert scale.mean == pytest.approx(pixels.reshape(-1, 3).mean(axis=0), rel=1e-5)
    assert scale.deviation == pytest.approx(pixels.reshape(-1, 3).std(axis=0), rel=1e-5)
