"""Carriers of a trigger, the networks that are asked about it, its words and its pictures."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from auditor.illustrate import draw_triggers
from auditor.interfaces import InapplicableError
from auditor.judging.judge import Judgement
from auditor.measure import Measurements
from auditor.records import Confidence, Finding, Severity
from auditor.trials.asking import _followed, _kept, ask_networks
from auditor.trials.carriers import carriers, prefix_of
from auditor.trials.explaining import explain, words

N = 400
CARRIERS = 40


def pixels() -> np.ndarray:
    """Noise of a colour that tells the class; the first ones carry a bright corner."""
    images = np.random.default_rng(0).integers(60, 140, (N, 32, 32, 3), dtype=np.uint8)
    kind = np.arange(N) % 4
    for channel in range(3):
        images[kind == channel + 1, ..., channel] += 60
    images[:CARRIERS, -4:, -4:] = 255
    return images


def taken(**more: object) -> Measurements:
    """Class 0 holds the carriers; the class evidence says that its group was stamped."""
    labels = np.where(np.arange(N) < CARRIERS, 0, np.arange(N) % 4)
    samples = pl.DataFrame(
        {
            "row": np.arange(N, dtype=np.uint64),
            "label": labels,
            "status": ["scanned"] * N,
            "shortcut_member": np.arange(N) < CARRIERS,
        }
    )
    table = pl.DataFrame({"label": [0, 1, 2, 3], "shortcut_stamped": [0.9, None, None, None]})
    return Measurements(samples, {"class": table, **more})  # type: ignore[dict-item]


def bench(**views: np.ndarray) -> Any:
    ledger = SimpleNamespace(class_names=("a", "b", "c", "d"))
    made = {"pixels": pixels(), **views}
    return SimpleNamespace(
        views=made,
        ledger=ledger,
        seed=0,
        reference="",
        folder=None,
        absent="nothing was to be trained",
    )


def finding(**evidence: object) -> Finding:
    figures = {
        "shortcut_stamped": 0.97,
        "shortcut_stamped_control": 0.0,
        "shortcut_stamped_n": 500,
        "shortcut_pattern_agreement": 0.9,
        "shortcut_pattern_opaque": 16 / 1024,
    }
    return Finding(
        "BKD001", "t", Severity.CRITICAL, Confidence.HIGH, "class", "a", 40, "Message.",
        {**figures, **evidence}, "",
    )  # fmt: skip


def test_carriers_are_the_members_and_nobody_of_their_class_is_held_out() -> None:
    (one,) = carriers(taken())
    assert sorted(one.members.tolist()) == list(range(CARRIERS))
    labels = taken().samples["label"].to_numpy()
    assert 0 not in labels[one.others]
    assert len(one.others) == (labels != 0).sum()


def test_the_group_of_disputed_labels_is_a_carrier_of_no_class() -> None:
    made = taken(dataset=pl.DataFrame({"shortcut_any_stamped": [0.9]}))
    made.samples = made.samples.with_columns(shortcut_any_member=pl.col("row") < 30)
    assert [one.label for one in carriers(made)] == [0, None]


def test_without_figures_there_is_no_carrier_and_nothing_to_ask(tmp_path) -> None:  # type: ignore[no-untyped-def]
    bare = replace_evidence(taken(), {})
    assert carriers(bare) == []
    with pytest.raises(InapplicableError, match="no group"):
        ask_networks(bench(), bare, tmp_path, "cpu")
    with pytest.raises(InapplicableError, match="nothing was to be trained"):
        ask_networks(bench(), taken(), tmp_path, "cpu")
    with pytest.raises(InapplicableError, match="kept no network"):
        ask_networks(bench(fold=np.zeros(N, np.int8)), taken(), tmp_path, "cpu")


def replace_evidence(made: Measurements, evidence: dict[Any, pl.DataFrame]) -> Measurements:
    made.evidence = evidence
    return made


def test_the_networks_of_a_scan_are_asked(brief, tmp_path) -> None:  # type: ignore[no-untyped-def]
    from auditor.features.reference import train_reference

    made, views = taken(), bench().views
    labels = made.samples["label"].to_numpy()
    reference = train_reference(
        views["pixels"], labels, 4, tmp_path, 0, "cpu", lambda done, total: None
    )
    asked = bench(fold=np.load(tmp_path / "fold.npy"))
    asked.reference, asked.folder = reference.digest, tmp_path
    table = ask_networks(asked, made, tmp_path, "cpu")["class"]
    assert table["label"].to_list() == [0]
    row = table.row(0, named=True)
    assert 0 <= row["shortcut_network_control"] <= 1
    assert row["shortcut_network_moved"] >= row["shortcut_network_control"]
    assert 0 < row["shortcut_network_n"] <= 500
    for weights in tmp_path.glob("fold*.pt"):
        weights.write_bytes(b"")
    assert ask_networks(asked, made, tmp_path, "cpu")["class"].equals(table)  # as it was kept
    asked.reference = "another"
    with pytest.raises(InapplicableError, match="no network"):
        ask_networks(asked, made, tmp_path, "cpu")


def test_networks_are_known_by_their_digest_though_a_victims_follows_it(tmp_path: Path) -> None:
    (tmp_path / "reference.json").write_text('{"digest": "abc"}')
    (tmp_path / "fold0-0.pt").write_bytes(b"")
    np.save(tmp_path / "fold.npy", np.zeros(N, np.int8))
    asked = bench(fold=np.zeros(N, np.int8))
    for reference, known in (("abc", True), ("abcdef", True), ("def", False), ("ab", False)):
        asked.reference = reference
        assert _kept(tmp_path, asked) is known


def test_followed_counts_those_that_were_not_there_before() -> None:
    before, after, control = (np.array(one) for one in ([0, 1, 1, 2], [0, 0, 0, 2], [0, 0, 1, 2]))
    assert _followed(0, before, after, control) == {
        "network_moved": pytest.approx(2 / 3),
        "network_control": pytest.approx(1 / 3),
        "network_n": 3,
    }
    changed = _followed(None, before, after, control)
    assert (changed["network_moved"], changed["network_control"]) == (0.5, 0.25)
    assert _followed(0, np.zeros(2, int), np.zeros(2, int), np.zeros(2, int))["network_n"] == 0


def test_words_say_what_was_measured_and_no_more() -> None:
    assert "stamped on 500 other images it moves 97% of them into the group, shuffled 0%" in words(
        finding()
    )
    assert "network" not in words(finding())
    learnt = words(finding(shortcut_network_moved=0.8, shortcut_network_control=0.05))
    assert "follows it too" in learnt
    quick = words(finding(shortcut_network_moved=0.05, shortcut_network_control=0.04))
    assert "did not learn it" in quick
    assert "no more alike" in words(finding(shortcut_stamped_alike=0.4))
    assert "look before" in words(finding(shortcut_stamped_alike=0.7))
    assert "No fixed pattern" in words(finding(shortcut_pattern_agreement=0.2))
    assert words(replace(finding(), evidence={"spectral_share": 0.1})) == ""


def test_explain_adds_the_words_to_backdoor_findings_alone() -> None:
    other = replace(finding(), rule="LBL001", evidence={})
    judged = explain(Judgement((finding(), other), pl.DataFrame()))
    assert judged.findings[0].message.startswith("Message. The estimated pattern")
    assert judged.findings[1] == other


def test_a_picture_is_drawn_for_a_fixed_pattern_only() -> None:
    drawn = draw_triggers(bench(), taken(), [finding()])
    assert set(drawn) == {"a"}
    shown = np.asarray(Image.open(io.BytesIO(drawn["a"].pattern)))
    assert shown.shape == (32, 32, 3)
    assert shown[-4:, -4:].min() > 200
    assert abs(shown[:20].astype(float) - 128).mean() < 40
    before = np.asarray(Image.open(io.BytesIO(drawn["a"].before)))
    assert before.shape == (32, 32 * 6, 3)
    assert drawn["a"].opaque == pytest.approx(16 / 1024)
    assert draw_triggers(bench(), taken(), [finding(shortcut_pattern_agreement=0.1)]) == {}


def test_prefix_of_tells_the_group() -> None:
    assert prefix_of(finding()) == "shortcut_"
    assert prefix_of(replace(finding(), evidence={"shortcut_any_stamped": 0.5})) == "shortcut_any_"
    assert prefix_of(replace(finding(), evidence={"shortcut_stamped": None})) is None
