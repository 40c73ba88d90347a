"""Inside a worker: a Parquet file's structure, and its rows as encoded samples."""

from __future__ import annotations

import json
import math
import os
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from auditor.readers.catalog import Refused
from auditor.readers.image_folder import MAX_BYTES
from auditor.readers.moments import column_moments, time_column
from auditor.readers.sample import EncodedSample
from auditor.readers.signatures import EXTENSIONS, sniff
from auditor.readers.walk import read_file

PLAIN_NAMES = frozenset({"image", "img", "picture", "photo", "jpg", "png"})
"""A binary column of such a name holds images, even if its first values are no readable ones."""

READ_BUFFER = 1 << 20
"""Bytes read at once from a column."""

MAX_FREE_ROWS = 1_000_000
"""Rows that a file may announce whatever its size; above that, no more than it has bytes. A footer
of a few bytes can announce 2⁶³ rows."""

MAX_NAME = 1000
"""Characters of a label or source that are kept: they are repeated for every sample."""


def describe(task: Mapping[str, Any]) -> pa.Table:
    """Answer an ``inspect`` task (inside a worker).

    Raises:
        pa.ArrowException, OSError: the file is malformed; the worker reports it as refused.
    """
    path = str(task["path"])
    with _open(path) as file:
        meta = file.metadata
        groups = [
            (meta.row_group(i).num_rows, meta.row_group(i).total_byte_size)
            for i in range(meta.num_row_groups)
        ]
        n_rows = sum(rows for rows, _ in groups)
        if n_rows > max(MAX_FREE_ROWS, Path(path).stat().st_size) or any(n < 0 for n, _ in groups):
            raise pa.ArrowInvalid(f"the footer announces {n_rows:,} rows, more than it has bytes")
        schema = file.schema_arrow
        kinds = {}
        for field in schema:
            kind = _kind(file, field)
            if kind:
                kinds[field.name] = kind
        info = {
            "row_groups": groups,
            "columns": schema.names,
            "kinds": kinds,
            "class_names": _class_names(schema),
            "time": time_column(schema),
        }
    return pa.table({"info": [json.dumps(info)]})


def paths(task: Mapping[str, Any]) -> pa.Table:
    """Answer a ``paths`` task (inside a worker): the file names that a column of paths holds."""
    with _open(str(task["path"])) as file:
        name = str(task["image"])
        is_struct = pa.types.is_struct(file.schema_arrow.field(name).type)
        table = file.read([f"{name}.path" if is_struct else name], use_threads=False)
    column = table.column(0).combine_chunks()
    return pa.table({"path": (column.field("path") if is_struct else column).cast(pa.string())})


def _open(path: str) -> pq.ParquetFile:
    # With a buffer, a column is read page by page; without, a whole row group at once.
    return pq.ParquetFile(path, pre_buffer=False, buffer_size=READ_BUFFER)


def _kind(file: pq.ParquetFile, field: pa.Field) -> str | None:
    """How a column may hold images: its name tells, or a look at its first values does."""
    kind = field.type
    if pa.types.is_struct(kind):
        names = {kind.field(i).name for i in range(kind.num_fields)}
        if "path" in names and ("bytes" not in names or _all_null(file, f"{field.name}.bytes")):
            return "struct_path"
        return "struct" if "bytes" in names else None
    binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if not (binary or text) or file.metadata.num_rows == 0:
        return None
    if binary and field.name.lower() in PLAIN_NAMES:
        return "binary"
    batch = next(file.iter_batches(batch_size=8, columns=[field.name], use_threads=False), None)
    values = [v for v in batch.column(0).to_pylist() if v] if batch is not None else []
    if binary:
        return "binary" if any(sniff(value[:16]) for value in values) else None
    suffixes = {posixpath.splitext(value)[1].lower() for value in values}
    return "path" if suffixes & EXTENSIONS.keys() else None


def _all_null(file: pq.ParquetFile, leaf: str) -> bool:
    """Whether the footer's statistics say that no row has a value in this leaf column."""
    meta = file.metadata
    for group in range(meta.num_row_groups):
        row_group = meta.row_group(group)
        chunks = (row_group.column(i) for i in range(row_group.num_columns))
        chunk = next((c for c in chunks if c.path_in_schema == leaf), None)
        if chunk is None or chunk.statistics is None:
            return False
        if chunk.statistics.null_count != row_group.num_rows:
            return False
    return bool(meta.num_row_groups)


def _class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Class names per column that the Hugging Face schema metadata declares."""
    raw = (schema.metadata or {}).get(b"huggingface")
    if raw is None:
        return {}
    try:
        features = json.loads(raw)["info"]["features"]
        return {
            str(name): [_text(str(value)) for value in feature["names"]]
            for name, feature in features.items()
            if isinstance(feature, dict) and isinstance(feature.get("names"), list)
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        # Metadata is a hint, and hostile: without it labels keep the values in the column.
        return {}


def _text(value: str) -> str:
    """Valid UTF-8: JSON may spell lone surrogates."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8")


class GroupReader:
    """Streams one row group at a time and remembers where it stands.

    Successive shards of a large row group then cost one pass over its pages, not one each.
    """

    def __init__(self) -> None:
        self._key: tuple[str, int, int, tuple[str, ...]] | None = None
        self._file: pq.ParquetFile | None = None
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._next = 0

    def rows(self, task: Mapping[str, Any]) -> pa.RecordBatch:
        """The rows ``start … start + size`` of the task's row group.

        Raises:
            pa.ArrowException, OSError: the pages are malformed or hold other rows than announced.
        """
        wanted = [task["image"], task["label"], task["source"], task.get("time")]
        # A task for whole rows, whose columns it does not know, names none.
        whole = bool(task.get("whole"))
        columns = () if whole else tuple(dict.fromkeys(name for name in wanted if name))
        key = (task["path"], task["group"], task["step"], columns)
        if key != self._key or self._next > task["start"]:
            self._begin(key)
        for batch in self._batches:
            begin, self._next = self._next, self._next + batch.num_rows
            if begin == task["start"] and batch.num_rows == task["size"]:
                return batch
        raise pa.ArrowInvalid(f"no rows {task['start']} to {task['start'] + task['size']}")

    def _begin(self, key: tuple[str, int, int, tuple[str, ...]]) -> None:
        path, group, step, columns = key
        if self._file is not None:
            self._file.close()
        self._key = None
        self._file = _open(path)
        self._batches = self._file.iter_batches(
            batch_size=step, row_groups=[group], columns=list(columns) or None, use_threads=False
        )
        self._next = 0
        self._key = key


def read(task: Mapping[str, Any], groups: GroupReader) -> Iterator[EncodedSample]:
    """Yield the shard's rows as bytes, in order (inside a worker).

    Raises:
        pa.ArrowException, OSError, KeyError: the pages are malformed.
    """
    batch = groups.rows(task)
    if "rows" in task:
        batch = batch.take(pa.array(task["rows"]))
    yield from encoded(batch, task)


def encoded(batch: pa.RecordBatch, task: Mapping[str, Any]) -> Iterator[EncodedSample]:
    """Yield a batch's rows as bytes, in order (inside a worker).

    Raises:
        pa.ArrowException, OSError, KeyError: a column is malformed.
    """
    images = batch.column(_place(batch, task["image"]))
    labels = _labels(batch, task)
    sources = _strings(batch, task["source"])
    times = _times(batch, task.get("time"))
    folder = str(Path(task["path"]).parent)
    for i in range(batch.num_rows):
        data, name, problem = _bytes(images[i].as_py(), folder, task["root"])
        reason, detail = problem or (None, "")
        yield EncodedSample(data, reason, detail, name, labels[i], _source(sources[i]), times[i])


def _bytes(
    value: object, folder: str, root: str
) -> tuple[bytes | None, str, tuple[str, str] | None]:
    """(bytes, name, refusal) of one cell: a struct, raw bytes, or a path inside the dataset."""
    name = ""
    if isinstance(value, dict):
        name = str(value.get("path") or "")
        value = value.get("bytes") if value.get("bytes") is not None else value.get("path")
    if isinstance(value, bytes):
        return value, name, None
    if not isinstance(value, str) or not value:
        return None, name, ("no_image", "the cell is empty")
    if "\0" in value:
        return None, name, ("missing_file", "a zero byte in the file name")
    target = posixpath.normpath(posixpath.join(folder, value))
    home = os.path.realpath(root)
    if os.path.commonpath([os.path.realpath(target), home]) != home:
        return None, value, ("path_escape", f"{value[:100]!r} lies outside the dataset")
    data = read_file(target, MAX_BYTES)
    if isinstance(data, Refused):
        return None, value, (data.reason, data.detail)
    return data, value, None


def _labels(batch: pa.RecordBatch, task: Mapping[str, Any]) -> list[str | None]:
    """Class names: declared names for numbers in their range, else the value as text."""
    return [_class_name(value, task["names"]) for value in _column(batch, task["label"])]


def _class_name(value: object, names: Sequence[str]) -> str | None:
    """One label's class; None for what says "no label": null, NaN, or below 0 where names are."""
    if isinstance(value, float):
        if math.isnan(value):
            return None
        value = int(value) if value.is_integer() else value  # numbers with gaps become floats
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    if isinstance(value, int) and not isinstance(value, bool) and names:
        if value < 0:
            return None
        return names[value] if value < len(names) else str(value)
    return None if value is None else str(value)[:MAX_NAME]


def _strings(batch: pa.RecordBatch, name: str | None) -> list[str | None]:
    return [None if v is None else str(v)[:MAX_NAME] for v in _column(batch, name)]


def _times(batch: pa.RecordBatch, name: str | None) -> list[int | None]:
    if name is None:
        return [None] * batch.num_rows
    return column_moments(batch.column(_place(batch, name)))


def _column(batch: pa.RecordBatch, name: str | None) -> list[Any]:
    if name is None:
        return [None] * batch.num_rows
    values: list[Any] = batch.column(_place(batch, name)).to_pylist()
    return values


def _place(batch: pa.RecordBatch, name: str) -> int:
    """A column's place; Arrow says −1, which would be the last, where it is absent or repeated."""
    place = int(batch.schema.get_field_index(name))
    if place < 0:
        raise KeyError(f"column {name!r} is missing or there twice")
    return place


def _source(value: str | None) -> str | None:
    """A URL counts by its host: who supplied the sample, not which sample it is."""
    if value and value.startswith(("http://", "https://")):
        try:
            return urlsplit(value).hostname or value
        except ValueError:
            return value
    return value
