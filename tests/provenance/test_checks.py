"""Exact duplicates, formats and balance on ledgers small enough to judge by eye."""

from __future__ import annotations

from typing import Any

import polars as pl

from auditor.provenance import CHECKS
from auditor.provenance.balance import measure as balance
from auditor.provenance.duplicates import measure as duplicates
from auditor.provenance.formats import measure as formats
from auditor.tables import MEASURES, SAMPLES, check_evidence


def ledger(**columns: list[Any]) -> pl.DataFrame:
    n = len(next(iter(columns.values())))
    schema = {**SAMPLES, **MEASURES}
    values: dict[str, list[Any]] = {name: [None] * n for name in schema}
    values |= {
        "row": list(range(n)), "status": ["scanned"] * n, "format": ["PNG"] * n,
        "sha256": [str(i) for i in range(n)], "luma_deviation": [50.0] * n,
        "perceptual_hash": list(range(n)), **columns,
    }  # fmt: skip
    return pl.DataFrame(values, schema=schema)


def test_copies_and_their_labels() -> None:
    table = ledger(
        sha256=["a", "b", "a", "a", "c", "c"],
        label=[0, 1, 0, 1, 2, None],
        split=["train", "train", "test", "train", "train", None],
    )
    out = duplicates(table, {})
    assert out["sample"]["duplicates_of"].to_list() == [None, None, 0, 0, None, 4]
    assert out["sample"]["duplicates_n"].to_list() == [3, 1, 3, 3, 2, 2]
    assert out["sample"]["duplicates_conflict"].to_list() == [True, False, True, True, False, False]
    assert out["sample"]["duplicates_across_splits"].to_list() == [
        True, False, True, True, False, False,
    ]  # fmt: skip
    assert out["dataset"]["duplicates_extra"].to_list() == [3]
    assert out["dataset"]["duplicates_share"].to_list() == [0.5]


def test_refused_samples_are_no_copies_of_each_other() -> None:
    table = ledger(sha256=[None, None], status=["refused"] * 2)
    assert duplicates(table, {})["dataset"]["duplicates_extra"].to_list() == [0]


def test_formats() -> None:
    n = 40
    table = ledger(
        format=["JPEG", *["PNG"] * (n - 2), None],
        promised_format=["PNG", None, *["PNG"] * (n - 2)],
        luma_deviation=[50.0, 0.2, *[50.0] * (n - 3), None],
        status=[*["scanned"] * (n - 1), "refused"],
    )
    sample = formats(table, {})["sample"]
    assert sample["formats_mismatch"].to_list() == [True, None, *[False] * (n - 3), None]
    assert sample["formats_minority"].to_list()[:2] == [True, False]
    assert sample["formats_blank"].to_list()[:3] == [False, True, False]
    assert sample["formats_refused"].sum() == 1
    assert formats(table, {})["dataset"]["formats_n_refused"].to_list() == [1]


def test_balance() -> None:
    out = balance(ledger(label=[0, 0, 0, 2, None], sha256=["a", "a", "b", "c", "d"]), {})
    assert out["class"].select("label", "balance_n").rows() == [(0, 3), (2, 1)]
    assert out["class"]["balance_share"].to_list() == [0.75, 0.25]
    row = out["dataset"].row(0, named=True)
    assert (row["balance_n_classes"], row["balance_smallest"], row["balance_imbalance"]) == (
        2,
        1,
        3,
    )
    assert (row["balance_unlabelled"], row["balance_distinct"], row["balance_n"]) == (1, 4, 5)


def test_balance_without_labels() -> None:
    row = balance(ledger(label=[None, None]), {})["dataset"].row(0, named=True)
    assert row["balance_n_classes"] == 0
    assert row["balance_imbalance"] is None


def test_every_check_keeps_the_contract_even_on_an_empty_ledger() -> None:
    import numpy as np

    for table in (
        ledger(row=[]),
        ledger(label=[0, 1, None], status=["scanned", "refused", "scanned"]),
    ):
        n = table.filter(pl.col("status") == "scanned").height
        views = {"pixels": np.random.default_rng(0).integers(0, 256, (n, 32, 32, 3), np.uint8)}
        before = table.clone()
        for check in CHECKS:
            check_evidence(check.id, check.run(table, views))
        assert table.equals(before)
