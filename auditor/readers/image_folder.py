"""Image folders: ``[split/]class/…/image`` and the Hugging Face form with ``metadata.*``."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from auditor.readers.catalog import Catalog, Columns, FileEntry, Refused, Shard, known_frame
from auditor.readers.metadata import METADATA_NAMES, Row, read_metadata
from auditor.readers.sample import Ask, EncodedSample
from auditor.readers.signatures import EXTENSIONS, UNSUPPORTED_EXTENSIONS, sniff
from auditor.readers.walk import Listing, placement, read_file, read_head

SHARD = 512
"""Files a shard: enough to amortise a round trip, few enough to lose little to a kill."""

MAX_BYTES = 1 << 28
"""A single image file above 256 MiB is refused unread."""


def discover(listing: Listing, columns: Columns, ask: Ask) -> Catalog:
    """Find the images among the files; every other file is counted by kind."""
    rows: dict[str, Row] = {}
    refused: list[Refused] = []
    others: Counter[str] = Counter()
    tables = [item for item in listing.files if posixpath.basename(item[0]) in METADATA_NAMES]
    for uri, path in tables:
        table = read_metadata(uri, path, columns, ask)
        if isinstance(table, Refused):
            refused.append(table)
            continue
        found, problems = table
        rows.update(found)
        refused.extend(problems)
        others["metadata file"] += 1
    images, unsupported = _sort_out(listing, rows, others)
    refused.extend(unsupported)
    present = {uri for uri, _ in images} | {item.uri for item in refused}
    refused.extend(
        Refused(uri, "missing_file", "named in the metadata", row.label)
        for uri, row in sorted(rows.items())
        if uri not in present
    )
    shards = tuple(
        _shard(images[start : start + SHARD], rows, listing.splits)
        for start in range(0, len(images), SHARD)
    )
    return Catalog("image-folder", shards, tuple(refused), dict(others), n_tables=len(tables))


def _sort_out(
    listing: Listing, rows: Mapping[str, Row], others: Counter[str]
) -> tuple[list[FileEntry], list[Refused]]:
    """The images and the refused images among the files; ``others`` counts the rest by kind.

    An image is what its name, its first bytes or a metadata table says is one.
    """
    images: list[FileEntry] = []
    refused: list[Refused] = []
    for uri, path in listing.files:
        name = posixpath.basename(uri)
        suffix = posixpath.splitext(name)[1].lower()
        if name in METADATA_NAMES or suffix == ".parquet":
            continue
        if suffix in EXTENSIONS or uri in rows:
            images.append((uri, path))
        elif suffix in UNSUPPORTED_EXTENSIONS:
            split, label, _ = placement(uri, listing.splits)
            detail = f"{suffix} is none of the formats that are decoded"
            refused.append(Refused(uri, "unsupported_format", detail, label, split))
        else:
            head = read_head(path)
            if head is not None and sniff(head):
                images.append((uri, path))
            else:
                others[suffix if suffix else name] += 1
    return images, refused


def _shard(entries: list[FileEntry], rows: Mapping[str, Row], splits: frozenset[str]) -> Shard:
    labelled = any(row.labelled for row in rows.values())
    known: dict[str, list[Any]] = {name: [] for name in ("uri", "label", "split", "source", "time")}
    for uri, _ in entries:
        split, label, source = placement(uri, splits)
        row = rows.get(uri)
        # Where a table has labels they count, and folders mean nothing; else folders do, so that
        # a table of captions can not take the labels away.
        if labelled:
            label = row.label if row is not None else None
        if row is not None:
            source = row.source or source
        time = None if row is None else row.time
        for column, value in zip(known.values(), (uri, label, split, source, time), strict=True):
            column.append(value)
    frame = known_frame({**known, "record": [None] * len(entries)})
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
