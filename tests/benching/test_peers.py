"""The comparison with peers: its own parts on tiny arrays, the peers where they are installed."""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import peers

    return peers


@pytest.fixture
def run_auditor(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS / "peer_runs"))
    import run_auditor

    return run_auditor


def test_rates_match_a_slow_count(peers: ModuleType):
    rng = np.random.default_rng(0)
    flagged, poisoned = rng.random(200) < 0.3, rng.random(200) < 0.2
    pairs = list(zip(flagged.tolist(), poisoned.tolist(), strict=True))
    hits, misses = pairs.count((True, True)), pairs.count((False, True))
    false = pairs.count((True, False))
    found = peers.rates(flagged, poisoned)
    assert found["n_flagged"] == hits + false
    assert found["tpr"] == pytest.approx(hits / (hits + misses), abs=1e-4)
    assert found["fpr"] == pytest.approx(false / (200 - hits - misses), abs=1e-5)
    precision, recall = hits / (hits + false), hits / (hits + misses)
    assert found["f1"] == pytest.approx(2 * precision * recall / (precision + recall), abs=1e-4)


def test_rates_are_none_where_they_mean_nothing(peers: ModuleType):
    nothing = np.zeros(5, bool)
    found = peers.rates(nothing, nothing)
    assert (found["tpr"], found["fpr"], found["precision"], found["f1"]) == (None, 0.0, None, None)
    assert peers.rates(nothing, ~nothing)["fpr"] is None


def test_truth_is_put_in_row_order(peers: ModuleType):
    keys = pl.DataFrame(
        {"uri": ["a", "b", "b"], "record": [None, 0, 1]}, schema_overrides={"record": pl.UInt64}
    )
    truth = pl.DataFrame(
        {"uri": ["b", "a", "b"], "record": [1, None, 0], "poisoned": [True, False, False]}
    )
    assert peers.in_row_order(keys, truth).tolist() == [False, False, True]
    with pytest.raises(ValueError, match="1 rows are not in the truth"):
        peers.in_row_order(keys, truth.head(2))


def test_made_activations_hold_a_second_population(peers: ModuleType, run_auditor: ModuleType,
                                                   tmp_path: Path):  # fmt: skip
    made = peers.made_activations(4_000, 48, 5, 0)
    assert made["poisoned"].sum() == 40
    assert set(made["labels"][made["poisoned"]]) == {3}
    peers.keep(tmp_path, made)
    run_auditor.main("spectral", str(tmp_path), str(tmp_path / "out"), "1", "0.01")
    flags = np.load(tmp_path / "out.npy")
    assert peers.rates(flags, made["poisoned"])["tpr"] == 1.0


def test_only_what_a_rule_names_is_flagged(run_auditor: ModuleType):
    from auditor.judging.ruleset import load_rules

    rule = next(one for one in load_rules() if one.id == "BKD003")
    evidence = {
        "class": pl.DataFrame(
            {"label": [0, 1], "spectral_separation": [9.0, 1.0], "spectral_share": [0.1, 0.1]}
        ),
        "sample": pl.DataFrame({"spectral_minority": [True, False, None, True]}),
    }
    flags = run_auditor.flagged(rule, evidence, np.array([0, 0, 0, 1]))
    assert flags.tolist() == [True, False, False, False]


def test_lines_become_a_table_with_the_machine(peers: ModuleType, tmp_path: Path):
    peers.write([{"set": "clean 0", "tool": "art", "unknown": 1}], tmp_path / "out.csv")
    with (tmp_path / "out.csv").open() as file:
        (line,) = csv.DictReader(file)
    assert line["set"] == "clean 0"
    assert line["date"]
    assert line["python"]
    peers.write([{"set": "sig 0.02", "seed": 2}], tmp_path / "out.csv")
    peers.write([{"set": "sig 0.02", "seed": 2, "tpr": 1.0}], tmp_path / "out.csv")
    with (tmp_path / "out.csv").open() as file:
        again = list(csv.DictReader(file))
    assert [(one["set"], one["tpr"]) for one in again] == [("clean 0", ""), ("sig 0.02", "1.0")]


def test_peers_flag_in_their_own_environment(peers: ModuleType, tmp_path: Path):
    folder = os.environ.get("AUDITOR_PEERS_ENV")
    if not folder:
        pytest.skip("AUDITOR_PEERS_ENV names no environment with the peers: benchmarks/peers.py")
    made = peers.made_activations(600, 16, 4, 0)
    peers.keep(tmp_path, made)
    shop = peers.Workshop(Path(folder) / "bin" / "python", tmp_path, 1)
    for method in (*peers.ART_METHODS, *peers.CLEANLAB_METHODS):
        line = shop.measure(method, tmp_path, made["poisoned"], 1)
        assert 0 <= line["fpr"] <= 1
        assert line["cpu_seconds"] >= 0
        assert line["version"]
    assert "art" not in sys.modules
