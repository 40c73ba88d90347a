"""Late bursts are found, and data that came class by class is left alone."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact
from tiny import pictures, structs, write_folder, write_parquet

from auditor.judging.ruleset import load_rules
from auditor.provenance.bursts import SCHEMA, measure
from auditor.report import Report
from auditor.tables import MEASURES, SAMPLES, check_evidence

RULE = next(rule for rule in load_rules() if rule.id == "PRV028")


def ledger(times: np.ndarray, labels: np.ndarray) -> pl.DataFrame:
    """Samples at these seconds of 2020."""
    n = len(times)
    start = np.datetime64("2020-01-01T00:00:00", "us")
    values = {name: [None] * n for name in {**SAMPLES, **MEASURES}} | {
        "row": range(n), "status": ["scanned"] * n, "label": labels.tolist(),
        "time": start + np.asarray(times).astype("timedelta64[s]"),
    }  # fmt: skip
    return pl.DataFrame(values, schema={**SAMPLES, **MEASURES})


def fired(table: pl.DataFrame) -> list[int]:
    evidence = measure(table, {})
    check_evidence("bursts", evidence)
    return evidence["class"].filter(pl.sql_expr(RULE.when))["label"].to_list()


def mixed(seed: int, n: int = 5000, k: int = 10) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, k, n)


@pytest.mark.parametrize("share", [0.005, 0.01, 0.05])
def test_a_burst_at_the_end(share: float) -> None:
    labels = np.concatenate([mixed(1), np.full(120, 3)])
    late = np.random.default_rng(2).integers(int(5000 * (1 - share)), 5000, 120)
    assert fired(ledger(np.concatenate([np.arange(5000), late]), labels)) == [3]


def test_the_numbers() -> None:
    labels = np.concatenate([np.arange(1000) % 5, np.full(10, 2)])
    table = ledger(np.concatenate([np.arange(1000), np.full(10, 999)]), labels)
    (row,) = measure(table, {})["class"].filter(pl.col("label") == 2).rows(named=True)
    assert (row["bursts_n"], row["bursts_of"]) == (12, 210)
    assert row["bursts_since"] == "2020-01-01T00:16:30"
    assert row["bursts_elsewhere"] == pytest.approx(8 / 800)
    # Half of the class, 105 samples, was there at second 522; 487 samples follow, 20 of them late.
    expected = fisher_exact([[12, 8], [105 - 12, 487 - 20 - 93]], alternative="greater").pvalue
    assert row["bursts_p"] == pytest.approx(15 * expected)


def test_chance_is_no_burst() -> None:
    for seed in range(20):
        assert fired(ledger(np.arange(5000), mixed(seed))) == []
        days = np.random.default_rng(seed).integers(0, 300, 5000) * 86400
        assert fired(ledger(days, mixed(seed))) == []


@pytest.mark.parametrize("sizes", [[500] * 10, [900] * 9 + [100], [4000, 1000], [30, 4000, 40]])
def test_one_class_after_another_is_no_burst(sizes: list[int]) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    assert fired(ledger(np.arange(sum(sizes)), labels)) == []


@pytest.mark.parametrize("rounds", [2, 5, 10, 25])
def test_classes_in_rounds_are_no_burst(rounds: int) -> None:
    labels = np.tile(np.repeat(np.arange(10), 500 // rounds), rounds)
    assert fired(ledger(np.arange(5000), labels)) == []


@pytest.mark.parametrize("stragglers", [0, 1, 50])
def test_a_class_that_is_new_is_no_burst(stragglers: int) -> None:
    late = np.random.default_rng(4).integers(4900, 5000, 200)
    late[:stragglers] = np.linspace(0, 4800, stragglers)
    labels = np.concatenate([mixed(3), np.full(200, 10)])
    assert fired(ledger(np.concatenate([np.arange(5000), late]), labels)) == []


def test_no_times_no_classes_one_moment() -> None:
    blank = ledger(np.arange(100), mixed(5, 100)).with_columns(time=pl.lit(None, pl.Datetime("us")))
    out = measure(blank, {})
    assert out["class"].is_empty()
    assert dict(out["class"].schema) == dict(SCHEMA)
    assert out["dataset"]["bursts_n_timed"].to_list() == [0]
    for table in (ledger(np.zeros(100, int), mixed(5, 100, 2)), ledger(np.arange(9), mixed(5, 9)),
                  ledger(np.arange(500), np.zeros(500, int)), blank.head(0)):  # fmt: skip
        assert measure(table, {})["class"].is_empty()


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_any_timeline(data: st.DataObject) -> None:
    n = data.draw(st.integers(0, 300))
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    times = generator.integers(0, data.draw(st.integers(1, 400)), n)
    table = ledger(times, generator.integers(0, 4, n))
    out = measure(table, {})["class"]
    assert out["bursts_p"].is_between(0, 1).all()
    assert out.equals(measure(table.sample(fraction=1.0, shuffle=True, seed=1), {})["class"])


def late_classes() -> tuple[list[str], list[str]]:
    """Labels and times of 600 samples: class a gets 6 of its own at the very end."""
    labels = [f"{'abcd'[i % 4]}" for i in range(588)] + ["a"] * 12
    return labels, [
        f"2024-01-{1 + i // 25:02d}T{i % 25 % 24:02d}:{i % 60:02d}:00" for i in range(600)
    ]


def test_a_scan_of_parquet_says_it(tmp_path: Path, fast_scan: Callable[..., Report]) -> None:
    labels, times = late_classes()
    table = {"image": structs(pictures(600)), "label": labels, "created_at": times}
    report = fast_scan(write_parquet(tmp_path / "d.parquet", table))
    assert report.samples["time"].dtype == pl.Datetime("us")
    assert report.samples["time"].null_count() == 0
    (found,) = (one for one in report.findings if one.rule == "PRV028")
    assert found.key == "a"
    assert "of its 159 samples" in found.message
    plain = {name: values for name, values in table.items() if name != "created_at"}
    other = fast_scan(write_parquet(tmp_path / "plain" / "d.parquet", plain))
    assert other.dataset.fingerprint == report.dataset.fingerprint
    assert other.samples["time"].null_count() == 600


@pytest.mark.parametrize("column", ["added_at", "date"])
def test_a_folder_with_metadata(
    tmp_path: Path, fast_scan: Callable[..., Report], column: str
) -> None:
    root = write_folder(tmp_path / "d", {"cat": 3, "dog": 3})
    with (root / "metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([
            ["file_name", column], ["cat/000.png", "2024-05-01"], ["dog/000.png", "soon"],
            ["dog/001.png", "2024-05-01T00:00:00-01:00"],
        ])  # fmt: skip
    samples = fast_scan(root).samples
    found = {uri: str(time) for uri, time in samples.select("uri", "time").iter_rows() if time}
    assert found == {"cat/000.png": "2024-05-01 00:00:00", "dog/001.png": "2024-05-01 01:00:00"}
