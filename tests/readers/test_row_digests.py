"""Row digests: what they bind, and what they must not depend on."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import pictures, structs

from auditor.readers.parquet_rows import GroupReader
from auditor.readers.row_digests import _value, digest_rows

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    | st.binary() | st.dates() | st.decimals(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner,
                                                                max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(values, values)
def test_no_two_values_share_their_bytes(one: Any, other: Any) -> None:
    same = repr(one) == repr(other) or (type(one) is type(other) and one == other)
    if _value(one) == _value(other):
        assert same or _sorted(one) == _sorted(other)
    else:
        assert repr(one) != repr(other)


def _sorted(value: Any) -> str:
    if isinstance(value, dict):
        return repr(sorted((k, _sorted(v)) for k, v in value.items()))
    if isinstance(value, list):
        return repr([_sorted(v) for v in value])
    return repr(value)


@pytest.mark.parametrize(("one", "other"), [
    (1, 1.0), (1, True), (0, False), (0, None), ("", None), ("1", 1), (b"a", "a"), ([], None),
    ([], {}), ([[1], 2], [[1, 2]]), (["a", "b"], ["ab"]), ({"a": None}, {}), (0.0, -0.0),
    (Decimal("1.0"), Decimal("1.00")), (datetime.date(2024, 1, 1), "2024-01-01"),
])  # fmt: skip
def test_alike_values_differ(one: Any, other: Any) -> None:
    assert _value(one) != _value(other)


def digests(path: Path, table: pa.Table, **options: Any) -> list[bytes]:
    pq.write_table(table, path, **options)
    groups, found = GroupReader(), []
    for group in range(pq.ParquetFile(path).num_row_groups):
        size = pq.ParquetFile(path).metadata.row_group(group).num_rows
        task = {
            "path": str(path), "group": group, "start": 0, "size": size, "step": size,
            "image": "image", "label": "label", "source": None, "names": ["cat", "dog"],
            "root": str(path.parent), "whole": True, "split": "train",
        }  # fmt: skip
        found += digest_rows(task, groups, lambda: None)["row"].to_pylist()
    return found


def table(**more: Any) -> pa.Table:
    return pa.table({
        "image": structs(pictures(4)), "label": pa.array([0, 1, 0, 1]),
        "when": pa.array([1, 2, None, 4], pa.timestamp("ns")), "text": ["a", "b", None, "d"],
        **more,
    })  # fmt: skip


def test_encoding_means_nothing(tmp_path: Path) -> None:
    plain = digests(tmp_path / "a", table())
    assert len(set(plain)) == 4
    assert digests(tmp_path / "b", table(), compression="zstd", row_group_size=1) == plain
    assert digests(tmp_path / "c", table(), use_dictionary=False, data_page_size=64) == plain
    order = ["text", "label", "image", "when"]
    assert digests(tmp_path / "d", table().select(order)) == plain
    wide = table(text=pa.array(["a", "b", None, "d"], pa.large_string()),
                 label=pa.array([0, 1, 0, 1], pa.int8()))  # fmt: skip
    assert digests(tmp_path / "e", wide) == plain


@pytest.mark.parametrize("more", [
    {"label": pa.array([1, 1, 0, 1])}, {"text": ["x", "b", None, "d"]},
    {"when": pa.array([7, 2, None, 4], pa.timestamp("ns"))},
    {"image": structs(pictures(4), ["other.png", "1.png", "2.png", "3.png"])},
    {"image": structs([b"x", *pictures(4)[1:]])}, {"image": structs([None, *pictures(4)[1:]])},
])  # fmt: skip
def test_one_cell_changes_one_row(more: dict[str, Any], tmp_path: Path) -> None:
    before, after = digests(tmp_path / "a", table()), digests(tmp_path / "b", table(**more))
    assert [a == b for a, b in zip(before, after, strict=True)] == [False, True, True, True]


def test_a_new_or_renamed_column_changes_every_row(tmp_path: Path) -> None:
    before = digests(tmp_path / "a", table())
    more = digests(tmp_path / "b", table(extra=[None] * 4))
    renamed = digests(tmp_path / "c", table().rename_columns(["image", "label", "when", "t"]))
    assert not set(before) & {*more, *renamed}
