"""When a sample was made or added, as the dataset itself says it: microseconds since 1970, UTC.

Times of files are never asked for: a copy or a download sets them anew. Imported by workers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa

TIME_COLUMNS = ("added_at", "date_added", "uploaded_at", "upload_date", "submitted_at",
                "created_at", "date_created", "created", "timestamp", "datetime", "time",
                "date")  # fmt: skip
"""Column names taken for the time, in this order: what says *added* is nearer to who sent it."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

EARLIEST = 1
LATEST = int((datetime(2200, 1, 1, tzinfo=UTC) - EPOCH) / MICROSECOND)
"""Microseconds. Zero and years such as 0001 or 9999 are how programs spell "unknown"."""

MAX_TEXT = 40
"""Characters: an ISO 8601 time with nanoseconds and offset has 35."""

ISO = re.compile(rb"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d[0-9:.,+\-Z ]*)?\Z")
"""Dates with hyphens. Without them, any number of eight digits would be a date."""

UNITS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
"""Nanoseconds."""

DAY = 86_400_000_000_000


def parse(text: str | bytes | None) -> int | None:
    """An ISO 8601 date or time; without an offset it counts as UTC. None for anything else."""
    if text is None:
        return None
    raw = text.encode("utf-8", "replace") if isinstance(text, str) else text
    if len(raw) > MAX_TEXT or not ISO.match(raw):
        return None
    try:
        moment = datetime.fromisoformat(raw.decode("ascii"))
        zoned = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        return _plausible((zoned - EPOCH) // MICROSECOND)
    except (ValueError, OverflowError):
        return None


def column_moments(column: pa.Array) -> list[int | None]:
    """Each value of an Arrow column of times, dates or texts; None where it is none."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        words = column_moments(column.dictionary)
        return [None if i is None else words[i] for i in column.indices.to_pylist()]
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        # As bytes: text in a file may be no valid UTF-8, and is then no time either.
        large = pa.types.is_large_string(kind)
        raw = column.cast(pa.large_binary() if large else pa.binary())
        return [parse(value) for value in raw.to_pylist()]
    if not _is_time(kind):
        return [None] * len(column)
    if pa.types.is_date32(kind):
        counts, unit = column.view(pa.int32()), DAY
    else:
        counts = column.view(pa.int64())
        unit = UNITS["ms"] if pa.types.is_date64(kind) else UNITS[kind.unit]
    # Whole numbers of Python, which do not overflow, and need no table of time zones.
    return [None if n is None else _plausible(n * unit // 1000) for n in counts.to_pylist()]


def time_column(schema: pa.Schema) -> str | None:
    """The column of times: a usual name of a fitting type, else the only column of timestamps."""
    fields = {name: schema.field(name).type for name in _once(schema.names)}
    lower = {name.lower(): name for name in reversed(fields)}
    for known in TIME_COLUMNS:
        if known in lower and _fits(fields[lower[known]]):
            return lower[known]
    stamps = [name for name, kind in fields.items() if pa.types.is_timestamp(kind)]
    return stamps[0] if len(stamps) == 1 else None


def named_column(names: Sequence[str]) -> str | None:
    """The column of times in a table of texts, by its name."""
    lower = {name.lower(): name for name in reversed(names)}
    return next((lower[known] for known in TIME_COLUMNS if known in lower), None)


def _once(names: Sequence[str]) -> list[str]:
    """Names that say which column: there once, and no path into a nested one."""
    return [name for name in names if names.count(name) == 1 and "." not in name]


def _fits(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _fits(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or _is_time(kind))


def _is_time(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def _plausible(moment: int) -> int | None:
    return moment if EARLIEST <= moment < LATEST else None
