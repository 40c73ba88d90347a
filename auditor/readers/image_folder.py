"""Image folders: ``[split/]class/…/image`` and the Hugging Face form with ``metadata.*``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

import polars as pl

from auditor.readers.catalog import KNOWN_SCHEMA, Catalog, Columns, Refused, Shard
from auditor.readers.decode import EXTENSIONS, UNSUPPORTED_EXTENSIONS, sniff
from auditor.readers.metadata import METADATA_NAMES, Row, read_metadata
from auditor.readers.sample import Ask, EncodedSample
from auditor.readers.walk import FileEntry, Listing, placement, read_file, read_head

SHARD = 512
"""Files a shard: enough to amortise a round trip, few enough to lose little to a kill."""

MAX_BYTES = 1 << 28
"""A single image file above 256 MiB is refused unread."""


def discover(listing: Listing, columns: Columns, ask: Ask) -> Catalog:
    """Find the images among the files; every other file is counted by kind."""
    images, refused, others, tables = _sort_out(listing)
    rows: dict[str, Row] = {}
    for uri, path in tables:
        found, problems = read_metadata(uri, path, columns, ask)
        rows.update(found)
        refused.extend(problems)
    present = {uri for uri, _ in images} | {item.uri for item in refused}
    refused.extend(
        Refused(uri, "missing_file", "named in the metadata", row.label)
        for uri, row in sorted(rows.items())
        if uri not in present
    )
    shards = tuple(
        _shard(images[start : start + SHARD], rows) for start in range(0, len(images), SHARD)
    )
    if tables:
        others["metadata file"] += len(tables)
    return Catalog("image-folder", shards, tuple(refused), dict(others))


def _sort_out(
    listing: Listing,
) -> tuple[list[FileEntry], list[Refused], Counter[str], list[FileEntry]]:
    """Split the files into images, refused images, others by kind, and metadata tables."""
    images: list[FileEntry] = []
    tables: list[FileEntry] = []
    refused: list[Refused] = []
    others: Counter[str] = Counter()
    for uri, path in listing.files:
        name = PurePosixPath(uri).name
        suffix = PurePosixPath(name).suffix.lower()
        if name in METADATA_NAMES:
            tables.append((uri, path))
        elif suffix in EXTENSIONS:
            images.append((uri, path))
        elif suffix in UNSUPPORTED_EXTENSIONS:
            split, label, _ = placement(uri)
            detail = f"{suffix} is none of the formats that are decoded"
            refused.append(Refused(uri, "unsupported_format", detail, label, split))
        elif suffix != ".parquet":
            head = read_head(path)
            if head is not None and sniff(head):
                images.append((uri, path))
            else:
                others[suffix if suffix else name] += 1
    return images, refused, others, tables


def _shard(entries: list[FileEntry], rows: Mapping[str, Row]) -> Shard:
    known = []
    for uri, _ in entries:
        split, label, source = placement(uri)
        row = rows.get(uri)
        if row is not None:
            label, source = row.label, row.source or source
        elif rows:
            label = None
        known.append((uri, None, label, split, source))
    frame = pl.DataFrame(known, schema=KNOWN_SCHEMA, orient="row")
    task = {"kind": "ingest", "reader": "image-folder", "paths": [path for _, path in entries]}
    return Shard(task, frame)


def read(task: Mapping[str, Any]) -> Iterator[EncodedSample]:
    """Yield the shard's files as bytes, in order (inside a worker)."""
    for path in task["paths"]:
        data = read_file(path, MAX_BYTES)
        if isinstance(data, Refused):
            yield EncodedSample(None, data.reason, data.detail, path)
        else:
            yield EncodedSample(data, None, "", path)
