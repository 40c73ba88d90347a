"""Everything measured of a class says who belongs to its impostors."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.detectors import gathering
from auditor.detectors.gathering import (
    SCORES,
    SHRINKAGE,
    beginnings,
    belonging,
    evidence_of,
    gather,
    normal_scores,
    step,
)

CLASSES = 4


def scene(seed: int = 0, n: int = 1_200) -> tuple[pl.DataFrame, np.ndarray, np.ndarray]:
    """Samples, (n, 4) probabilities and who is poisoned: 90 of class 1, of which 40 are known.

    Each score leans on the poison by 1.5 or 2.5 deviations; no single one tells it.
    """
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, n)
    poisoned = np.zeros(n, bool)
    own = np.flatnonzero(labels == 1)
    poisoned[own[:90]] = True
    scores = {
        name: rng.normal(0, 1, n) + poisoned * (1.5 + place % 2)
        for place, name in enumerate(SCORES[:6])
    }
    known = poisoned & (scores["impostor_score"] > np.median(scores["impostor_score"][poisoned]))
    logits = rng.normal(0, 1, (n, CLASSES)) + 3 * (np.arange(CLASSES) == labels[:, None])
    logits[poisoned, 1] -= 2
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    samples = pl.DataFrame(
        {"row": np.arange(n, dtype=np.uint64), "label": labels, "impostor_member": known} | scores
    )
    return samples, probabilities.astype(np.float32), poisoned


def table(**foreign: float) -> pl.DataFrame:
    values = [foreign.get(f"c{label}", 0.0) for label in range(CLASSES)]
    return pl.DataFrame({"label": range(CLASSES), "impostor_foreign": values})


def test_who_was_not_known_is_gathered() -> None:
    samples, probabilities, poisoned = scene()
    sample = gather(samples, table(c1=0.9), probabilities)["sample"]
    own = (samples["label"] == 1).to_numpy()
    member = sample["gathered_member"].fill_null(False).to_numpy()
    assert samples["impostor_member"].sum() <= 45
    assert member[poisoned].mean() > 0.9
    assert (member & own & ~poisoned).sum() <= 5
    assert sample["gathered_score"].null_count() == (~own).sum()


def test_a_class_without_a_foreign_group_or_with_few_of_it_is_not_judged() -> None:
    samples, probabilities, _ = scene()
    assert gather(samples, table(), probabilities)["sample"]["gathered_score"].is_null().all()
    few = samples.with_columns(impostor_member=pl.col("row") < 5)
    found = gather(few, table(c1=0.9), probabilities)["sample"]
    assert found["gathered_score"].is_null().all()


def test_a_group_whose_processing_is_clearly_foreign_is_begun_from() -> None:
    samples, probabilities, poisoned = scene()
    processed = samples.with_columns(
        texture_member=pl.col("impostor_member"), impostor_member=pl.lit(False)
    )

    def classes(foreign: float, z: float) -> pl.DataFrame:
        ones = (pl.col("label") == 1).cast(pl.Float64)
        return table().with_columns(texture_foreign=foreign * ones, texture_foreign_z=z * ones)

    found = gather(processed, classes(0.8, 12.0), probabilities)["sample"]
    member = found["gathered_member"].fill_null(False).to_numpy()
    assert member[poisoned].mean() > 0.9
    assert beginnings(classes(0.8, 12.0)) == {1: "texture"}
    assert beginnings(classes(0.8, 5.0)) == beginnings(classes(0.5, 12.0)) == {}
    both = classes(0.8, 12.0).with_columns(impostor_foreign=pl.lit(0.9))
    assert beginnings(both) == {0: "impostor", 1: "texture", 2: "impostor", 3: "impostor"}


def test_seeds_that_do_not_belong_leave_again() -> None:
    samples, probabilities, poisoned = scene()
    own = np.flatnonzero((samples["label"] == 1).to_numpy() & ~poisoned)[:30]
    member = samples["impostor_member"].to_numpy().copy()
    member[own] = True
    impure = samples.with_columns(impostor_member=pl.Series(member))
    found = gather(impure, table(c1=0.9), probabilities)["sample"]
    gathered = found["gathered_member"].fill_null(False).to_numpy()
    assert gathered[own].sum() <= 3
    assert gathered[poisoned].mean() > 0.9


def test_a_group_that_dissolves_leaves_the_impostors_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gathering, "belonging", lambda evidence, seed: np.full(len(seed), 0.1))
    samples, probabilities, _ = scene()
    found = gather(samples, table(c1=0.9), probabilities)["sample"].drop_nulls("gathered_score")
    own = samples.filter(pl.col("label") == 1)
    assert found["gathered_score"].to_list() == own["impostor_score"].to_list()


@given(st.integers(0, 100), st.sampled_from(["cube", "exp", "scale"]))
@settings(max_examples=15, deadline=None)
def test_neither_row_order_nor_the_scale_of_a_score_counts(seed: int, how: str) -> None:
    samples, probabilities, _ = scene(seed, 400)
    plain = gather(samples, table(c1=0.9), probabilities)["sample"]["gathered_score"]
    curve = {"cube": pl.col(SCORES[1]) ** 3, "exp": pl.col(SCORES[1]).exp(),
             "scale": 5 * pl.col(SCORES[1]) - 3}[how]  # fmt: skip
    order = np.random.default_rng(seed).permutation(len(samples))
    other = gather(
        samples.with_columns(curve.alias(SCORES[1]))[order.tolist()], table(c1=0.9),
        probabilities[order],
    )["sample"].sort("row")["gathered_score"]  # fmt: skip
    assert other.to_numpy() == pytest.approx(plain.to_numpy(), abs=1e-6, nan_ok=True)


@given(st.integers(0, 1_000), st.integers(5, 30), st.integers(1, 4))
def test_a_step_is_its_slow_twin(seed: int, n: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    points, chance = rng.normal(0, 1, (n, d)), rng.uniform(0.05, 0.9, n)
    high = sum(p * w for p, w in zip(points, chance, strict=True)) / sum(chance)
    low = sum(p * (1 - w) for p, w in zip(points, chance, strict=True)) / sum(1 - chance)
    covariance = np.zeros((d, d))
    for point, weight in zip(points, chance, strict=True):
        covariance += weight * np.outer(point - high, point - high) / n
        covariance += (1 - weight) * np.outer(point - low, point - low) / n
    covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * np.eye(d) * np.mean(np.diag(covariance))
    inverse, share = np.linalg.inv(covariance), float(np.mean(chance))

    def density(point: np.ndarray, mean: np.ndarray) -> float:
        return float(np.exp(-0.5 * (point - mean) @ inverse @ (point - mean)))

    twin = [
        share * density(point, high)
        / (share * density(point, high) + (1 - share) * density(point, low))
        for point in points
    ]  # fmt: skip
    assert step(points, chance) == pytest.approx(np.array(twin), rel=1e-6, abs=1e-9)


@given(st.integers(0, 20))
@settings(max_examples=10, deadline=None)
def test_where_the_fit_begins_does_not_count(seed: int) -> None:
    samples, probabilities, poisoned = scene(seed)
    own = np.flatnonzero((samples["label"] == 1).to_numpy())
    scores = [samples[name].to_numpy() for name in SCORES[:6]]
    evidence = evidence_of(own, scores, probabilities)
    known, whole = samples["impostor_member"].to_numpy()[own], poisoned[own]
    assert belonging(evidence, known) == pytest.approx(belonging(evidence, whole), abs=0.1)


def test_what_does_not_vary_or_was_not_measured_is_left_out() -> None:
    rows, ones = np.arange(6), np.ones((6, 2))
    unknown, level, varied = np.full(6, np.nan), np.full(6, 2.0), np.arange(6.0)
    assert normal_scores(unknown) is None
    assert evidence_of(rows, [unknown, level, varied], ones).shape == (6, 1)
    half = np.where(np.arange(6) < 3, np.nan, varied)
    scores = normal_scores(half)
    assert scores is not None
    assert (scores[:4] == scores[0]).all(), "what is not known ranks with the lowest"
