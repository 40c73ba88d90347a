"""Metadata files of an image folder (``metadata.csv|jsonl|parquet``): read, and written anew."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from auditor.attacks.copies.copying import LABEL_COLUMNS, sample_generator
from auditor.errors import UsageError

METADATA = frozenset({"metadata.csv", "metadata.jsonl", "metadata.parquet"})


@dataclass(frozen=True, slots=True)
class Table:
    """A metadata file: its rows, the label column, and the label of each row."""

    uri: str
    columns: list[str]
    schema: pa.Schema | None
    rows: list[dict[str, object]]
    label: str | None
    values: list[object]


def read_table(root: Path, uri: str, label: str | None) -> Table:
    """Read a metadata file; the label column is the named one or the first usual one.

    Raises:
        UsageError: there is no column of that name.
    """
    schema = None
    if uri.endswith(".parquet"):
        content = pq.read_table(root / uri, partitioning=None)
        schema, columns = content.schema, content.schema.names
        rows: list[dict[str, object]] = content.to_pylist()
    elif uri.endswith(".csv"):
        text = (root / uri).read_text(encoding="utf-8-sig")
        reader = csv.DictReader(io.StringIO(text, newline=""))
        rows = [dict(r) for r in reader]
        columns = list(reader.fieldnames or [])
    else:
        lines = (root / uri).read_text(encoding="utf-8-sig").split("\n")
        rows = [json.loads(line) for line in lines if line.strip()]
        columns = list(dict.fromkeys(k for r in rows for k in r))
    if label is not None and label not in columns:
        raise UsageError(f"--label: no column {label!r} in {uri}; it has {', '.join(columns)}")
    found = label or next((c for c in LABEL_COLUMNS if c in columns), None)
    return Table(uri, columns, schema, rows, found, [r.get(found) if found else None for r in rows])


def table_rows(uris: list[str], tables: list[Table]) -> dict[int, tuple[int, int]]:
    """Sample → (table, row) for each sample that a table names."""
    index = {uri: i for i, uri in enumerate(uris)}
    found: dict[int, tuple[int, int]] = {}
    for t, table in enumerate(tables):
        base = PurePosixPath(table.uri).parent
        for r, row in enumerate(table.rows):
            sample = index.get((base / str(row.get("file_name"))).as_posix())
            if sample is not None:
                found[sample] = (t, r)
    return found


def from_table(tables: list[Table], where: tuple[int, int] | None, column: str | None) -> object:
    """A sample's label, or with a column (or None found) its source; None if it has neither."""
    if where is None:
        return None
    table = tables[where[0]]
    if column is None:
        return table.values[where[1]]
    return table.rows[where[1]].get(column)


def render_table(
    table: Table, values: list[object], changes: dict[int, int], extra: list[tuple[int, str, int]]
) -> bytes:
    """A metadata file with new labels, and a line for each new sample at a random place."""
    rows = [dict(r) for r in table.rows]
    for r, label in changes.items():
        if table.label is not None and label >= 0:
            rows[r][table.label] = values[label]
    base = PurePosixPath(table.uri).parent
    for r, uri, label in extra:
        row = {**table.rows[r], "file_name": PurePosixPath(uri).relative_to(base).as_posix()}
        if table.label is not None and label >= 0:
            row[table.label] = values[label]
        rows.insert(int(sample_generator(13, r, len(rows)).integers(len(rows) + 1)), row)
    if table.schema is not None:
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), sink)
        return bytes(sink.getvalue())
    if not table.uri.endswith(".csv"):
        return "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows).encode()
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, table.columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
