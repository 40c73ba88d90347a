"""Who stands apart in one probe: groups of a class, groups behind them, groups of the disputed."""

from __future__ import annotations

from functools import partial

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judged import fired
from leaning import CLASSES, content, leaning
from material import material

from auditor.detectors.probing.candidates import SEED_SHARES, label_seeds
from auditor.detectors.probing.exclusivity import against_others
from auditor.detectors.probing.group import CUT, ENOUGH, FADING, Group
from auditor.detectors.probing.probe import Probe, fit_matrix
from auditor.detectors.probing.standing import (
    MAX_OWN_PROBABILITY,
    OPINIONS,
    SURE_GAP,
    Standing,
    any_row,
    any_schema,
    class_rows,
    class_schema,
    fitted_rows,
    sample_table,
    stand_apart,
)
from auditor.interfaces import Evidence, InapplicableError

WIDTH = 24

natural = partial(leaning, width=WIDTH, lean=0.5)


def mark(
    features: np.ndarray, rows: np.ndarray, which: int = 0, strength: float | np.ndarray = 5.0
) -> np.ndarray:
    """A copy whose ``rows`` are moved along the direction of trigger number ``which``."""
    features = features.copy()
    features[rows] += strength * np.random.default_rng(100 + which).choice([-1, 1], WIDTH)
    return features


def some(rows: np.ndarray, count: int, seed: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.flatnonzero(rows))[:count]


def relabelled(labels: np.ndarray, rows: np.ndarray, target: int = 0) -> np.ndarray:
    labels = labels.copy()
    labels[rows] = target
    return labels


def standing(
    features: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray | None = None,
    plain: np.ndarray | None = None,
) -> tuple[Standing, Evidence]:
    """The groups, and their tables under the shortcut probe's names, which its rules read."""
    given = {"probabilities": probabilities, "plain": plain}
    views = {name: view for name, view in given.items() if view is not None}
    made = material(labels, CLASSES, 1, **views)
    index, by_class = fitted_rows(made)
    found = stand_apart(
        fit_matrix(features, index, {"made": (None, 1e-2)}), by_class, made, OPINIONS
    )
    name = "shortcut"
    return found, {
        "sample": sample_table(name, found, made),
        "class": pl.DataFrame(class_rows(name, found), schema=class_schema(name)),
        "dataset": pl.DataFrame([any_row(name, found)], schema=any_schema(name)),
    }


def members(evidence: Evidence, labels: np.ndarray, target: int = 0) -> np.ndarray:
    """Members of the target class alone: the others' best groups pass no gate."""
    column = evidence["sample"]["shortcut_member"].fill_null(False).to_numpy()
    return np.asarray(column & (labels == target))


def anywhere(evidence: Evidence) -> np.ndarray:
    return evidence["sample"]["shortcut_any_member"].fill_null(False).to_numpy()


@pytest.mark.parametrize("seed", range(3))
def test_natural_data_and_wrong_labels_fire_nothing(seed: int) -> None:
    features, truth = natural(1200, seed)
    assert fired(standing(features, truth, content(truth, 0.2, seed + 50))[1]) == {}
    rng = np.random.default_rng(seed)
    flipped = np.where(rng.random(1200) < 0.2, rng.integers(0, CLASSES, 1200), truth)
    pairs = np.where(rng.random(1200) < 0.2, (truth + 1) % CLASSES, truth)
    for labels in (flipped, pairs):
        found, evidence = standing(features, labels, content(truth, 0.2, seed + 50))
        assert found.spread is not None
        assert fired(evidence) == {}
        assert all(not groups for groups in found.further.values())


def test_each_of_three_triggers_in_one_class_is_found() -> None:
    features, truth = natural(1200, 4)
    rows = some(truth != 0, 120)
    for which in range(3):
        features = mark(features, rows[which * 40 : (which + 1) * 40], which)
    labels = relabelled(truth, rows)
    found, evidence = standing(features, labels)
    assert fired(evidence) == {"BKD001": [0]}
    assert len(found.further[0]) == 2
    np.testing.assert_array_equal(np.flatnonzero(members(evidence, labels)), np.sort(rows))


def test_groups_of_a_class_share_no_member() -> None:
    features, truth = natural(1200, 5)
    rows = some(truth != 1, 80)
    features = mark(mark(features, rows[:40], 0), rows[40:], 1)
    found, _ = standing(features, relabelled(truth, rows, 1))
    best = next(one for one in found.best if one.group.label == 1)
    every = [one.group.rows[one.group.members] for one in (best, *found.further[1])]
    assert sorted(map(len, every)) == [40, 40]
    assert len(np.unique(np.concatenate(every))) == 80


@pytest.mark.parametrize("share", [0.5, 0.65])
def test_a_trigger_on_half_of_a_class_and_more_is_found(share: float) -> None:
    features, truth = natural(1200, 4)
    rows = some(truth != 0, round((truth == 0).sum() * share / (1 - share)))
    labels = relabelled(truth, rows)
    evidence = standing(mark(features, rows), labels)[1]
    assert fired(evidence) == {"BKD001": [0]}
    np.testing.assert_array_equal(np.flatnonzero(members(evidence, labels)), np.sort(rows))
    row = evidence["class"].row(0, named=True)
    assert row["shortcut_share"] == pytest.approx(len(rows) / (labels == 0).sum())


def test_one_seed_in_four_is_as_large_as_half_of_the_class() -> None:
    whitened = np.random.default_rng(0).normal(size=(1000, 5)).astype(np.float32) / 40
    leverage = np.einsum("nd,nd->n", whitened, whitened)
    seeds = label_seeds(whitened, leverage, 5000)
    assert [int(seed.sum()) for seed in seeds] == [max(20, round(s * 1000)) for s in SEED_SHARES]
    assert max(seed.sum() for seed in seeds) == 500


def test_hundreds_need_less_contrast_than_a_small_group() -> None:
    judged = {}
    for count in (80, 300):
        features, truth = natural(2400, 4)
        rows = some(truth != 0, count)
        strength = np.random.default_rng(8).uniform(0.8, 2.1, (count, 1))
        judged[count] = fired(
            standing(mark(features, rows, 0, strength), relabelled(truth, rows))[1]
        )
    assert judged == {80: {}, 300: {"BKD002": [0]}}


@pytest.mark.parametrize(
    ("better", "alarms"),
    [({}, False), ({"n": 120}, True), ({"contrast": 3.6}, True), ({"shoulder": 0.2}, True)],
)
def test_a_few_disputed_samples_that_fade_out_are_no_trigger(
    better: dict[str, float], alarms: bool
) -> None:
    """Figures of a clean draw of 8,000 garments, and what each would have to be."""
    seen = {"n": 31, "excess": 0.117, "contrast": 2.76, "separation": 16.7, "gap": 0.27}
    figures = seen | {"shoulder": 0.45} | better
    row = pl.DataFrame({f"shortcut_any_{name}": [value] for name, value in figures.items()})
    assert fired({"dataset": row}) == ({"BKD005": [None]} if alarms else {})


def source_specific(covers: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Class 3 stamped and relabelled to 0, samples of 1 and 2 stamped alone (TaCT's covers)."""
    features, truth = natural(1200, 4)
    rows = some(truth == 3, 40)
    cover = some((truth == 1) | (truth == 2), covers, 8)
    features = mark(mark(features, rows), cover)
    return features, truth, relabelled(truth, rows), rows


def test_a_source_specific_trigger_with_covers_is_told_by_its_disputed_labels() -> None:
    features, truth, labels, rows = source_specific(10)
    _, evidence = standing(features, labels, content(truth, 0.1, 1))
    judged = fired(evidence)
    assert judged["BKD007"] == [0]
    assert "BKD001" not in judged, "its covers show the pattern in other classes"
    np.testing.assert_array_equal(np.flatnonzero(members(evidence, labels)), np.sort(rows))


def test_the_same_pattern_under_right_labels_is_no_trigger() -> None:
    features, _, labels, _ = source_specific(10)
    agreed = standing(features, labels, content(labels, 0.1, 1))[1]
    assert fired(agreed) == {}
    unknown = standing(features, labels)[1]
    assert fired(unknown) == {}
    assert unknown["class"]["shortcut_disputed"].null_count() == CLASSES
    assert set(unknown["dataset"].row(0)) == {None}


@pytest.mark.parametrize("count", [9, 14])
def test_a_dozen_disputed_samples_are_a_group_where_it_is_stark(count: int) -> None:
    features, truth = natural(1200, 4)
    rows = some(truth != 0, count)
    labels = relabelled(truth, rows)
    stamped = mark(features, rows, strength=9.0)
    evidence = standing(stamped, labels, content(truth, 0.1, 1))[1]
    assert fired(evidence) == {"BKD007": [0]}
    np.testing.assert_array_equal(np.flatnonzero(members(evidence, labels)), np.sort(rows))
    assert fired(standing(stamped, labels, content(labels, 0.1, 1))[1]) == {}, "undisputed"
    assert fired(standing(stamped, labels)[1]) == {}, "nobody can tell"
    faint = mark(features, rows, strength=2.0)
    assert fired(standing(faint, labels, content(truth, 0.1, 1))[1]) == {}


def test_the_rule_for_disputed_groups_leaves_certain_groups_to_theirs() -> None:
    features, truth = natural(1200, 4)
    rows = some(truth != 0, 40)
    labels = relabelled(truth, rows)
    judged = fired(standing(mark(features, rows), labels, content(truth, 0.1, 1))[1])
    assert judged.get("BKD001") == [0]
    assert "BKD007" not in judged


@pytest.mark.parametrize(("strength", "sure"), [(5.0, True), (0.7, False)])
def test_all_to_all_claims_undisputed_carriers_only_where_the_gap_is_sure(
    strength: float, sure: bool
) -> None:
    features, truth = natural(1200, 4)
    rows = some(truth >= 0, 75)
    labels = truth.copy()
    labels[rows] = (truth[rows] + 1) % CLASSES
    features = mark(features, rows, 0, strength)
    found, evidence = standing(features, labels, content(truth, 0.5, 2))
    assert found.disputed is not None
    assert found.spread is not None
    assert (found.spread.measured.group.gap >= SURE_GAP) == sure
    poisoned = np.isin(np.arange(1200), rows)
    undisputed = poisoned & (found.disputed == 0)
    assert undisputed.sum() >= 5
    claimed = anywhere(evidence)
    assert (claimed & ~poisoned).sum() <= 3
    if sure:
        assert fired(evidence) == {"BKD005": [None]}
        assert claimed[poisoned].all()
    else:
        assert not claimed[found.disputed == 0].any()
        scores = evidence["sample"]["shortcut_any_score"].to_numpy()
        assert (scores[found.disputed == 0] == 0).all()


def test_a_trigger_that_the_network_has_learnt_is_disputed_by_the_linear_opinion() -> None:
    features, truth = natural(1200, 4)
    rows = some(truth >= 0, 75)
    labels = truth.copy()
    labels[rows] = (truth[rows] + 1) % CLASSES
    features = mark(features, rows)
    learnt, plain = content(labels, 0.2, 2), content(truth, 0.3, 3)
    poisoned = np.isin(np.arange(1200), rows)
    for asked, opinion in ((None, "network"), (plain, "linear")):
        found, evidence = standing(features, labels, learnt, asked)
        assert found.spread is not None
        assert found.spread.opinion == opinion
        assert evidence["dataset"]["shortcut_any_opinion"].item() == opinion
        assert fired(evidence) == ({"BKD005": [None]} if opinion == "linear" else {})
    claimed = anywhere(evidence)
    assert claimed[poisoned].all()
    assert (claimed & ~poisoned).sum() <= 3
    assert found.disputed is not None
    assert (found.disputed[poisoned] == 1).mean() < 0.5, "classes are judged by the network alone"


def test_a_pattern_that_goes_with_right_labels_too_is_no_trigger() -> None:
    features, truth = natural(1200, 4)
    carriers = some(truth >= 0, 200)
    labels = truth.copy()
    labels[carriers[:50]] = (truth[carriers[:50]] + 1) % CLASSES
    found, evidence = standing(mark(features, carriers), labels, content(truth, 0.2, 2))
    assert found.spread is not None
    assert found.spread.measured.group.contrast > 5, "the disputed do hold a clear group"
    assert fired(evidence) == {}


def test_few_disputed_labels_make_no_disputed_group() -> None:
    features, truth = natural(600, 6)
    found, evidence = standing(features, truth, content(truth, 0.05, 3))
    assert found.disputed is not None
    assert 0 < (found.disputed == 1).sum() < 40
    assert found.spread is None
    assert evidence["sample"]["shortcut_any_score"].null_count() == 600
    assert set(evidence["dataset"].row(0)) == {None}


def test_dispute_shares_are_their_plain_twin() -> None:
    features, truth, labels, _ = source_specific(10)
    labels[:7] = -1
    probabilities = content(truth, 0.2, 5)
    # Another class leads, but the label itself still gets more than the bound: not disputed.
    probabilities[7:60] = np.array([0.4, 0.35, 0.15, 0.1], np.float32)
    labels[7:60] = 1
    found, evidence = standing(features, labels, probabilities)
    disputed = []
    for row, label in enumerate(labels):
        given = probabilities[row].tolist()
        leads = max(range(CLASSES), key=given.__getitem__)
        if label < 0:
            disputed.append(-1)
        else:
            disputed.append(int(leads != label and given[label] < MAX_OWN_PROBABILITY))
    assert found.disputed is not None
    assert found.disputed.tolist() == disputed
    for one, row in zip(found.best, evidence["class"].iter_rows(named=True), strict=True):
        pairs = list(zip(one.group.rows, one.group.members, strict=True))
        inside = [disputed[at] for at, member in pairs if member]
        rest = [disputed[at] for at, member in pairs if not member]
        assert row["shortcut_disputed"] == pytest.approx(sum(inside) / len(inside))
        assert row["shortcut_disputed_rest"] == pytest.approx(sum(rest) / len(rest))
    spread = evidence["dataset"].row(0, named=True)
    assert found.spread is not None
    n, hits = found.spread.measured.group.size, found.spread.measured.hits
    assert spread["shortcut_any_disputed"] == pytest.approx(n / (n + hits))
    assert spread["shortcut_any_share"] == pytest.approx(n / disputed.count(1))


def made_group(seed: int, size: int, n_class: int = 60) -> Group:
    """A group of ``size`` whose members score around 1, the rest around 0, some in between."""
    rng = np.random.default_rng(seed)
    inside = np.arange(n_class) < size
    scores = (inside + rng.normal(0, 0.2, n_class)).astype(np.float32)
    return Group(0, 0, np.arange(n_class), inside, scores, np.zeros(1))


@given(st.integers(0, 1000), st.integers(3, 50))
@settings(max_examples=30, deadline=None)
def test_clarity_is_contrast_less_for_small_and_fading_groups(seed: int, size: int) -> None:
    group = made_group(seed, size)
    inside = [float(p) for p in group.predictions[group.members]]
    rest = [float(p) for p in group.predictions[~group.members]]
    low, high = np.mean(rest), np.mean(inside)
    contrast = (high - low) / (np.std(inside) + np.std(rest))
    places = [(p - low) / (high - low) for p in (*inside, *rest)]
    shoulder = sum(CUT / 2 < place <= CUT for place in places) / size
    expected = contrast
    if size < ENOUGH:
        expected *= size / ENOUGH
    if shoulder > FADING:
        expected *= FADING / shoulder
    assert group.clarity == pytest.approx(expected, rel=1e-4)


@given(st.integers(0, 1000), st.integers(3, 50), st.floats(0, 1))
@settings(max_examples=30, deadline=None)
def test_edge_and_excess_are_their_plain_twins(seed: int, size: int, carried: float) -> None:
    group = made_group(seed, size)
    rng = np.random.default_rng(seed + 1)
    outside = ((rng.random(90) < carried) + rng.normal(0, 0.2, 90)).astype(np.float32)
    scores = np.concatenate([group.predictions, outside])
    labels = np.repeat([0, 1, -1], [60, 80, 10])
    index = np.arange(140)
    probe = Probe(np.zeros((150, 1)), index, np.zeros(1), {}, np.zeros((1, 150)))
    measured = against_others(probe, group, scores, labels)
    low = np.mean(group.predictions[~group.members])
    high = np.mean(group.predictions[group.members])
    places = [float((score - low) / (high - low)) for score in scores[:140]]
    above = [place for place in places if place > CUT]
    below = [place for place in places if place <= CUT]
    expected = (np.mean(above) - np.mean(below)) / (np.std(above) + np.std(below))
    assert measured.edge == pytest.approx(expected, rel=1e-3)
    hits = sum(place > CUT for place in places[60:])
    assert measured.hits == hits
    assert measured.excess == pytest.approx((hits / 80) / (size / 60))


@given(st.integers(0, 1000))
@settings(max_examples=8, deadline=None)
def test_row_order_changes_the_order_alone(seed: int) -> None:
    features, truth = natural(600, 9)
    rows = some(truth != 0, 60)
    features = mark(mark(features, rows[:30], 0), rows[30:], 1)
    labels, probabilities = relabelled(truth, rows), content(truth, 0.2, 1)
    order = np.random.default_rng(seed).permutation(600)
    plain = standing(features, labels, probabilities)[1]
    mixed = standing(features[order], labels[order], probabilities[order])[1]
    assert fired(plain) == fired(mixed)
    found = members(plain, labels)
    assert found.sum() == 60
    np.testing.assert_array_equal(found[order], members(mixed, labels[order]))
    np.testing.assert_array_equal(anywhere(plain)[order], anywhere(mixed))


def test_material_with_nothing_to_stand_apart_from_is_refused() -> None:
    for labels in (np.arange(90) % 3, np.zeros(200, np.int64), np.arange(200) % 6):
        with pytest.raises(InapplicableError, match="needs 2 classes"):
            fitted_rows(material(labels, 6))
