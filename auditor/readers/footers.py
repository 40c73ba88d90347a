"""Inside a worker: what the schema of a Parquet or Arrow file carries beside its columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from auditor.readers.contents import Content, pickled_calls
from auditor.readers.documents import HASH_KEYS, Document

URL_COLUMNS = frozenset({"url", "image_url", "img_url", "link", "uri", "download_url"})

MAX_FIELDS = 10_000
"""Fields of a schema that are looked at, nested ones among them."""

PICKLED_TYPE = "arrow.py_extension_type"
"""Older Arrow versions unpickle this type's metadata when they open the file (CVE-2023-47248)."""


def read_footer(stream: BinaryIO, is_parquet: bool) -> tuple[Content, Document]:
    """What the schema says, without a row being read.

    Raises:
        pa.ArrowException, OSError: the file is malformed.
    """
    if is_parquet:
        with pq.ParquetFile(stream, pre_buffer=False) as file:
            schema, n_rows = file.schema_arrow, max(0, file.metadata.num_rows)
            extra = dict(file.metadata.metadata or {})
        kind = "parquet"
    else:
        schema, n_rows, extra, kind = _arrow_schema(stream), 0, {}, "arrow"
    return _pickled(kind, schema, extra), _addresses(schema, n_rows)


def _arrow_schema(stream: BinaryIO) -> pa.Schema:
    source = pa.PythonFile(stream, mode="r")
    try:
        return pa.ipc.open_file(source).schema
    except pa.ArrowInvalid:
        source.seek(0)
        return pa.ipc.open_stream(source).schema


def _pickled(kind: str, schema: pa.Schema, extra: dict[bytes, bytes]) -> Content:
    """Whether extension types or metadata values are pickles."""
    for name, value in _extensions(schema):
        calls = pickled_calls(value)
        if name == PICKLED_TYPE or calls is not None:
            return Content("pickled_metadata", f"extension type {name}"[:200], calls or ())
    for key, value in {**extra, **(schema.metadata or {})}.items():
        calls = pickled_calls(value)
        if calls is not None:
            word = key[:80].decode("utf-8", "backslashreplace")
            return Content("pickled_metadata", f"metadata {word}", calls)
    return Content(kind)


def _extensions(schema: pa.Schema) -> Iterator[tuple[str, bytes]]:
    """(name, serialised metadata) of every extension type, registered here or not."""
    pending = list(schema)
    for _ in range(MAX_FIELDS):
        if not pending:
            return
        field = pending.pop()
        kind = field.type
        if isinstance(kind, pa.BaseExtensionType):
            serialised = getattr(kind, "__arrow_ext_serialize__", bytes)()
            yield kind.extension_name, serialised
            kind = kind.storage_type
        meta = field.metadata or {}
        if b"ARROW:extension:name" in meta:
            name = meta[b"ARROW:extension:name"].decode("utf-8", "backslashreplace")
            yield name, meta.get(b"ARROW:extension:metadata", b"")
        pending.extend(kind.field(i) for i in range(kind.num_fields))


def _addresses(schema: pa.Schema, n_rows: int) -> Document:
    """A table of addresses, unless it holds the data itself."""
    names = {name.lower() for name in schema.names}
    holds = any(
        pa.types.is_binary(field.type)
        or pa.types.is_large_binary(field.type)
        or pa.types.is_struct(field.type)
        for field in schema
    )
    if holds or not names & URL_COLUMNS:
        return Document("other")
    hashed = any(key in name for name in names for key in HASH_KEYS)
    return Document("urls", urls=n_rows, unhashed=0 if hashed else n_rows)
