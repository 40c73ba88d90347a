"""Verified Parquet files: rows of a file whose bytes were checked before it was parsed."""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from auditor.attesting.differing import (
    GuardError,
    changed_file,
    unreadable_file,
    unscanned,
)
from auditor.errors import UsageError
from auditor.readers.catalog import Refused
from auditor.readers.walk import read_file

if TYPE_CHECKING:
    from auditor.attesting.guard import Guard

CACHED = 1 << 28
"""Bytes of decoded row groups that a process keeps: shuffled reading then decodes a small dataset
once, not a row group for each sample."""


class Groups:
    """Row groups of a Parquet file, decoded when asked for, the last used ones kept."""

    def __init__(self, file: pq.ParquetFile, columns: list[str] | None = None) -> None:
        meta = file.metadata
        self._file = file
        self._columns = columns
        rows = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
        self._ends = np.cumsum(rows)
        self._kept: OrderedDict[int, pa.Table] = OrderedDict()

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def row(self, record: int) -> Mapping[str, Any]:
        """One row's columns.

        Raises:
            IndexError: there is no such row.
        """
        if not 0 <= record < len(self):
            raise IndexError(f"row {record} of {len(self)}")
        group = int(np.searchsorted(self._ends, record, side="right"))
        first = int(self._ends[group - 1]) if group else 0
        table = self._group(group)
        return {name: table[name][record - first].as_py() for name in table.column_names}

    def _group(self, group: int) -> pa.Table:
        if group in self._kept:
            self._kept.move_to_end(group)
            return self._kept[group]
        table = self._file.read_row_group(group, columns=self._columns, use_threads=False)
        self._kept[group] = table
        while len(self._kept) > 1 and sum(t.nbytes for t in self._kept.values()) > CACHED:
            self._kept.popitem(last=False)
        return table


class Shard:
    """A Parquet file held in memory, checked as a whole: its rows can not change any more."""

    def __init__(self, uri: str, data: bytes) -> None:
        self.uri = uri
        self._data = data
        self._groups: Groups | None = None

    def __getstate__(self) -> dict[str, Any]:
        """The bytes; what was parsed from them is parsed again."""
        return {"uri": self.uri, "_data": self._data, "_groups": None}

    def _opened(self) -> Groups:
        if self._groups is None:
            self._groups = Groups(pq.ParquetFile(pa.BufferReader(self._data)))
        return self._groups

    def __len__(self) -> int:
        return len(self._opened())

    def __getitem__(self, record: int) -> Mapping[str, Any]:
        """One row: column → value.

        Raises:
            IndexError: there is no such row.
        """
        return self._opened().row(record)

    def table(self, columns: list[str] | None = None) -> pa.Table:
        """All rows, or some of their columns."""
        return pq.read_table(pa.BufferReader(self._data), columns=columns)


def open_shard(guard: Guard, uri: str, max_bytes: int) -> Shard:
    """Read and check a Parquet file; see `Guard.open_shard`.

    Raises:
        GuardError: it was not scanned or is not what was scanned.
        UsageError: it is larger than ``max_bytes``.
    """
    known = guard.samples.files.get(uri)
    if known is None:
        raise unscanned(guard.root, uri, guard.samples)
    size, digest = known
    if size > max_bytes:
        raise UsageError(
            f"shard {uri!r}: {size:,} bytes, and at most {max_bytes:,} are held in memory; give a "
            "larger max_bytes, or use Guard.dataset, which reads row group by row group"
        )
    data = read_file(str(guard.root / uri), size)
    if isinstance(data, Refused):
        raise unreadable_file(guard.samples, uri, data)
    now = hashlib.sha256(data).hexdigest()
    if now != digest:
        raise changed_file(guard.samples, uri, len(data), now)
    return Shard(uri, data)


class Rows:
    """The images of a Parquet file that stays on disk: each is checked again as it is read."""

    def __init__(self, guard: Guard, uri: str) -> None:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(guard.root / uri, flags)
        except OSError as error:
            raise GuardError(
                f"file {uri!r}: is not what was scanned: {error.strerror}; do not train on it"
            ) from None
        self._stream = os.fdopen(descriptor, "rb")
        # Nothing is parsed before the bytes were checked; that they stay so is checked by image.
        guard.verify_file(uri, descriptor)
        self._guard = guard
        self._folder = posixpath.dirname(uri)
        self._file = pq.ParquetFile(self._stream)
        self._groups: Groups | None = None
        self._column = ""

    def image(self, index: int) -> bytes:
        """The encoded image of the sample of that index.

        Raises:
            GuardError: it is not what was scanned.
        """
        record = int(self._guard.samples.record[index])
        if self._groups is None:
            self._column = self._find_column(record, index)
            self._groups = Groups(self._file, [self._column])
        try:
            value = self._groups.row(record)[self._column]
        except (IndexError, pa.ArrowException, OSError) as error:
            raise GuardError(
                f"sample {self._guard.samples.name(index)}: can not be read any more ({error})"
            ) from None
        return self._guard.checked(index, self._encoded(value) or b"")

    def _find_column(self, record: int, index: int) -> str:
        """The column that holds the attested images: its value is the attested one.

        Raises:
            GuardError: no column does.
        """
        wanted = self._guard.samples.digest[index].tobytes()
        for field in self._file.schema_arrow:
            kind = field.type
            if not (pa.types.is_struct(kind) or _is_bytes(kind) or _is_text(kind)):
                continue
            data = self._encoded(Groups(self._file, [field.name]).row(record)[field.name])
            if data is not None and hashlib.sha256(data).digest() == wanted:
                return str(field.name)
        raise GuardError(
            f"sample {self._guard.samples.name(index)}: no column of the file holds the attested "
            "image; do not train on it"
        )

    def _encoded(self, value: object) -> bytes | None:
        """One cell's image: bytes, a struct with bytes, or a file that the cell names."""
        if isinstance(value, dict):
            value = value.get("bytes") if value.get("bytes") is not None else value.get("path")
        if isinstance(value, bytes):
            return value
        if not isinstance(value, str) or not value or "\0" in value:
            return None
        target = posixpath.normpath(posixpath.join(self._folder, value))
        if target.startswith(("..", "/")):
            return None
        data = read_file(str(self._guard.root / target), CACHED)
        return data if isinstance(data, bytes) else None


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
