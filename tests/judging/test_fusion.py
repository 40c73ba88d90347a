"""What flagged samples have in common, and that nothing is read into chance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tiny import pictures, structs, write_parquet

from auditor.judging.fusion import concentration, fuse
from auditor.judging.judge import Judgement
from auditor.provenance.sources import measure
from auditor.records import Confidence, Finding, Severity
from auditor.report import Report
from auditor.tables import FLAGGED, MEASURES, SAMPLES, check_evidence

N = 2000


def samples(**columns: Any) -> pl.DataFrame:
    schema = {**SAMPLES, **MEASURES}
    values: dict[str, Any] = {name: [None] * N for name in schema}
    labels = np.arange(N) % 4
    values |= {
        "row": range(N), "status": ["scanned"] * N, "label": labels,
        "class_name": [f"c{label}" for label in labels], "width": [32] * N, "height": [32] * N,
        "encoder": ["jpeg"] * N, **columns,
    }  # fmt: skip
    return pl.DataFrame(values, schema=schema)


def judgement(table: pl.DataFrame, rows: np.ndarray, rule: str = "BKD002") -> Judgement:
    named = table.filter(pl.col("row").is_in(rows.tolist()))
    flagged = named.select(
        pl.lit(None, kind).alias(name) if name not in {"row", "class_name", "label"} else name
        for name, kind in FLAGGED.items()
    ).with_columns(rules=pl.lit([rule]), severity=pl.lit("medium"))
    finding = Finding(rule, "t", Severity.MEDIUM, Confidence.LOW, "class", "c0", len(rows),
                      "Found.", {}, "r")  # fmt: skip
    return Judgement((finding,), flagged)


GROUP = np.arange(0, 200, 4)
"""50 samples of class c0."""


def sources(rows: np.ndarray, name: str = "mallory") -> list[str]:
    mask = np.isin(np.arange(N), rows)
    return [name if hit else f"s{i % 7}" for i, hit in enumerate(mask)]


def test_a_shared_source_raises_confidence_and_is_named() -> None:
    table = samples(source=sources(GROUP[:49]))
    (found,) = fuse(judgement(table, GROUP), table).findings
    assert found.confidence is Confidence.MEDIUM
    assert found.severity is Severity.MEDIUM
    assert "49 of 50 share the source 'mallory', which 9.8% of their classes have" in found.message
    assert found.evidence["fusion_trait"] == "source"
    assert found.evidence["fusion_n"] == 49
    assert float(str(found.evidence["fusion_p"])) < 1e-40


@pytest.mark.parametrize("trait", ["encoder", "software"])
def test_a_shared_encoder_too(trait: str) -> None:
    table = samples(**{trait: sources(GROUP, "odd")})
    (found,) = fuse(judgement(table, GROUP), table).findings
    assert found.evidence["fusion_trait"] == trait


def test_what_the_whole_class_has_says_nothing() -> None:
    every = np.arange(0, N, 4)
    table = samples(source=sources(every))
    before = judgement(table, GROUP)
    assert fuse(before, table).findings == before.findings


def test_chance_is_not_named() -> None:
    for seed in range(30):
        generator = np.random.default_rng(seed)
        table = samples(
            source=[f"s{i}" for i in generator.integers(0, 5, N)],
            encoder=[f"e{i}" for i in generator.integers(0, 2, N)],
        )
        before = judgement(table, generator.choice(np.arange(0, N, 4), 20, replace=False))
        assert fuse(before, table).findings == before.findings
        assert concentration(table, before.flagged)["source"]["concentration_p"].min() > 1e-3  # type: ignore[operator]


def test_rules_on_origin_are_left_alone() -> None:
    table = samples(source=sources(GROUP))
    before = judgement(table, GROUP, "FMT005")
    assert fuse(before, table).findings == before.findings


def test_small_groups_are_left_alone() -> None:
    table = samples(source=sources(GROUP[:4]))
    before = judgement(table, GROUP[:4])
    assert fuse(before, table).findings == before.findings


def test_the_order_of_rows_does_not_matter() -> None:
    table = samples(source=sources(GROUP))
    mixed = table.sample(fraction=1.0, shuffle=True, seed=3)
    one, other = fuse(judgement(table, GROUP), table), fuse(judgement(mixed, GROUP), mixed)
    assert one.findings == other.findings


def test_a_source_that_concentrates_findings() -> None:
    table = samples(source=sources(np.concatenate([GROUP, [1, 2, 3]])))
    evidence = concentration(table, judgement(table, GROUP).flagged)
    check_evidence("concentration", evidence)
    row = evidence["source"].filter(pl.col("source") == "mallory").row(0, named=True)
    assert (row["concentration_n"], row["concentration_flagged"]) == (53, 50)
    assert row["concentration_p"] < 1e-40
    assert concentration(samples(), judgement(table, GROUP).flagged) == {}
    assert concentration(table, judgement(table, GROUP[:0]).flagged) == {}


def test_nothing_to_fuse() -> None:
    table = samples()
    empty = Judgement((), judgement(table, GROUP[:0]).flagged)
    assert fuse(empty, table).findings == ()
    assert fuse(empty, table.head(0)).findings == ()


def test_classes_that_hang_on_one_source() -> None:
    table = samples(source=["mallory" if i % 4 == 0 else f"s{i % 7}" for i in range(N)])
    evidence = measure(table, {})
    check_evidence("sources", evidence)
    row = evidence["dataset"].row(0, named=True)
    assert (row["sources_n_sources"], row["sources_n_dominated"]) == (8, 1)
    assert row["sources_dominated"] == "c0 (500 of 500 from mallory)"
    alone = measure(samples(source=["one"] * N), {})["dataset"]
    assert alone["sources_n_dominated"].to_list() == [0]
    assert measure(samples(), {})["dataset"]["sources_n_sources"].to_list() == [0]


def test_a_scan_says_it(tmp_path: Path, fast_scan: Callable[..., Report]) -> None:
    """Copies of 30 pictures under another label, all handed in by one source."""
    images = pictures(330)
    copies = images[:30]
    table = {
        "image": structs([*images, *copies]),
        "label": [*(f"c{i % 3}" for i in range(330)), *(f"c{(i + 1) % 3}" for i in range(30))],
        "source": [*(f"s{i % 5}" for i in range(330)), *["mallory"] * 30],
    }
    report = fast_scan(write_parquet(tmp_path / "d.parquet", table))
    found = {finding.rule: finding for finding in report.findings}
    assert found["PRV023"].key == "mallory"
    assert "30 of its 30 samples are flagged" in found["PRV023"].message
    assert "share the source 'mallory'" in found["DUP002"].message
    assert replace(found["DUP002"]).confidence is Confidence.HIGH


def moments(rows: np.ndarray, begin: int, end: int, seed: int = 0) -> np.ndarray:
    """Times over 30 days, those of ``rows`` between two seconds of the first."""
    generator = np.random.default_rng(seed)
    seconds = generator.integers(0, 30 * 86400, N)
    seconds[rows] = generator.integers(begin, end, len(rows))
    moved: np.ndarray = np.datetime64("2024-05-01", "us") + seconds.astype("timedelta64[s]")
    return moved


def test_a_shared_time_is_named() -> None:
    table = samples(time=moments(GROUP[:30], 600, 660))
    (found,) = fuse(judgement(table, GROUP), table).findings
    assert found.confidence is Confidence.MEDIUM
    assert found.evidence["fusion_trait"] == "time"
    assert "share the time '2024-05-01T00:10:0" in found.message
    assert 25 <= int(str(found.evidence["fusion_n"])) <= 30
    assert float(str(found.evidence["fusion_p"])) < 1e-20


def test_times_of_chance_and_of_whole_classes_say_nothing() -> None:
    for seed in range(30):
        table = samples(time=moments(GROUP[:0], 0, 1, seed))
        before = judgement(table, GROUP)
        assert fuse(before, table).findings == before.findings
    together = samples(time=moments(np.arange(0, N, 4), 600, 660))
    before = judgement(together, GROUP)
    assert fuse(before, together).findings == before.findings
    moment = samples(time=np.full(N, np.datetime64("2024-05-01", "us")))
    assert fuse(before, moment).findings == before.findings
    few = samples(time=moments(GROUP, 600, 660)).with_columns(
        time=pl.when(pl.col("row").is_in(GROUP[:20].tolist())).then("time")
    )
    assert fuse(before, few).findings == before.findings
