"""The Hugging Face image-folder form: ``metadata.csv|jsonl|parquet`` beside the images."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from auditor.errors import UsageError
from auditor.readers.catalog import Columns, Refused
from auditor.readers.moments import named_column, parse
from auditor.readers.sample import Ask

METADATA_NAMES = frozenset({"metadata.csv", "metadata.jsonl", "metadata.parquet"})

LABEL_COLUMNS = ("label", "labels", "class", "class_name", "category", "target", "y", "fine_label")
SOURCE_COLUMNS = ("source", "contributor", "annotator", "uploader", "author", "host", "url")
"""Column names taken for the label and the source where the user named none, in this order."""


@dataclass(frozen=True, slots=True)
class Row:
    """What the metadata says of one image; ``labelled`` if it has a label column at all."""

    label: str | None
    source: str | None
    labelled: bool
    time: int | None = None


def read_metadata(
    uri: str, path: str, columns: Columns, ask: Ask
) -> tuple[dict[str, Row], list[Refused]] | Refused:
    """Rows by uri and what is wrong with some of them; parsed in an isolated worker.

    Raises:
        UsageError: ``columns`` names a column that the file does not have.
    """
    table = ask({"kind": "metadata", "path": path})
    if "refusal" in table.column_names:
        detail = str(table["detail"][0])
        return Refused(uri, "unreadable_metadata", detail)
    names = table.column_names
    if "file_name" not in names:
        return Refused(uri, "unreadable_metadata", f"no file_name column among {names}"[:200])
    label = choose(columns.label, LABEL_COLUMNS, names, "--label", uri)
    source = choose(columns.source, SOURCE_COLUMNS, names, "--source", uri)
    time = named_column(names)
    folder = posixpath.dirname(uri)
    rows: dict[str, Row] = {}
    problems: list[Refused] = []
    empty = [None] * table.num_rows
    labels = table[label].to_pylist() if label else empty
    sources = table[source].to_pylist() if source else empty
    times = [parse(text) for text in table[time].to_pylist()] if time else empty
    for file_name, one_label, one_source, one_time in zip(
        table["file_name"].to_pylist(), labels, sources, times, strict=True
    ):
        target = posixpath.normpath(posixpath.join(folder, file_name or ""))
        if not file_name:
            problems.append(Refused(uri, "missing_file", "a row without a file name"))
        elif target.startswith(("../", "/")) or target == "..":
            problems.append(Refused(target, "path_escape", f"named in {uri}"))
        else:
            rows[target] = Row(one_label or None, one_source or None, label is not None, one_time)
    return rows, problems


def choose(
    asked: str | None, known: tuple[str, ...], names: list[str], option: str, where: str
) -> str | None:
    """The column the user asked for, or the first known name that is there.

    Raises:
        UsageError: the column asked for is not there.
    """
    if asked is not None:
        if asked not in names:
            raise UsageError(
                f"{option} {asked!r}: no such column in {where}; it has {', '.join(names)}"
            )
        return asked
    lower = {name.lower(): name for name in reversed(names)}
    return next((lower[name] for name in known if name in lower), None)


def load(task: Mapping[str, Any]) -> pa.Table:
    """Parse a metadata file (inside a worker): its scalar columns as strings.

    Raises:
        pa.ArrowException, OSError: the file is malformed; the worker reports it as refused.
    """
    path = str(task["path"])
    suffix = Path(path).suffix.lower()
    if suffix == ".csv":
        # As text, whatever it looks like: "007" and "7" may be two classes.
        as_text = pyarrow.csv.ConvertOptions(default_column_type=pa.string())
        table = pyarrow.csv.read_csv(path, convert_options=as_text)
    elif suffix == ".jsonl":
        table = pyarrow.json.read_json(path)
    else:
        table = pq.ParquetFile(path).read(use_threads=False)
    columns = {
        name: table[name].cast(pa.string())
        for name in table.column_names
        if _is_scalar(table.schema.field(name).type)
    }
    return pa.table(columns)


def _is_scalar(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_temporal(kind)
        or (pa.types.is_dictionary(kind) and _is_scalar(kind.value_type))
    )
