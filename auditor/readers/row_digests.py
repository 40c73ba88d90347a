"""Inside a worker: one digest for each row of a Parquet shard, over every column's value.

The digest does not depend on the file, the row's place in it, the row groups or the compression,
so that a dataset cut into other shards keeps its rows' digests.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from auditor.readers.parquet_rows import GroupReader, encoded

ROWS = pa.schema(
    [
        ("sha256", pa.binary(32)),
        ("size", pa.uint64()),
        ("label", pa.string()),
        ("source", pa.string()),
        ("row", pa.binary(32)),
    ]
)
"""One row a sample; ``sha256`` and ``size`` are null where the cell holds no image."""

DOMAIN = b"auditor row 1\0"
LENGTH = struct.Struct(">Q")
DOUBLE = struct.Struct(">d")


def digest_rows(
    task: Mapping[str, Any], groups: GroupReader, alive: Callable[[], None]
) -> pa.Table:
    """Hash a shard's rows (table `ROWS`).

    Args:
        task: an ``ingest`` task of the Parquet reader, with ``whole`` set and its ``split``.
        groups: the open row group.
        alive: called before each row.

    Raises:
        pa.ArrowException, OSError, ValueError, KeyError: the pages are malformed.
    """
    batch = groups.rows(task)
    others = _other_columns(batch, str(task["image"]))
    split = _framed(_value(task["split"]))
    rows: list[tuple[bytes | None, int | None, str | None, str | None, bytes]] = []
    for place, sample in enumerate(encoded(batch, task)):
        alive()
        data = sample.data
        image = None if data is None else hashlib.sha256(data).digest()
        row = hashlib.sha256(DOMAIN)
        row.update(_framed(_value(image if data is not None else sample.refusal)))
        row.update(_framed(_value(sample.label)) + split)
        for name, values in others:
            row.update(name + _framed(_value(values[place])))
        size = None if data is None else len(data)
        rows.append((image, size, _text(sample.label), _text(sample.source), row.digest()))
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(ROWS)
    return pa.table([pa.array(column, kind.type) for column, kind in zip(columns, ROWS,
                    strict=True)], schema=ROWS)  # fmt: skip


def _other_columns(batch: pa.RecordBatch, image: str) -> list[tuple[bytes, list[Any]]]:
    """(framed name, values) of every column, by name; of the image column what is no image."""
    found: list[tuple[bytes, list[Any]]] = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if name != image:
            found.append((_framed(name.encode("utf-8")), _values(column)))
        elif pa.types.is_struct(column.type):
            for place in range(column.type.num_fields):
                part = column.type.field(place).name
                if part != "bytes":
                    label = _framed(name.encode("utf-8")) + _framed(part.encode("utf-8"))
                    found.append((label, _values(column.field(place))))
        elif not pa.types.is_binary(column.type) and not pa.types.is_large_binary(column.type):
            found.append((_framed(name.encode("utf-8")), _values(column)))
    return sorted(found, key=lambda item: item[0])


def _values(column: pa.Array) -> list[Any]:
    """Python values; times as integers, because nanoseconds have no Python type."""
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_duration(kind) or pa.types.is_time(kind):
        wide = pa.types.is_time32(kind)
        numbers = column.cast(pa.int32() if wide else pa.int64()).to_pylist()
        return [None if number is None else (kind.unit, number) for number in numbers]
    return list(column.to_pylist())


def _framed(data: bytes) -> bytes:
    return LENGTH.pack(len(data)) + data


def _value(value: object) -> bytes:
    """A value's bytes behind a letter for its kind: no two different values share them.

    Integers and texts of any width are the same value; 1 and 1.0 are not.
    """
    match value:
        case None:
            return b"n"
        case str():
            return b"s" + value.encode("utf-8", "surrogatepass")
        case bytes():
            return b"b" + value
        case bool():
            return b"t" if value else b"f"
        case int():
            return b"i%d" % value
        case float():
            return b"d" + (b"nan" if math.isnan(value) else DOUBLE.pack(value))
        case list() | tuple():
            return b"l" + b"".join(_framed(_value(item)) for item in value)
        case dict():
            items = sorted((str(name).encode("utf-8"), item) for name, item in value.items())
            return b"m" + b"".join(_framed(name) + _framed(_value(item)) for name, item in items)
        case _:
            # Dates and decimals: their type and text say all of them.
            return b"o" + f"{type(value).__name__}:{value}".encode()


def _text(value: str | None) -> str | None:
    """Valid UTF-8 for Arrow."""
    return None if value is None else value.encode("utf-8", "backslashreplace").decode("utf-8")
