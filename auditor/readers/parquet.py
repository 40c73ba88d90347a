"""Parquet datasets: one file, a folder of shards, split folders, in the Hugging Face layout too."""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from auditor.errors import UsageError
from auditor.readers.catalog import KNOWN_SCHEMA, Catalog, Columns, Refused, Shard
from auditor.readers.decode import EXTENSIONS, sniff
from auditor.readers.image_folder import MAX_BYTES
from auditor.readers.metadata import LABEL_COLUMNS, METADATA_NAMES, SOURCE_COLUMNS, choose
from auditor.readers.sample import Ask, EncodedSample
from auditor.readers.walk import SPLITS, Listing, read_file

SHARD = 1000
"""Rows a shard, as the Hugging Face writer's row groups."""

IMAGE_COLUMNS = ("image", "img", "picture", "photo", "bytes", "jpg", "png", "image_path", "path",
                 "file_name", "file", "filename")  # fmt: skip
"""Names tried first when several columns could hold images."""


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What an isolated worker saw in a Parquet file's footer and first rows.

    ``kinds`` maps the columns that may hold images to ``struct``, ``binary`` or ``path``;
    ``class_names`` maps label columns to the names that the schema metadata declares.
    """

    row_groups: tuple[int, ...]
    columns: tuple[str, ...]
    kinds: Mapping[str, str]
    class_names: Mapping[str, tuple[str, ...]]


def discover(listing: Listing, columns: Columns, ask: Ask) -> Catalog:
    """Look into every Parquet file: shards of those with images; the others are counted."""
    shards: list[Shard] = []
    refused: list[Refused] = []
    others: Counter[str] = Counter()
    names: tuple[str, ...] = ()
    seen: set[str] = set()
    for uri, path in listing.files:
        if not uri.lower().endswith(".parquet") or posixpath.basename(uri) in METADATA_NAMES:
            continue
        info = inspect(path, ask)
        if isinstance(info, Refused):
            refused.append(Refused(uri, info.reason, info.detail))
            continue
        seen.update(info.columns)
        image = _image_column(info, columns)
        if image is None:
            others["Parquet file without an image column"] += 1
            continue
        label = choose(columns.label, LABEL_COLUMNS, list(info.columns), "--label", uri)
        if columns.label is None and info.class_names:
            label = next(iter(info.class_names))
        source = choose(columns.source, SOURCE_COLUMNS, list(info.columns), "--source", uri)
        if label and not names:
            names = info.class_names.get(label, ())
        chosen = {
            "image": image, "image_kind": info.kinds.get(image, "binary"), "label": label,
            "source": source, "names": list(info.class_names.get(label or "", ())),
            "root": str(listing.root),
        }  # fmt: skip
        shards.extend(_shards(uri, path, info, chosen))
    if columns.image is not None and seen and not shards:
        raise UsageError(
            f"--image {columns.image!r}: no Parquet file has such a column; "
            f"found {', '.join(sorted(seen))}"
        )
    return Catalog("parquet", tuple(shards), tuple(refused), dict(others), names)


def _image_column(info: FileInfo, columns: Columns) -> str | None:
    if columns.image is not None:
        return columns.image if columns.image in info.columns else None
    ranked = sorted(
        info.kinds,
        key=lambda name: (
            IMAGE_COLUMNS.index(name.lower()) if name.lower() in IMAGE_COLUMNS else 99,
            ("struct", "binary", "path").index(info.kinds[name]),
        ),
    )
    return ranked[0] if ranked else None


def _shards(uri: str, path: str, info: FileInfo, chosen: Mapping[str, Any]) -> Iterator[Shard]:
    split = _split(uri)
    first = 0
    for group, n_rows in enumerate(info.row_groups):
        for start in range(0, n_rows, SHARD):
            size = min(SHARD, n_rows - start)
            known = pl.select(
                uri=pl.repeat(uri, size, dtype=pl.String),
                record=pl.int_range(first + start, first + start + size, dtype=pl.UInt64),
                label=pl.repeat(None, size, dtype=pl.String),
                split=pl.repeat(split, size, dtype=pl.String),
                source=pl.repeat(None, size, dtype=pl.String),
            )
            task = {
                "kind": "ingest", "reader": "parquet", "path": path, "group": group,
                "start": start, "size": size, **chosen,
            }  # fmt: skip
            yield Shard(task, known.cast(KNOWN_SCHEMA))  # type: ignore[arg-type]
        first += n_rows


def _split(uri: str) -> str | None:
    """The split in a shard's folder or, as Hugging Face writes it, in its name."""
    folders = uri.split("/")[:-1]
    for part in folders:
        if part.lower() in SPLITS:
            return part
    match = re.match(r"([A-Za-z]+)(-\d+-of-\d+)?\.parquet$", posixpath.basename(uri))
    return match[1] if match and match[1].lower() in SPLITS else None


def inspect(path: str, ask: Ask) -> FileInfo | Refused:
    """Read a Parquet file's structure in an isolated worker."""
    table = ask({"kind": "inspect", "path": path})
    if "refusal" in table.column_names:
        return Refused("", str(table["refusal"][0]), str(table["detail"][0]))
    said = json.loads(str(table["info"][0]))
    return FileInfo(
        tuple(said["row_groups"]),
        tuple(said["columns"]),
        said["kinds"],
        {name: tuple(values) for name, values in said["class_names"].items()},
    )


def describe(task: Mapping[str, Any]) -> pa.Table:
    """Answer an ``inspect`` task (inside a worker).

    Raises:
        pa.ArrowException, OSError: the file is malformed; the worker reports it as refused.
    """
    with pq.ParquetFile(str(task["path"]), pre_buffer=False) as file:
        schema = file.schema_arrow
        kinds = {}
        for field in schema:
            kind = _kind(file, field, os.path.dirname(str(task["path"])))
            if kind:
                kinds[field.name] = kind
        meta = file.metadata
        info = {
            "row_groups": [meta.row_group(i).num_rows for i in range(meta.num_row_groups)],
            "columns": schema.names,
            "kinds": kinds,
            "class_names": _class_names(schema),
        }
    return pa.table({"info": [json.dumps(info)]})


def _kind(file: pq.ParquetFile, field: pa.Field, folder: str) -> str | None:
    """How a column may hold images; a look at its first value tells bytes and paths apart."""
    kind = field.type
    if pa.types.is_struct(kind):
        names = {kind.field(i).name for i in range(kind.num_fields)}
        return "struct" if "bytes" in names or names == {"path"} else None
    binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if not (binary or text) or file.metadata.num_rows == 0:
        return None
    batch = next(file.iter_batches(batch_size=8, columns=[field.name], use_threads=False), None)
    values = [v for v in batch.column(0).to_pylist() if v] if batch is not None else []
    if binary:
        return "binary" if any(sniff(value[:16]) for value in values) else None
    suffixes = {posixpath.splitext(value)[1].lower() for value in values}
    return "path" if values and suffixes <= set(EXTENSIONS) else None


def _class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Class names per column that the Hugging Face schema metadata declares."""
    raw = (schema.metadata or {}).get(b"huggingface")
    if raw is None:
        return {}
    try:
        features = json.loads(raw)["info"]["features"]
        return {
            str(name): [str(value) for value in feature["names"]]
            for name, feature in features.items()
            if isinstance(feature, dict) and isinstance(feature.get("names"), list)
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        # Metadata is a hint, and hostile: without it labels keep the values in the column.
        return {}


class GroupReader:
    """Streams one row group at a time and remembers where it stands.

    Successive shards of a large row group then cost one pass over its pages, not one each.
    """

    def __init__(self) -> None:
        self._key: tuple[str, int, tuple[str, ...]] | None = None
        self._file: pq.ParquetFile | None = None
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._next = 0

    def rows(self, task: Mapping[str, Any]) -> pa.RecordBatch:
        """The rows ``start … start + size`` of the task's row group."""
        wanted = [task["image"], task["label"], task["source"]]
        columns = tuple(dict.fromkeys(name for name in wanted if name))
        key = (task["path"], task["group"], columns)
        if key != self._key or self._next > task["start"]:
            self._open(key)
        while True:
            batch = next(self._batches)
            begin, self._next = self._next, self._next + batch.num_rows
            if begin == task["start"]:
                return batch

    def _open(self, key: tuple[str, int, tuple[str, ...]]) -> None:
        path, group, columns = key
        if self._file is not None:
            self._file.close()
        self._key = None
        self._file = pq.ParquetFile(path, pre_buffer=False)
        self._batches = self._file.iter_batches(
            batch_size=SHARD, row_groups=[group], columns=list(columns), use_threads=False
        )
        self._next = 0
        self._key = key


def read(task: Mapping[str, Any], groups: GroupReader) -> Iterator[EncodedSample]:
    """Yield the shard's rows as bytes, in order (inside a worker).

    Raises:
        pa.ArrowException, OSError, StopIteration: the pages are malformed.
    """
    batch = groups.rows(task)
    if batch.num_rows != task["size"]:
        raise pa.ArrowInvalid(f"{batch.num_rows} rows where the footer says {task['size']}")
    if "rows" in task:
        batch = batch.take(pa.array(task["rows"]))
    images = batch.column(batch.schema.get_field_index(task["image"]))
    labels = _labels(batch, task)
    sources = _strings(batch, task["source"])
    folder = os.path.dirname(task["path"])
    for i in range(batch.num_rows):
        data, name, problem = _bytes(images[i].as_py(), folder, task["root"])
        reason, detail = problem or (None, "")
        yield EncodedSample(data, reason, detail, name, labels[i], _source(sources[i]))


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
    target = os.path.normpath(os.path.join(folder, value))
    if os.path.commonpath([os.path.realpath(target), os.path.realpath(root)]) != os.path.realpath(
        root
    ):
        return None, value, ("path_escape", f"{value[:100]!r} lies outside the dataset")
    data = read_file(target, MAX_BYTES)
    if isinstance(data, Refused):
        return None, value, (data.reason, data.detail)
    return data, value, None


def _labels(batch: pa.RecordBatch, task: Mapping[str, Any]) -> list[str | None]:
    """Class names: declared names for integers in their range, else the value as text."""
    names = task["names"]
    values = _column(batch, task["label"])
    return [
        None if v is None or (isinstance(v, int) and v < 0 and names)
        else names[v] if isinstance(v, int) and not isinstance(v, bool) and v < len(names)
        else str(v)
        for v in values
    ]  # fmt: skip


def _strings(batch: pa.RecordBatch, name: str | None) -> list[str | None]:
    return [None if v is None else str(v) for v in _column(batch, name)]


def _column(batch: pa.RecordBatch, name: str | None) -> list[Any]:
    if name is None:
        return [None] * batch.num_rows
    values: list[Any] = batch.column(batch.schema.get_field_index(name)).to_pylist()
    return values


def _source(value: str | None) -> str | None:
    """A URL counts by its host: who supplied the sample, not which sample it is."""
    if value and value.startswith(("http://", "https://")):
        try:
            return urlsplit(value).hostname or value
        except ValueError:
            return value
    return value
