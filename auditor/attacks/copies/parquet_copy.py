"""Copies Parquet datasets row group by row group: schema, metadata, compression and sizes kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from auditor.attacks.copies.copying import (
    IMAGE_COLUMNS,
    LABEL_COLUMNS,
    SOURCE_COLUMNS,
    Block,
    Edits,
    Layout,
    Placed,
    Written,
    copy_order,
    copy_others,
    encode_labels,
    files_below,
)
from auditor.attacks.copies.parquet_columns import (
    SUFFIXES,
    class_names_of,
    find_column,
    holds_images,
    holds_labels,
)
from auditor.errors import NothingToScanError, UsageError


@dataclass(frozen=True, slots=True)
class Group:
    """One row group: its file (index into the list of files), its index there, its first row."""

    file: int
    index: int
    start: int
    count: int


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that matter, by name; the raw value of each label."""

    image: str
    label: str | None
    values: list[object]


def parquet_files(root: Path) -> list[Path]:
    """The Parquet files of a dataset, sorted by POSIX path; empty if it has none."""
    if root.is_file():
        with root.open("rb") as stream:
            return [root] if stream.read(4) == b"PAR1" else []
    return [
        root / uri
        for uri in files_below(root)
        if Path(uri).suffix.lower() in SUFFIXES and Path(uri).name != "metadata.parquet"
    ]


def open_parquet(
    root: Path, image: str | None = None, label: str | None = None, source: str | None = None
) -> Layout:
    """Open a Parquet file or a folder of shards; the columns are detected where not named.

    Raises:
        UsageError: a named column is absent, or no column holds images.
        NothingToScanError: a file is no readable Parquet file.
    """
    files = parquet_files(root)
    groups, schemas = _groups(files)
    schema = schemas[0]
    image = find_column(schema, image, IMAGE_COLUMNS, "image", holds_images)
    declared = next((n for n in schema.names if class_names_of(schema, n)), None)
    label = find_column(schema, label or declared, LABEL_COLUMNS, "label", holds_labels)
    source = find_column(schema, source, SOURCE_COLUMNS, "source", lambda t: pa.types.is_string(t))
    if image is None:
        raise UsageError(
            f"{root}: no image column among {schema.names}; expected binary, or struct<bytes, "
            "path>; name one with --image COLUMN"
        )
    names = class_names_of(schema, label)
    labels, class_names, values = encode_labels(_values(files, label, groups), names)
    sources = None
    if source is not None:
        sources = encode_labels(_values(files, source, groups), None)[0]
    columns = Columns(image, label, values)
    return Layout(
        kind="parquet",
        labels=labels,
        class_names=class_names,
        sources=sources,
        fetch=lambda rows: _fetch(files, groups, columns, rows),
        read=lambda edits: _read(files, groups, columns, edits),
        write=lambda out, name, edits, blocks: _write(
            root, out, name, files, columns, edits, blocks
        ),
    )


def _groups(files: list[Path]) -> tuple[list[Group], list[pa.Schema]]:
    groups, schemas, start = [], [], 0
    for number, path in enumerate(files):
        try:
            with pq.ParquetFile(path) as file:
                schemas.append(file.schema_arrow)
                for index in range(file.metadata.num_row_groups):
                    count = file.metadata.row_group(index).num_rows
                    groups.append(Group(number, index, start, count))
                    start += count
        except (pa.ArrowInvalid, OSError) as error:
            raise NothingToScanError(
                f"{path}: not a readable Parquet file ({error}); expected every shard to be "
                "readable; remove or repair it"
            ) from error
    return groups, schemas


def _values(files: list[Path], column: str | None, groups: list[Group]) -> list[object]:
    if column is None:
        return [None] * sum(g.count for g in groups)
    values: list[object] = []
    for path in files:
        values.extend(pq.read_table(path, columns=[column], partitioning=None)[column].to_pylist())
    return values


def _image_bytes(column: pa.ChunkedArray) -> list[bytes | None]:
    array = column.combine_chunks()
    if pa.types.is_struct(array.type):
        array = array.field("bytes")
    found: list[bytes | None] = array.to_pylist()
    return found


def _fetch(
    files: list[Path], groups: list[Group], columns: Columns, rows: np.ndarray
) -> list[bytes | None]:
    """Read the images of some rows, opening only the row groups that hold them."""
    found: dict[int, bytes | None] = {}
    starts = np.array([g.start for g in groups])
    wanted = np.unique(rows)
    owner = np.searchsorted(starts, wanted, side="right") - 1
    for number in np.unique(owner):
        group = groups[number]
        with pq.ParquetFile(files[group.file]) as file:
            table = file.read_row_group(group.index, columns=[columns.image])
        inside = wanted[owner == number]
        taken = _image_bytes(table[columns.image].take(pa.array(inside - group.start)))
        found.update(zip(inside.tolist(), taken, strict=True))
    return [found[row] for row in rows.tolist()]


def _read(
    files: list[Path], groups: list[Group], columns: Columns, edits: Edits
) -> Iterator[Block]:
    for group in groups:
        with pq.ParquetFile(files[group.file]) as file:
            table = file.read_row_group(group.index)
        span = range(group.start, group.start + group.count)
        rows, entries, added = copy_order(span, edits)
        if any(added):
            table = table.take(pa.array([row - group.start for row in rows]))
        yield Block(_image_bytes(table[columns.image]), rows, entries, added, (group, table))


def _write(
    root: Path,
    out: Path,
    name: str,
    files: list[Path],
    columns: Columns,
    edits: Edits,
    blocks: Written,
) -> Placed:
    placed = Placed()
    single = root.is_file()
    writer: pq.ParquetWriter | None = None
    current, record, uri = -1, 0, ""
    try:
        for block, data in blocks:
            group, table = _context(block)
            if group.file != current:
                if writer is not None:
                    writer.close()
                source = files[group.file]
                uri = name if single else source.relative_to(root).as_posix()
                path = out if single else out / uri
                path.parent.mkdir(parents=True, exist_ok=True)
                writer = _writer(source, path)
                current, record = group.file, 0
            assert writer is not None
            changed = _altered(table, columns, edits, block, data)
            writer.write_table(changed, row_group_size=max(1, changed.num_rows))
            placed.uris.extend([uri] * changed.num_rows)
            placed.records.extend(range(record, record + changed.num_rows))
            placed.rows.extend(block.rows)
            placed.entries.extend(block.entries)
            record += changed.num_rows
    finally:
        if writer is not None:
            writer.close()
    if not single:
        copy_others(root, out, {p.relative_to(root).as_posix() for p in files})
    return placed


def _context(block: Block) -> tuple[Group, pa.Table]:
    context = block.context
    assert isinstance(context, tuple)
    return context


def _writer(source: Path, path: Path) -> pq.ParquetWriter:
    """A writer with the source's schema (metadata included) and per-column compression."""
    with pq.ParquetFile(source) as file:
        metadata, schema = file.metadata, file.schema_arrow
        compression: dict[str, str] = {}
        if metadata.num_row_groups:
            first = metadata.row_group(0)
            for i in range(first.num_columns):
                column = first.column(i)
                compression[column.path_in_schema] = column.compression
    known = {name: c if c != "UNCOMPRESSED" else "NONE" for name, c in compression.items()}
    return pq.ParquetWriter(path, schema, compression=known or "snappy")


def _altered(
    table: pa.Table, columns: Columns, edits: Edits, block: Block, data: list[bytes | None]
) -> pa.Table:
    """The row group with its new images and labels, in the very same schema."""
    index = table.schema.get_field_index(columns.image)
    old = table[columns.image].combine_chunks()
    new = _images(old, data)
    table = table.set_column(index, table.schema.field(index), pa.chunked_array([new]))
    if columns.label is None:
        return table
    index = table.schema.get_field_index(columns.label)
    kind = table.schema.field(index).type
    labels = table[columns.label].to_pylist()
    for i, (entry, added) in enumerate(zip(block.entries, block.added, strict=True)):
        if entry >= 0:
            label = edits.added_labels[entry] if added else int(edits.labels[block.rows[i]])
            labels[i] = columns.values[label] if label >= 0 else labels[i]
    if pa.types.is_dictionary(kind):
        array = pa.array(labels, type=kind.value_type).dictionary_encode().cast(kind)
    else:
        array = pa.array(labels, type=kind)
    return table.set_column(index, table.schema.field(index), pa.chunked_array([array]))


def _images(old: pa.Array, data: list[bytes | None]) -> pa.Array:
    if not pa.types.is_struct(old.type):
        return pa.array(data, type=old.type)
    fields = [old.type.field(i) for i in range(old.type.num_fields)]
    children = [
        pa.array(data, type=f.type) if f.name == "bytes" else old.field(i)
        for i, f in enumerate(fields)
    ]
    return pa.StructArray.from_arrays(children, fields=fields, mask=old.is_null())
