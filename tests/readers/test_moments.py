"""Times that a dataset states: what is read, and that nothing else is taken for one."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.readers.moments import (
    EARLIEST,
    LATEST,
    column_moments,
    named_column,
    parse,
    time_column,
)

NOON = 1_714_564_800_000_000
"""2024-05-01 12:00:00 UTC in microseconds."""


@pytest.mark.parametrize(
    "text",
    ["2024-05-01T12:00:00", "2024-05-01 12:00", "2024-05-01T12:00:00Z", "2024-05-01T14:00:00+02:00",
     "2024-05-01 12:00:00.000000000", "2024-05-01 14:00:00+0200"],
)  # fmt: skip
def test_iso_times(text: str) -> None:
    assert parse(text) == NOON
    assert parse(text.encode()) == NOON


@pytest.mark.parametrize(
    "text",
    [None, "", "yesterday", "20240501", "1714564800", "2024-13-01", "2024-05-01T25:00",
     "0001-01-01", "9999-12-31", "1970-01-01", "2024-05-01T" + "0" * 60,
     "٢٠٢٤-٠٥-٠١", "2024-05-01\n", "\ud800"],
)  # fmt: skip
def test_no_times(text: str | None) -> None:
    assert parse(text) is None


@given(st.one_of(st.text(max_size=50), st.binary(max_size=50)))
def test_any_text_is_a_time_or_none(text: str | bytes) -> None:
    found = parse(text)
    assert found is None or EARLIEST <= found < LATEST


@given(st.datetimes(dt.datetime(1970, 1, 2), dt.datetime(2199, 12, 31)))
def test_what_python_writes_is_read(moment: dt.datetime) -> None:
    exact = (moment - dt.datetime(1970, 1, 1)) // dt.timedelta(microseconds=1)
    assert parse(moment.isoformat()) == exact


def test_arrow_columns() -> None:
    seconds = [NOON // 10**6, None, -5, 2**62]
    for unit, factor in {"s": 1, "ms": 10**3}.items():
        numbers = [None if n is None else min(n * factor, 2**62) for n in seconds]
        column = pa.array(numbers, pa.int64()).cast(pa.timestamp(unit))
        assert column_moments(column) == [NOON, None, None, None]
    nano = pa.array([NOON * 1000 + 7], pa.timestamp("ns", tz="Nowhere/Else"))
    assert column_moments(nano) == [NOON]
    day = NOON - 12 * 3600 * 10**6
    for kind in (pa.date32(), pa.date64()):
        column = pa.array([dt.date(1990, 1, 1), dt.date(2024, 5, 1), None], kind)
        assert column_moments(column.slice(1)) == [day, None]
    texts = pa.array(["2024-05-01", "x", None, "x"])
    assert column_moments(texts.dictionary_encode()) == [day, None, None, None]
    broken = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff\xfe"]).buffers())
    assert column_moments(broken) == [None]
    assert column_moments(pa.array([NOON])) == [None]


def test_which_column() -> None:
    def schema(**kinds: pa.DataType) -> pa.Schema:
        return pa.schema(list(kinds.items()))

    stamp = pa.timestamp("us")
    assert time_column(schema(Timestamp=pa.string(), added_at=stamp)) == "added_at"
    assert time_column(schema(time=pa.int64(), date=pa.date32())) == "date"
    assert time_column(schema(taken=stamp)) == "taken"
    assert time_column(schema(taken=stamp, born=stamp)) is None
    assert time_column(schema(time=pa.int64(), image=pa.binary())) is None
    assert time_column(pa.schema([("time", stamp), ("time", stamp)])) is None
    assert time_column(pa.schema([("a.time", stamp)])) is None
    assert named_column(["file_name", "Date", "CREATED_AT"]) == "CREATED_AT"
    assert named_column(["file_name", "label"]) is None
