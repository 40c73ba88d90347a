from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from auditor.interfaces import Material
from auditor.sample import write_sample
from auditor.scanning import scan
from auditor.trials.planting import (
    CLEAN_LABEL,
    COUNT,
    LADDER,
    MAX_ROWS,
    PATTERNS,
    STRENGTHS,
    bounds,
    part_of,
    plan,
    planted_labels,
    poisoned,
)


def material(seed: int = 0, n_classes: int = 10, n: int = 1_500) -> Material:
    """Handwritten digits, four pixels a pixel, in grey."""
    digits, labels = load_digits(return_X_y=True)
    rows = np.flatnonzero(labels < n_classes)[:n]
    images = (digits[rows].reshape(-1, 8, 8) * 15).astype(np.uint8)
    large = images.repeat(4, axis=1).repeat(4, axis=2)[..., None].repeat(3, axis=3)
    return Material(
        rows=np.arange(len(rows), dtype=np.uint64), labels=labels[rows].astype(np.int64),
        n_classes=n_classes, views={"pixels": large}, duplicate_of=np.full(len(rows), -1),
        generator=np.random.default_rng(seed), progress=lambda done, total: None,
    )  # fmt: skip


@pytest.mark.parametrize("n_classes", [2, 5, 10])
def test_every_class_gets_one_pattern_and_no_row_two(n_classes: int) -> None:
    given = material(n_classes=n_classes)
    planted = list(plan(given))
    assert [(one.pattern, one.strength) for one in planted] == list(LADDER[:n_classes])
    assert len({one.label for one in planted}) == len(planted)
    rows = np.concatenate([one.rows for one in planted])
    assert len(np.unique(rows)) == len(rows) == COUNT * len(planted)
    for one in planted:
        own = given.labels[one.rows] == one.label
        assert own.all() if one.pattern in CLEAN_LABEL else not own.any()


def test_duplicates_unlabelled_rows_and_small_classes_are_left_alone() -> None:
    given = material()
    rare = given.labels == 3
    labels = np.where(rare & (np.cumsum(rare) > 50), -1, given.labels)
    twice = np.where(np.arange(len(labels)) % 2, 0, -1)
    planted = list(plan(replace(given, labels=labels, duplicate_of=twice)))
    rows = np.concatenate([one.rows for one in planted])
    assert (twice[rows] < 0).all()
    assert (labels[rows] >= 0).all()
    assert 3 not in {one.label for one in planted}


def test_a_copy_is_poisoned_and_nothing_else_is_touched() -> None:
    given = material()
    before = given.views["pixels"].copy()
    planted = list(plan(given))
    copy = poisoned(given, planted)
    assert (given.views["pixels"] == before).all()
    rows = np.concatenate([one.rows for one in planted])
    rest = np.setdiff1d(np.arange(len(before)), rows)
    assert (copy.views["pixels"][rest] == before[rest]).all()
    assert (copy.labels[rest] == given.labels[rest]).all()
    for one in planted:
        assert (copy.labels[one.rows] == one.label).all()
        changed = (copy.views["pixels"][one.rows] != before[one.rows]).any(axis=(1, 2, 3))
        assert changed.mean() > 0.9


@given(
    st.sampled_from([(name, strength) for name in PATTERNS for strength in STRENGTHS[name]]),
    st.integers(0, 99),
)
def test_each_pattern_is_the_slow_one_drawn_alike(what: tuple[str, float], seed: int) -> None:
    name, strength = what
    images = np.random.default_rng(seed).integers(0, 256, (2, 12, 10, 3), dtype=np.uint8)
    stamped = PATTERNS[name](images, strength, np.random.default_rng(seed))
    generator = np.random.default_rng(seed)
    expected = images.astype(np.float64)
    if name == "patch":
        side = int(strength)
        top, left = generator.integers(1, 12 - side), generator.integers(1, 10 - side)
        for i in range(side):
            for j in range(side):
                expected[:, top + i, left + j] = 255 * ((i + j) % 2 == 0)
    elif name == "blend":
        noise = generator.uniform(0, 255, (12, 10, 3))
        expected = (1 - strength) * expected + strength * noise
    else:
        angle = generator.uniform(0, np.pi)
        for i in range(12):
            for j in range(10):
                along = np.cos(angle) * j / 10 + np.sin(angle) * i / 12
                expected[:, i, j] += strength * np.sin(2 * np.pi * 6 * along)
    assert (stamped == np.rint(expected).clip(0, 255)).all()


def test_bounds_are_those_from_which_on_everything_was_found() -> None:
    assert bounds({}) == (None, None)
    assert bounds({1.0: True, 2.0: True}) == (1.0, None)
    assert bounds({1.0: False, 2.0: True, 3.0: True}) == (2.0, 1.0)
    assert bounds({1.0: True, 2.0: False, 3.0: True}) == (3.0, 2.0)
    assert bounds({1.0: True, 2.0: True, 3.0: False}) == (None, 3.0)


def test_labels_are_planted_in_a_copy_and_judged_as_a_scan_does() -> None:
    given = material()
    n, k = len(given.labels), given.n_classes
    sure = np.random.default_rng(1).dirichlet(np.ones(k), n).astype(np.float32) / 4
    sure[np.arange(n), given.labels] += 0.75
    features = np.random.default_rng(0).normal(0, 0.1, (n, 16)) + np.eye(16)[given.labels]
    views = {
        "probabilities": sure, "penultimate": features.astype(np.float16),
        "fold": (np.arange(n) % 2).astype(np.int8),
    }  # fmt: skip
    before = given.labels.copy()
    found = planted_labels(replace(given, views=views))
    assert found["planted_labels_n"] == round(0.05 * n)
    assert found["planted_labels_found"] == pytest.approx(1.0, abs=0.05)
    assert (given.labels == before).all()
    noise = np.random.default_rng(2).normal(0, 1, features.shape).astype(np.float16)
    blurred = {**views, "probabilities": np.full((n, k), 1 / k, np.float32), "penultimate": noise}
    assert planted_labels(given)["planted_labels_found"] is None
    assert planted_labels(replace(given, views=blurred))["planted_labels_n"] is None


def test_a_large_dataset_is_planted_in_part() -> None:
    given = material()
    times = MAX_ROWS // len(given.rows) + 1
    large = replace(
        given,
        rows=np.arange(times * len(given.rows), dtype=np.uint64),
        labels=np.tile(given.labels, times),
        views={"pixels": np.tile(given.views["pixels"][:, :2, :2], (times, 1, 1, 1))},
        duplicate_of=np.tile(np.where(np.arange(len(given.rows)) == 7, 3, -1), times),
    )
    part = part_of(large)
    assert len(part.rows) == len(part.labels) == len(part.views["pixels"]) == MAX_ROWS
    assert (part.labels == large.labels[part.rows.astype(int)]).all()
    assert ((part.duplicate_of >= 0) == (large.duplicate_of[part.rows.astype(int)] >= 0)).all()
    assert part_of(given) is given


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planting") / "digits"
    write_sample(folder)
    return folder


def test_a_scan_of_clean_digits_says_what_it_would_have_missed(brief: None, digits: Path) -> None:
    report = scan(digits, cache_dir=None)
    run = next(run for run in report.detectors if run.id == "planting")
    assert run.status == "ok"
    assert {one.status for one in report.detectors if one.id in ("impostor", "gathered")} == {"ok"}
    known = report.evidence["dataset"].row(0, named=True)
    assert known["planted_blend_found"] is not None
    assert "patterns were planted in a copy" in " ".join(report.blind_spots)


def test_the_fast_profile_plants_nothing(digits: Path) -> None:
    report = scan(digits, profile="fast", cache_dir=None)
    assert "planting" not in {run.id for run in report.detectors}
