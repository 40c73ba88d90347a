"""The null of the gates: its draws, how near a gate is, its tail and what p promises."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def path() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
        yield


@pytest.fixture(scope="module")
def null(path: None) -> ModuleType:
    import gate_null

    return gate_null


@pytest.fixture(scope="module")
def calibration(path: None) -> ModuleType:
    import gate_calibration

    return gate_calibration


def rows(null: ModuleType, **figures: list[float]) -> pl.DataFrame:
    n = len(next(iter(figures.values())))
    blank = {"probe": ["shortcut"] * n, "label": ["3"] * n, "n": [100] * n, "share": [0.1] * n}
    frame = pl.DataFrame(blank | figures)
    absent = [pl.lit(None, kind).alias(k) for k, kind in null.SCHEMA.items() if k not in frame]
    return frame.with_columns(absent).select(pl.col(k).cast(v) for k, v in null.SCHEMA.items())


@pytest.mark.parametrize(("noise", "wrong"), [("none", 0), ("flip-0.1", 100), ("pair-0.1", 100)])
def test_relabelling_alters_exactly_its_share(null: ModuleType, noise: str, wrong: int):
    labels = np.arange(1000) % 10
    given_labels = labels.copy()
    null.relabel(given_labels, noise, np.random.default_rng(0))
    changed = given_labels != labels
    assert changed.sum() == wrong
    if noise.startswith("pair"):
        assert (given_labels[changed] == (labels[changed] + 1) % 10).all()


def test_targeted_noise_goes_from_one_class_to_one(null: ModuleType):
    labels = np.arange(1000) % 10
    given_labels = labels.copy()
    null.relabel(given_labels, "targeted-0.3", np.random.default_rng(0))
    changed = given_labels != labels
    assert changed.sum() == 30
    assert len(set(labels[changed])) == len(set(given_labels[changed])) == 1


def test_rules_are_asked_as_they_ship(null: ModuleType):
    table = rows(
        null, contrast=[44.0, 1.5], separation=[78.0, 3.0], gap=[0.9, -0.1], shoulder=[0.0, 0.5],
        excess=[0.0, 0.4], edge=[9.0, 1.0],
    )  # fmt: skip
    assert null.judge(table)["fired"].to_list() == ["BKD001", ""]


figure = st.floats(0.02, 20, allow_nan=False)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(figure, figure, figure, figure, figure), min_size=1, max_size=8))
def test_a_gate_is_passed_from_one_on(null: ModuleType, calibration: ModuleType, drawn: list):
    contrast, separation, gap, shoulder, excess = map(list, zip(*drawn, strict=True))
    table = rows(
        null, contrast=contrast, separation=separation, gap=[g / 20 for g in gap],
        shoulder=[s / 20 for s in shoulder], excess=[e / 100 for e in excess],
        disputed=[g / 20 for g in gap], disputed_rest=[s / 40 for s in shoulder],
    )  # fmt: skip
    fired = null.judge(table)["fired"].str.split(" ")
    for gate in calibration.GATES:
        if gate.probe != "shortcut" or gate.scope != "class":
            continue
        near = calibration.nearness(null.as_evidence(table, "shortcut", "class"), gate)
        hit = np.array([bool(set(gate.rules) & set(ids)) for ids in fired.to_list()])
        clear = np.abs(near - 1) > 1e-5
        np.testing.assert_array_equal((near >= 1)[clear], hit[clear])


def test_figures_twice_as_good_are_twice_as_near(null: ModuleType, calibration: ModuleType):
    def near(factor: float) -> float:
        table = rows(
            null, contrast=[2.0 * factor], separation=[7.0 * factor], gap=[0.2 * factor],
            shoulder=[0.3 / factor], excess=[0.02 / factor],
        )  # fmt: skip
        gate = next(gate for gate in calibration.GATES if gate.rules == ("BKD001",))
        return float(calibration.nearness(null.as_evidence(table, "shortcut", "class"), gate)[0])

    assert near(2.0) == pytest.approx(2 * near(1.0), rel=1e-4)


def test_touching_groups_are_never_near_a_gate_that_asks_for_room(
    null: ModuleType, calibration: ModuleType
):
    clear = {"contrast": [9.0] * 2, "separation": [50.0] * 2, "shoulder": [0.0] * 2}
    table = rows(null, **clear, n=[30, 100], gap=[-0.1] * 2, excess=[0.0] * 2)
    table = table.with_columns(probe=pl.lit("texture"))
    gate = next(gate for gate in calibration.GATES if gate.rules == ("BKD014",))
    few, many = calibration.nearness(null.as_evidence(table, "texture", "class"), gate)
    assert few == 0
    assert many > 1, "of fifty and more no room is asked"


def test_the_tail_finds_an_exponential_and_ranks_the_rest(calibration: ModuleType):
    values = np.random.default_rng(0).exponential(0.1, 4000)
    tail = calibration.fit_tail(values, 0.1)
    far = np.array([0.3, 0.5, 0.7])
    np.testing.assert_allclose(tail.survival(far), np.exp(-far / 0.1), rtol=0.6)
    seen = 0.05
    slow = (sum(value >= seen for value in values) + 1) / (len(values) + 1)
    assert tail.survival(np.array([seen]))[0] == pytest.approx(slow)
    assert tail.shape >= 0


def test_a_bounded_tail_is_not_believed(calibration: ModuleType):
    tail = calibration.fit_tail(np.random.default_rng(1).random(500), 0.1)
    assert tail.shape == 0
    assert tail.survival(np.array([1.5]))[0] > 0


def test_p_over_looks_is_one_minus_the_chance_of_none(calibration: ModuleType):
    tail = calibration.fit_tail(np.linspace(0, 1, 101), 0.1)
    one = tail.survival(np.array([0.5]))[0]
    found = calibration.p_of_draw([tail], np.array([0.5]), np.array([10]))[0]
    assert found == pytest.approx(1 - (1 - one) ** 10)
    milder = calibration.fit_tail(np.linspace(0, 0.4, 101), 0.1)
    both = calibration.p_of_draw([milder, tail], np.array([0.5]), np.array([10]))[0]
    assert both == found


def test_the_picture_marks_levels_that_no_draw_reached(calibration: ModuleType):
    found = pl.DataFrame(
        {"dataset": ["a"] * 50, "gate": ["all gates"] * 50, "p": np.linspace(0.2, 1, 50)}
    )
    tested = calibration.reliability(found, "all").filter(pl.col("dataset") == "all")
    assert tested["hits"].to_list() == [0, 0, 0, 0, 1, 19]
    svg = ElementTree.fromstring(calibration.draw_reliability(tested))
    fills = [mark.get("fill") for mark in svg.iter("{http://www.w3.org/2000/svg}circle")]
    assert fills.count("#fff") == 4
