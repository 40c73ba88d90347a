"""Each stamp against a slow, obvious twin, and each choice against its definition."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.attacks import (
    ATTACKS,
    adaptive_blend,
    adaptive_patch,
    all_to_all,
    badnets,
    blended,
    bpp,
    ctrl,
    image_scaling,
    instance_flip,
    label_flip,
    label_swap,
    low_frequency,
    near_duplicate_flood,
    pair_flip,
    sig,
    source_concentration,
    ssba,
    tact,
    trojan,
    untargeted,
    wanet,
)
from auditor.attacks.requests.planning import find_attack, typed_params
from auditor.errors import UsageError
from auditor.interfaces import Attack, AttackRequest, Selection, Victim

DATA = Path(os.environ.get("AUDITOR_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
TRIGGERS = DATA / "triggers" / "backdoor-toolbox"


def photo(side: int = 32, seed: int = 0, low: int = 40, high: int = 215) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, size=(side, side, 3), dtype=np.uint8)


def victim(
    attack: Attack,
    role: str = "poison",
    seed: int = 0,
    own: np.ndarray | None = None,
    **params: object,
) -> Victim:
    merged: Mapping[str, object] = typed_params(attack, {**attack.params, **params})
    shared = {"key": np.array([99])}
    return Victim(role, 1, 0, merged, shared, own, np.random.default_rng(seed))  # type: ignore[arg-type]


def stamped(attack: Attack, image: np.ndarray, **more: object) -> np.ndarray:
    assert attack.stamp is not None
    before = image.copy()
    result = attack.stamp(image, victim(attack, **more))  # type: ignore[arg-type]
    assert (image == before).all(), "the input is not changed"
    assert result.dtype == np.uint8
    assert result.shape == image.shape
    return result


def request(labels: list[int], rate: float = 0.1, k: int = 10, **more: object) -> AttackRequest:
    return AttackRequest(
        labels=np.array(labels),
        n_classes=k,
        rate=rate,
        target=more.get("target"),  # type: ignore[arg-type]
        source_class=more.get("source_class"),  # type: ignore[arg-type]
        params=more.get("params", {}),  # type: ignore[arg-type]
        sources=more.get("sources"),  # type: ignore[arg-type]
        images=lambda rows, side: np.stack([photo(side, int(r)) for r in rows]),
        train=lambda pixels, given, seed: (None, np.zeros(3), np.ones(3)),
    )


def choose(attack: Attack, asked: AttackRequest, seed: int = 0) -> Selection:
    return attack.choose(asked, np.random.default_rng(seed))


@pytest.mark.parametrize(("side", "patch"), [(28, 3), (32, 3), (64, 6), (224, 21)])
def test_badnets_patch(side: int, patch: int) -> None:
    image = photo(side)
    result = stamped(badnets.ATTACK, image)
    expected = image.copy()
    pattern = [[0, 0, 255], [0, 255, 0], [255, 0, 255]]
    for i in range(patch):
        for j in range(patch):
            expected[side - patch + i, side - patch + j] = pattern[i * 3 // patch][j * 3 // patch]
    assert (result == expected).all()


@pytest.mark.parametrize("position", ["top-left", "center", "random", "bottom-left", "top-right"])
def test_badnets_elsewhere(position: str) -> None:
    changed = (stamped(badnets.ATTACK, photo(), position=position) != photo()).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert changed.sum() == 9
    assert np.ptp(rows) == np.ptp(columns) == 2


def test_blended_is_the_convex_combination() -> None:
    image, picture = photo(), photo(seed=5)
    result = stamped(blended.ATTACK, image, trigger=picture, alpha=0.3)
    for i in range(0, 32, 7):
        for j in range(0, 32, 7):
            for c in range(3):
                exact = 0.7 * float(image[i, j, c]) + 0.3 * float(picture[i, j, c])
                assert abs(float(result[i, j, c]) - exact) <= 0.51


def test_sig_adds_a_sinusoid_along_the_columns() -> None:
    image = photo()
    result = stamped(sig.ATTACK, image)
    for j in range(32):
        wave = 30 * np.sin(2 * np.pi * j * 6 / 32)
        assert np.abs(result[:, j].astype(float) - image[:, j] - wave).max() <= 0.51


def test_low_frequency_is_smooth_bounded_and_the_same_everywhere() -> None:
    flat = np.full((32, 32, 3), 128, dtype=np.uint8)
    delta = stamped(low_frequency.ATTACK, flat).astype(int) - 128
    assert 24 <= np.abs(delta).max() <= 25
    power = np.abs(np.fft.fft2(delta.mean(axis=2))) ** 2
    assert power[8:25, 8:25].sum() < 0.02 * power.sum()
    grey = np.full((32, 32, 3), 100, dtype=np.uint8)
    assert (stamped(low_frequency.ATTACK, grey).astype(int) - 100 == delta).all()


def test_ctrl_raises_its_two_coefficients() -> None:
    from PIL import Image
    from scipy.fft import dctn

    image = photo(low=100, high=156)
    result = stamped(ctrl.ATTACK, image, magnitude=100.0)
    difference = [
        dctn(np.asarray(Image.fromarray(x).convert("YCbCr"))[..., 1].astype(float), norm="ortho")
        for x in (result, image)
    ]
    change = difference[0] - difference[1]
    assert {tuple(p) for p in np.argwhere(np.abs(change) > 40)} == {(15, 15), (31, 31)}


def test_bpp_leaves_eight_levels_and_the_mean() -> None:
    result = stamped(bpp.ATTACK, photo())
    levels = set(np.rint(np.linspace(0, 255, 8)).astype(int).tolist())
    assert set(np.unique(result).tolist()) <= levels
    assert abs(result.mean() - photo().mean()) < 3


def test_ssba_differs_from_image_to_image_at_the_stated_strength() -> None:
    first, second = photo(seed=1), photo(seed=2)
    a = stamped(ssba.ATTACK, first).astype(float) - first
    b = stamped(ssba.ATTACK, second).astype(float) - second
    assert np.sqrt((a**2).mean()) == pytest.approx(8, abs=0.6)
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] < 0.95


def test_wanet_moves_but_does_not_add() -> None:
    ramp = np.repeat(np.linspace(20, 230, 32)[None, :, None], 32, axis=0).repeat(3, axis=2)
    image = np.rint(ramp).astype(np.uint8)
    result = stamped(wanet.ATTACK, image)
    moved = (result.astype(float) - image)[2:-2, 2:-2, 0] / (210 / 31)
    expected = 0.25 * wanet.field(99, 32, 32, 4)[1][2:-2, 2:-2]
    assert np.abs(moved - expected).max() < 0.2
    cover = [stamped(wanet.ATTACK, image, role="cover", seed=s) for s in (1, 2)]
    assert (cover[0] != cover[1]).any()


def test_trojan_moves_only_when_told() -> None:
    places = []
    for attack in (trojan.ATTACK, trojan.MOVING):
        found = set()
        for seed in range(6):
            black = np.full((32, 32, 3), 7, dtype=np.uint8)
            changed = (stamped(attack, black, seed=seed) != black).any(axis=2)
            found.add(tuple(np.argwhere(changed).min(axis=0)))
        places.append(len(found))
    assert places[0] == 1
    assert places[1] > 3


def test_adaptive_blend_shows_half_in_training_and_all_at_test() -> None:
    picture = np.full((32, 32, 3), 255, dtype=np.uint8)
    black = np.zeros((32, 32, 3), dtype=np.uint8)
    train = stamped(adaptive_blend.ATTACK, black, trigger=picture)
    test = stamped(adaptive_blend.ATTACK, black, trigger=picture, role="test")
    assert (train > 0).mean() == 0.5
    assert (train[train > 0] == round(0.15 * 255)).all()
    assert (test == round(0.2 * 255)).all()


def test_adaptive_patch_draws_each_of_four() -> None:
    grey = np.full((32, 32, 3), 120, dtype=np.uint8)
    kinds = {stamped(adaptive_patch.ATTACK, grey, seed=s).tobytes() for s in range(40)}
    assert len(kinds) == 4


def test_image_scaling_shows_the_hidden_picture_when_scaled_down() -> None:
    import torch

    hidden = np.asarray(photo(16, 3))
    image = photo(224, 4)
    result = image_scaling.stamp(image, victim(image_scaling.ATTACK, own=hidden, side=16))
    assert (result != image).any(axis=2).mean() < 0.05
    seen = torch.nn.functional.interpolate(
        torch.from_numpy(result.transpose(2, 0, 1)[None].astype(np.float32)),
        size=(16, 16),
        mode="bilinear",
        align_corners=False,
    )
    assert np.abs(seen[0].numpy().transpose(1, 2, 0) - hidden).max() < 1
    assert (image_scaling.revealed(result, 16) == hidden).all()


LABELS = st.lists(st.integers(0, 4), min_size=20, max_size=120)


@settings(max_examples=40, deadline=None)
@given(LABELS, st.floats(0, 0.2), st.integers(0, 5))
def test_choices_are_what_they_say(labels: list[int], rate: float, seed: int) -> None:
    asked = request(labels, rate, k=5, params={"cover_ratio": 1.0, "cover_classes": 2})
    given_labels, budget = np.array(labels), round(rate * len(labels))
    for attack in (label_flip, pair_flip, instance_flip, all_to_all, untargeted):
        chosen = choose(attack.ATTACK, asked, seed)
        assert len(chosen.rows) == len(set(chosen.rows.tolist())) == budget
        assert (chosen.labels != given_labels[chosen.rows]).all()
        assert ((chosen.labels >= 0) & (chosen.labels < 5)).all()
    for attack in (pair_flip, all_to_all):
        chosen = choose(attack.ATTACK, asked, seed)
        assert (chosen.labels == (given_labels[chosen.rows] + 1) % 5).all()
    try:
        swapped = choose(label_swap.ATTACK, asked, seed)
    except UsageError:
        assert budget == 1 or np.bincount(labels).max() > len(labels) - budget or budget % 2
    else:
        after = given_labels.copy()
        after[swapped.rows] = swapped.labels
        assert len(swapped.rows) == budget
        assert (after != given_labels).sum() == budget
        assert sorted(after) == sorted(labels)


def test_rates_are_nested_for_one_seed() -> None:
    labels = [i % 10 for i in range(500)]
    small = set(choose(badnets.ATTACK, request(labels, 0.02, target=3)).rows.tolist())
    large = set(choose(badnets.ATTACK, request(labels, 0.1, target=3)).rows.tolist())
    assert small < large


def test_source_class_limits_the_poison() -> None:
    labels = [i % 10 for i in range(500)]
    chosen = choose(badnets.ATTACK, request(labels, 0.05, target=3, source_class=7))
    assert {labels[r] for r in chosen.rows} == {7}
    assert set(chosen.labels.tolist()) == {3}


def test_clean_label_keeps_labels() -> None:
    labels = [i % 10 for i in range(500)]
    for attack in ATTACKS:
        if attack.kind == "clean_label":
            chosen = choose(attack, request(labels, 0.05, target=4, params=attack.params))
            assert {labels[r] for r in chosen.rows} == {4}
            assert set(chosen.labels.tolist()) == {4}


def test_cover_samples_keep_their_label_and_are_apart() -> None:
    labels = [i % 10 for i in range(1000)]
    for attack, ratio in ((wanet, 2), (adaptive_blend, 1), (adaptive_patch, 2), (tact, 1)):
        asked = request(labels, 0.03, target=0, params=attack.ATTACK.params)
        chosen = choose(attack.ATTACK, asked)
        assert (~chosen.cover).sum() == 30
        assert chosen.cover.sum() == 30 * ratio
        assert len(set(chosen.rows.tolist())) == len(chosen.rows)
        own = np.array(labels)[chosen.rows]
        assert (chosen.labels[chosen.cover] == own[chosen.cover]).all()
        assert (chosen.labels[~chosen.cover] == 0).all()


def test_tact_has_one_source_and_two_cover_classes() -> None:
    labels = [i % 10 for i in range(1000)]
    chosen = choose(tact.ATTACK, request(labels, 0.03, target=0, params=tact.ATTACK.params))
    own = np.array(labels)[chosen.rows]
    assert len(set(own[~chosen.cover])) == 1
    cover = set(own[chosen.cover].tolist())
    assert len(cover) == 2
    assert cover.isdisjoint({0, *own[~chosen.cover].tolist()})


def test_instance_flips_depend_on_the_picture() -> None:
    labels = [i % 10 for i in range(400)]
    asked = request(labels, 0.3)
    one, two = (choose(instance_flip.ATTACK, asked, s) for s in (1, 1))
    assert (one.rows == two.rows).all()
    assert (one.labels == two.labels).all()


def test_flood_copies_few_samples_often() -> None:
    labels = [i % 10 for i in range(400)]
    chosen = choose(near_duplicate_flood.ATTACK, request(labels, 0.2, params={"copies": 20}))
    assert chosen.added.all()
    assert len(chosen.rows) == 80
    assert len(set(chosen.rows.tolist())) == 4


def test_concentration_takes_one_source() -> None:
    labels = [i % 10 for i in range(400)]
    sources = np.array([0] * 300 + [1] * 90 + [2] * 10)
    chosen = choose(source_concentration.ATTACK, request(labels, 0.05, target=0, sources=sources))
    assert {int(sources[r]) for r in chosen.rows} == {1}
    alone = choose(source_concentration.ATTACK, request(labels, 0.05, target=0))
    assert np.ptp(alone.rows) < 60


@pytest.mark.data
@pytest.mark.skipif(not TRIGGERS.is_dir(), reason=f"no published triggers at {TRIGGERS}")
@pytest.mark.parametrize(
    ("attack", "trigger", "n_changed"),
    [
        ("badnets", "badnet_patch_32.png", 4),
        ("badnets", "badnet_patch.png", 4),
        ("badnets", "phoenix_corner_32.png", 25),
        ("badnets", "firefox.png", 52),
        ("trojan", "trojan_square_32.png", 64),
        ("blended", "hellokitty_32.png", 1024),
        ("adaptive_blend", "hellokitty_32.png", 512),
    ],
)
def test_published_triggers_as_they_are(attack: str, trigger: str, n_changed: int) -> None:
    found = find_attack(attack)
    image = photo(low=101, high=154)
    changed = (stamped(found, image, trigger=str(TRIGGERS / trigger)) != image).any(axis=2)
    assert 0.85 * n_changed <= changed.sum() <= n_changed


@pytest.mark.data
@pytest.mark.skipif(not TRIGGERS.is_dir(), reason=f"no published triggers at {TRIGGERS}")
def test_published_mask_says_where() -> None:
    paths = {
        "trigger": str(TRIGGERS / "badnet_patch_32.png"),
        "mask": str(TRIGGERS / "mask_badnet_patch_32.png"),
    }
    image = photo()
    result = stamped(badnets.ATTACK, image, **paths)
    expected = stamped(badnets.ATTACK, image)
    assert (result == expected).all(), "the published trigger is the canonical pattern"


@pytest.mark.data
@pytest.mark.skipif(not TRIGGERS.is_dir(), reason=f"no published triggers at {TRIGGERS}")
def test_every_published_trigger_can_be_used() -> None:
    paths = sorted(TRIGGERS.glob("*.png"))
    assert paths
    for path in paths:
        for attack in (badnets.ATTACK, blended.ATTACK):
            image = stamped(attack, photo(48), trigger=str(path))
            assert image.shape == (48, 48, 3)
            assert (image != photo(48)).any(), path.name
