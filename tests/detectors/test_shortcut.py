"""The shortcut probe finds stamped groups, stays quiet on natural ones, and explains itself."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import judged
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judged import hits
from material import material as bare
from polars.testing import assert_frame_equal

from auditor.detectors.probing.candidates import self_train, settle, top
from auditor.detectors.probing.group import Group
from auditor.detectors.shortcut import SHORTCUT
from auditor.interfaces import Evidence, InapplicableError, Material

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / os.environ.get("AUDITOR_TEST_DATA", "../shared/data")
CLASSES = 4
SIDE = 16


def natural(n: int, seed: int, side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """Smooth random images whose mean colour leans on the class; (n, side, side, 3), (n,)."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, n)
    coarse = rng.normal(0, 40, (n, side // 4, side // 4, 3)) + 110
    coarse += 12 * np.random.default_rng(0).normal(0, 1, (CLASSES, 1, 1, 3))[labels]
    images = np.repeat(np.repeat(coarse, 4, axis=1), 4, axis=2)
    images = images + rng.normal(0, 8, images.shape)
    return np.clip(images, 0, 255).astype(np.uint8), labels.astype(np.int64)


def stamp(
    images: np.ndarray, labels: np.ndarray, count: int, target: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A 3×3 checkerboard in the corner of ``count`` samples, relabelled; (images, labels, mask)."""
    images, labels = images.copy(), labels.copy()
    rows = np.random.default_rng(9).choice(np.flatnonzero(labels != target), count, replace=False)
    images[rows, -3:, -3:] = (np.indices((3, 3)).sum(axis=0) % 2 * 255)[..., None]
    labels[rows] = target
    return images, labels, np.isin(np.arange(len(labels)), rows)


def material(images: np.ndarray, labels: np.ndarray, **changes: object) -> Material:
    made = bare(labels, CLASSES, 1, pixels=images)
    return replace(made, **changes)  # type: ignore[arg-type]


def fired(evidence: Evidence) -> list[int | None]:
    """The classes in which the certain or the likely rule fires."""
    return sorted(hits(evidence, "BKD001") + hits(evidence, "BKD002"))


def members(evidence: Evidence) -> np.ndarray:
    column = evidence["sample"]["shortcut_member"]
    return column.fill_null(False).to_numpy()


@pytest.mark.parametrize("target", [0, 3])
def test_a_stamped_group_is_found_whole_and_nothing_else(target: int) -> None:
    images, labels, poisoned = stamp(*natural(1200, 1), 40, target)
    evidence = SHORTCUT.run(material(images, labels))
    assert fired(evidence) == [target]
    found = members(evidence) & (labels == target)
    assert found[poisoned].mean() >= 0.95
    assert (found & ~poisoned).sum() <= 2


@pytest.mark.parametrize("seed", range(3))
def test_natural_images_and_wrong_labels_fire_nothing(seed: int) -> None:
    images, labels = natural(900, seed)
    assert fired(SHORTCUT.run(material(images, labels))) == []
    rng = np.random.default_rng(seed)
    flipped = np.where(rng.random(900) < 0.15, rng.integers(0, CLASSES, 900), labels)
    assert fired(SHORTCUT.run(material(images, flipped))) == []


def test_fewer_samples_than_pixels_is_no_obstacle() -> None:
    images, labels, poisoned = stamp(*natural(500, 4), 40, 2)
    assert images[0].size > 500
    evidence = SHORTCUT.run(material(images, labels))
    assert fired(evidence) == [2]
    assert members(evidence)[poisoned].mean() >= 0.95


def test_grey_images_use_one_channel_and_are_measured() -> None:
    images, labels = natural(900, 5)
    grey = np.repeat(images[..., :1], 3, axis=3)
    images, labels, poisoned = stamp(grey, labels, 40, 1)
    evidence = SHORTCUT.run(material(images, labels))
    assert fired(evidence) == [1]
    assert members(evidence)[poisoned].mean() >= 0.95


def test_scores_are_fractions_with_their_cut_at_one_half() -> None:
    images, labels, _ = stamp(*natural(900, 6), 40, 1)
    sample = SHORTCUT.run(material(images, labels))["sample"]
    scores = sample["shortcut_score"]
    assert scores.min() >= 0
    assert scores.max() <= 1
    assert sample.select(
        ((pl.col("shortcut_score") > 0.5) == pl.col("shortcut_member")).all()
    ).item()


def test_unlabelled_samples_are_null_and_change_nothing() -> None:
    images, labels, _ = stamp(*natural(900, 7), 40, 1)
    known = SHORTCUT.run(material(images, labels))
    more = np.concatenate([images, natural(50, 8)[0]])
    partly = SHORTCUT.run(material(more, np.append(labels, np.full(50, -1))))
    # Of more rows the last digits of a product's sums are others.
    assert_frame_equal(partly["class"], known["class"], rel_tol=1e-5)
    assert partly["sample"].tail(50)["shortcut_score"].null_count() == 50
    assert partly["sample"].tail(50)["shortcut_member"].null_count() == 50


def test_copies_of_one_sample_make_no_group_and_copies_of_poison_are_members() -> None:
    images, labels = natural(900, 10)
    rows = np.repeat(np.flatnonzero(labels == 1)[0], 40)
    copies = np.append(np.full(900, -1), rows)
    flooded = np.concatenate([images, images[rows]]), np.append(labels, labels[rows])
    assert fired(SHORTCUT.run(material(*flooded, duplicate_of=copies))) == []
    images, labels, poisoned = stamp(images, labels, 40, 2)
    first = np.flatnonzero(poisoned)[:1]
    evidence = SHORTCUT.run(
        material(
            np.concatenate([images, images[first]]),
            np.append(labels, labels[first]),
            duplicate_of=np.append(np.full(900, -1), first),
        )
    )
    assert fired(evidence) == [2]
    assert members(evidence)[-1]


def content(labels: np.ndarray, wrong: float, seed: int) -> np.ndarray:
    """(N, K) float32 probabilities that favour ``labels`` but for a share ``wrong``."""
    rng = np.random.default_rng(seed)
    leading = np.where(
        rng.random(len(labels)) < wrong, rng.integers(0, CLASSES, len(labels)), labels
    )
    probabilities = np.full((len(labels), CLASSES), 0.1, dtype=np.float32)
    probabilities[np.arange(len(labels)), leading] = 0.7
    return probabilities


def test_a_trigger_that_leads_to_every_label_shows_among_the_disputed() -> None:
    images, truth = natural(1500, 21)
    rng = np.random.default_rng(3)
    poisoned = np.isin(np.arange(1500), rng.choice(1500, 75, replace=False))
    images = images.copy()
    images[poisoned, -3:, -3:] = (np.indices((3, 3)).sum(axis=0) % 2 * 255)[..., None]
    labels = np.where(poisoned, (truth + 1) % CLASSES, truth)
    views = {"pixels": images, "probabilities": content(truth, 0.2, 4)}
    evidence = SHORTCUT.run(material(images, labels, views=views))
    assert judged.fired(evidence) == {"BKD005": [None]}
    found = evidence["sample"]["shortcut_any_member"].to_numpy()
    assert found[poisoned].mean() >= 0.75  # the content model is wrong on a fifth
    assert (found & ~poisoned).sum() <= 3


def test_wrong_labels_that_content_disputes_hold_no_trigger() -> None:
    images, truth = natural(1500, 22)
    rng = np.random.default_rng(3)
    labels = np.where(rng.random(1500) < 0.2, rng.integers(0, CLASSES, 1500), truth)
    views = {"pixels": images, "probabilities": content(truth, 0.2, 4)}
    assert judged.fired(SHORTCUT.run(material(images, labels, views=views))) == {}


def test_without_probabilities_nothing_is_said_about_disputed_labels() -> None:
    evidence = SHORTCUT.run(material(*natural(900, 23)))
    assert set(evidence["dataset"].drop("shortcut_copies").row(0)) == {None}
    assert evidence["sample"]["shortcut_any_score"].null_count() == 900


def test_row_order_changes_the_order_alone() -> None:
    images, labels, _ = stamp(*natural(800, 11), 40, 1)
    order = np.random.default_rng(2).permutation(800)
    plain = SHORTCUT.run(material(images, labels))
    mixed = SHORTCUT.run(material(images[order], labels[order]))
    assert fired(plain) == fired(mixed)
    own = labels == 1
    np.testing.assert_array_equal(members(plain)[order] & own[order], members(mixed) & own[order])


def test_a_class_larger_than_the_search_is_scored_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auditor.detectors.probing.probe.MAX_CLASS_ROWS", 250)
    images, labels, poisoned = stamp(*natural(2400, 12), 120, 1)
    evidence = SHORTCUT.run(material(images, labels))
    assert fired(evidence) == [1]
    assert members(evidence)[poisoned].mean() >= 0.95
    assert (members(evidence) & ~poisoned & (labels == 1)).sum() <= 3


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (natural(60, 0)[0], natural(60, 0)[1]),
        (natural(300, 0)[0], np.zeros(300, dtype=np.int64)),
        (natural(300, 0)[0], np.full(300, -1, dtype=np.int64)),
        (np.full((300, 16, 16, 3), 9, dtype=np.uint8), natural(300, 0)[1]),
    ],
    ids=["too few", "one class", "no labels", "identical"],
)
def test_data_it_has_nothing_to_say_about_is_refused_with_a_reason(
    images: np.ndarray, labels: np.ndarray
) -> None:
    with pytest.raises(InapplicableError, match=r"needs|identical"):
        SHORTCUT.run(material(images, labels))


@given(st.integers(0, 1000), st.sampled_from([0.5, 0.7]))
@settings(max_examples=25, deadline=None)
def test_settle_is_its_plain_twin(seed: int, cut: float) -> None:
    rng = np.random.default_rng(seed)
    predictions = rng.random((30, 3)).astype(np.float32)
    chosen = rng.random((30, 3)) < 0.4
    chosen[:, 2] = False
    kept = settle(predictions, chosen, cut)
    for column in range(3):
        inside = predictions[chosen[:, column], column]
        outside = predictions[~chosen[:, column], column]
        expected = np.zeros(30, dtype=bool)
        if len(inside) and inside.mean() > outside.mean():
            limit = outside.mean() + cut * (inside.mean() - outside.mean())
            expected = predictions[:, column] > limit
        if len(inside) and abs(inside.mean() - outside.mean()) < 1e-6:
            continue
        np.testing.assert_array_equal(kept[:, column], expected)


def test_self_training_recovers_a_shared_direction_from_a_seed_that_is_half_wrong() -> None:
    rng = np.random.default_rng(3)
    rows = rng.normal(0, 1, (400, 20)).astype(np.float32)
    rows[:50, 0] += 12
    factor = np.linalg.inv(np.linalg.cholesky(rows.T @ rows + 0.1 * np.eye(20)))
    whitened = (rows @ factor.T).astype(np.float32)
    leverage = np.einsum("bd,bd->b", whitened, whitened)
    seed = np.zeros((400, 1), dtype=bool)
    seed[30:70] = True
    grown = self_train(whitened, leverage, seed, 400)
    np.testing.assert_array_equal(grown.members[:, 0], np.arange(400) < 50)


def test_top_takes_at_least_twenty_and_breaks_ties_by_position() -> None:
    assert np.flatnonzero(top(np.zeros(100), 0.01)).tolist() == list(range(20))
    assert top(np.arange(1000.0), 0.05).sum() == 50


def test_group_figures_are_their_definitions() -> None:
    predictions = np.concatenate([np.linspace(-0.1, 0.1, 201), [0.3, 0.9, 1.0, 1.1]])
    inside = predictions > 0.5
    group = Group(0, 0, np.arange(205), inside, predictions.astype(np.float32), np.zeros(1))
    rest, top_three = predictions[~inside], predictions[inside]
    difference = top_three.mean() - rest.mean()
    assert group.size == 3
    assert group.strength == pytest.approx(1.0)
    assert group.separation == pytest.approx(difference / rest.std(), rel=1e-4)
    assert group.contrast == pytest.approx(difference / (rest.std() + top_three.std()), rel=1e-4)
    assert group.shoulder == pytest.approx(1 / 3)
    high = np.quantile((rest - rest.mean()) / difference, 0.995)
    assert group.gap == pytest.approx(
        np.quantile((top_three - rest.mean()) / difference, 0.05) - high, rel=1e-3
    )


@pytest.mark.data
def test_clean_fashion_is_silent_and_a_patch_in_it_is_found() -> None:
    path = DATA / "fashion-mnist" / "train.parquet"
    if not path.exists():
        pytest.skip(f"no evaluation data at {path}; set AUDITOR_TEST_DATA")
    images, labels = _read_grey(path, 6000)
    assert fired(SHORTCUT.run(material(images, labels, n_classes=10))) == []
    images, labels, poisoned = stamp(images, labels, 60, 6)
    evidence = SHORTCUT.run(material(images, labels, n_classes=10))
    assert fired(evidence) == [6]
    assert members(evidence)[poisoned].mean() >= 0.95


def _read_grey(path: Path, n: int) -> tuple[np.ndarray, np.ndarray]:
    from io import BytesIO

    from PIL import Image

    table = pl.read_parquet(path, n_rows=n)
    encoded = table["image"].struct.field("bytes").to_list()
    views = [
        np.asarray(Image.open(BytesIO(one)).convert("RGB").resize((32, 32))) for one in encoded
    ]
    return np.stack(views), table["label"].to_numpy()
