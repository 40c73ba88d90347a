"""Running detectors: one that breaks costs only itself, what was measured once is kept."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from auditor.errors import UsageError
from auditor.ingest import Ledger
from auditor.interfaces import Detector, Evidence, InapplicableError, Material
from auditor.measure import Bench, Measurements, run_detectors
from auditor.tables import MEASURES, SAMPLES


def make_ledger(labels: list[int | None], refused: tuple[int, ...] = ()) -> Ledger:
    n = len(labels)
    schema = {**SAMPLES, **MEASURES}
    values: dict[str, list[object]] = {name: [None] * n for name in schema}
    values["row"] = list(range(n))
    values["label"] = list(labels)
    values["status"] = ["refused" if i in refused else "scanned" for i in range(n)]
    samples = pl.DataFrame(values, schema=schema)
    return Ledger(samples, {}, tuple(f"c{i}" for i in range(3)), "f")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    ledger = make_ledger([0, 1, None, 1], refused=(1,))
    return Bench(ledger, {"pixels": np.zeros((3, 32, 32, 3))}, "no network", tmp_path, "", 0)


def run(detector: Detector, bench: Bench, into: Measurements | None = None) -> Measurements:
    into = into or Measurements(bench.ledger.samples)
    run_detectors([detector], bench, into, 1, lambda done, total: None)
    return into


def detector(function: object, needs: tuple[str, ...] = ("pixels",), **params: object) -> Detector:
    return Detector("toy", "1", "Toy", frozenset(needs), params, "none", function)  # type: ignore[arg-type]


def scores(material: Material) -> Evidence:
    values = material.generator.random(len(material.rows))
    return {"sample": pl.DataFrame({"row": material.rows, "toy_score": values})}


def test_evidence_is_joined_to_the_scanned_rows(bench: Bench) -> None:
    table = run(detector(scores), bench).samples
    assert table["toy_score"].is_null().to_list() == [False, True, False, False]


def test_material_holds_no_names_and_marks_duplicates_by_position(bench: Bench) -> None:
    seen: list[Material] = []

    def look(material: Material) -> Evidence:
        seen.append(material)
        return {}

    into = Measurements(
        bench.ledger.samples.with_columns(
            duplicates_of=pl.Series([None, None, None, 0], dtype=pl.UInt64),
            near_duplicates_of=pl.Series([None, None, 0, None], dtype=pl.UInt64),
        )
    )
    run(detector(look), bench, into)
    (material,) = seen
    assert material.rows.tolist() == [0, 2, 3]
    assert material.labels.tolist() == [0, -1, 1]
    assert material.duplicate_of.tolist() == [-1, 0, 0]


@pytest.mark.parametrize(
    ("needs", "reason"),
    [(("pixels", "labels"), None), (("logits",), "needs logits: no network")],
)
def test_what_a_detector_needs(bench: Bench, needs: tuple[str, ...], reason: str | None) -> None:
    (record,) = run(detector(scores, needs), bench).runs
    assert record.reason == reason
    assert record.status == ("ok" if reason is None else "inapplicable")


def test_labels_of_one_class_are_not_enough(bench: Bench, tmp_path: Path) -> None:
    single = Bench(make_ledger([1, 1, None]), bench.views, "", tmp_path, "", 0)
    (record,) = run(detector(scores, ("labels",)), single).runs
    assert record.status == "inapplicable"
    nothing = Bench(make_ledger([1], refused=(0,)), bench.views, "", tmp_path, "", 0)
    assert run(detector(scores), nothing).runs[0].reason == "no sample could be read"


def broken(material: Material) -> Evidence:
    raise ZeroDivisionError("by design")


def panicking(material: Material) -> Evidence:
    raise pl.exceptions.PanicException("by design")


def wrong_name(material: Material) -> Evidence:
    return {"sample": pl.DataFrame({"row": material.rows, "score": material.rows})}


def wrong_key(material: Material) -> Evidence:
    return {
        "sample": pl.DataFrame({"row": material.rows.astype(np.float64), "toy_x": material.rows})
    }


def repeated(material: Material) -> Evidence:
    return {"class": pl.DataFrame({"label": [0, 0], "toy_x": [1, 2]})}


def two_datasets(material: Material) -> Evidence:
    return {"dataset": pl.DataFrame({"toy_x": [1, 2]})}


def out_of_memory(material: Material) -> Evidence:
    raise MemoryError


@pytest.mark.parametrize(
    "function",
    [broken, panicking, wrong_name, wrong_key, repeated, two_datasets, out_of_memory],
)
def test_a_detector_that_breaks_is_recorded_and_costs_only_itself(
    bench: Bench, function: object
) -> None:
    into = run(detector(function), bench)
    run(detector(scores), bench, into)
    assert [record.status for record in into.runs] == ["failed", "ok"]
    assert into.runs[0].reason
    assert "toy_score" in into.samples.columns


def named(name: str, function: object) -> Detector:
    return replace(detector(function), id=name)


def test_detectors_run_side_by_side_and_are_kept_in_their_order(bench: Bench) -> None:
    met = threading.Barrier(2, timeout=60)
    second_done = threading.Event()

    def slow(material: Material) -> Evidence:
        met.wait()  # passes only if the other is there too
        assert second_done.wait(60)
        return {"dataset": pl.DataFrame({"slow_x": [1]})}

    def quick(material: Material) -> Evidence:
        met.wait()
        second_done.set()
        return {"dataset": pl.DataFrame({"quick_x": [2]})}

    into = Measurements(bench.ledger.samples)
    seen: list[tuple[int, int]] = []
    both = [named("slow", slow), named("quick", quick)]
    run_detectors(both, bench, into, 2, lambda *shown: seen.append(shown))
    assert [record.id for record in into.runs] == ["slow", "quick"]
    assert [record.status for record in into.runs] == ["ok", "ok"]
    assert into.evidence["dataset"].rows() == [(1, 2)]
    assert seen == [(50, 100), (100, 100)]


def test_one_that_breaks_beside_another_costs_only_itself(bench: Bench) -> None:
    into = Measurements(bench.ledger.samples)
    both = [named("bad", broken), detector(scores)]
    run_detectors(both, bench, into, 2, lambda done, total: None)
    assert [record.status for record in into.runs] == ["failed", "ok"]
    assert into.runs[0].reason == "ZeroDivisionError: by design"
    assert "toy_score" in into.samples.columns


def test_a_wrong_use_is_told_at_once(bench: Bench) -> None:
    def refuse(material: Material) -> Evidence:
        raise UsageError("--model: no such file")

    with pytest.raises(UsageError, match="no such file"):
        run(detector(refuse), bench)


def test_each_says_how_long_it_took_itself(bench: Bench) -> None:
    def sleep(material: Material) -> Evidence:
        time.sleep(0.3)
        return {}

    into = Measurements(bench.ledger.samples)
    run_detectors([named("a", sleep), named("b", broken)], bench, into, 2, lambda *_: None)
    slow, fast = into.runs
    assert 0.3 <= slow.seconds < 30
    assert fast.seconds < 0.3


def test_progress_is_of_all_together(bench: Bench) -> None:
    def halfway(material: Material) -> Evidence:
        material.progress(1, 2)
        material.progress(0, 0)
        return {}

    seen: list[tuple[int, int]] = []
    three = [named(name, halfway) for name in "abc"]
    run_detectors(three, bench, Measurements(bench.ledger.samples), 1, lambda *s: seen.append(s))
    assert [done for done, _ in seen] == [16, 16, 33, 50, 50, 66, 83, 83, 100]
    assert {total for _, total in seen} == {100}


def test_inapplicable_says_why(bench: Bench) -> None:
    def decline(material: Material) -> Evidence:
        raise InapplicableError("too few")

    assert run(detector(decline), bench).runs[0].reason == "too few"


def test_measured_once_then_recalled_until_something_changes(bench: Bench) -> None:
    calls: list[int] = []

    def counted(material: Material) -> Evidence:
        calls.append(1)
        return scores(material)

    first = run(detector(counted, depth=1), bench).samples
    again = run(detector(counted, depth=1), bench).samples
    assert first.equals(again)
    assert len(calls) == 1
    run(detector(counted, depth=2), bench)
    assert len(calls) == 2
    duplicates = bench.ledger.samples.with_columns(
        duplicates_of=pl.Series([None, None, None, 0], dtype=pl.UInt64)
    )
    run(detector(counted, depth=1), bench, Measurements(duplicates))
    assert len(calls) == 3


def test_a_half_written_memo_is_no_memo(bench: Bench) -> None:
    run(detector(scores), bench)
    (done,) = bench.folder.glob("evidence/*/done")
    done.unlink()
    assert run(detector(scores), bench).runs[0].status == "ok"
    assert done.exists()


def test_scopes_are_merged_by_key(bench: Bench) -> None:
    into = Measurements(bench.ledger.samples)
    into.absorb({"class": pl.DataFrame({"label": [1, 0], "a_x": [1, 2]})})
    into.absorb({"class": pl.DataFrame({"label": [2, 1], "b_x": [5, 6]})})
    into.absorb({"dataset": pl.DataFrame({"a_y": [1]})})
    into.absorb({"dataset": pl.DataFrame({"b_y": [2]})})
    assert into.evidence["class"].rows() == [(0, 2, None), (1, 1, 6), (2, None, 5)]
    assert into.evidence["dataset"].rows() == [(1, 2)]
