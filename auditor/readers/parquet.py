"""Parquet datasets: one file, a folder of shards, split folders, in the Hugging Face layout too."""

from __future__ import annotations

import json
import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from auditor.errors import UsageError
from auditor.readers.catalog import Catalog, Columns, Refused, Shard, known_rows
from auditor.readers.metadata import LABEL_COLUMNS, METADATA_NAMES, SOURCE_COLUMNS, choose
from auditor.readers.sample import Ask
from auditor.readers.walk import SPLITS, Listing

SHARD = 1000
"""Rows a shard at most, as the Hugging Face writer's row groups."""

SHARD_BYTES = 1 << 26
"""Encoded bytes a shard at most, by the row group's average: large photographs come in fewer rows,
so that a shard stays far below a worker's memory limit."""

IMAGE_COLUMNS = ("image", "img", "picture", "photo", "bytes", "jpg", "png", "image_path", "path",
                 "file_name", "file", "filename")  # fmt: skip
"""Names tried first when several columns could hold images."""


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What an isolated worker saw in a Parquet file's footer and first rows.

    ``row_groups`` is (rows, bytes) of each; ``kinds`` maps the columns that may hold images to
    ``struct``, ``struct_path`` (of which no row holds bytes), ``binary`` or ``path``;
    ``class_names`` maps label columns to the names that the schema metadata declares; ``time`` is
    the column that says when samples were made or added.
    """

    row_groups: tuple[tuple[int, int], ...]
    columns: tuple[str, ...]
    kinds: Mapping[str, str]
    class_names: Mapping[str, tuple[str, ...]]
    time: str | None = None


def discover(listing: Listing, columns: Columns, ask: Ask) -> Catalog:
    """Look into every Parquet file: shards of those with images; the others are counted.

    Raises:
        UsageError: no file has a column that ``columns`` names.
    """
    files, refused = _look(listing, ask)
    images = {uri: _image_column(info, columns) for uri, (_, info) in files.items()}
    # A shard whose first images are broken shows no image column of its own: its neighbours do.
    usual = sorted({name for name in images.values() if name})
    shards: list[Shard] = []
    others: Counter[str] = Counter()
    names: tuple[str, ...] = ()
    claimed: set[str] = set()
    for uri, (path, info) in files.items():
        image = images[uri] or next((name for name in usual if name in info.columns), None)
        if image is None:
            others["Parquet file without an image column"] += 1
            continue
        if not sum(rows for rows, _ in info.row_groups):
            others["Parquet file without rows"] += 1
            continue
        label = _label_column(info, columns, uri)
        source = choose(columns.source, SOURCE_COLUMNS, list(info.columns), "--source", uri)
        declared = info.class_names.get(label or "", ())
        names = names or declared
        chosen = {
            "image": image, "label": label, "source": source, "names": list(declared),
            "root": str(listing.root), "time": info.time,
        }  # fmt: skip
        split = _split(uri, listing.splits)
        shards.extend(_shards(uri, path, info, split, chosen))
        if info.kinds.get(image) in {"path", "struct_path"}:
            claimed |= _named_files(uri, path, image, str(listing.root), ask)
    seen = {name for _, info in files.values() for name in info.columns}
    if columns.image is not None and seen and not shards:
        raise UsageError(
            f"--image {columns.image!r}: no Parquet file has such a column; "
            f"found {', '.join(sorted(seen))}"
        )
    return Catalog("parquet", tuple(shards), tuple(refused), dict(others), names,
                   claimed=frozenset(claimed), n_tables=len(files))  # fmt: skip


def _look(listing: Listing, ask: Ask) -> tuple[dict[str, tuple[str, FileInfo]], list[Refused]]:
    """(path, structure) of each Parquet file by uri, and the files that can not be read."""
    files: dict[str, tuple[str, FileInfo]] = {}
    refused: list[Refused] = []
    for uri, path in listing.files:
        if not uri.lower().endswith(".parquet") or posixpath.basename(uri) in METADATA_NAMES:
            continue
        info = inspect(path, ask)
        if isinstance(info, Refused):
            refused.append(Refused(uri, info.reason, info.detail))
        else:
            files[uri] = (path, info)
    return files, refused


def _label_column(info: FileInfo, columns: Columns, uri: str) -> str | None:
    """The named column, else a usual name, best one with declared classes."""
    names = list(info.columns)
    declared = [name for name in names if name in info.class_names]
    found = choose(columns.label, LABEL_COLUMNS, names, "--label", uri)
    if columns.label is not None or not declared or found in declared:
        return found
    return choose(None, LABEL_COLUMNS, declared, "--label", uri) or declared[0]


def _named_files(uri: str, path: str, image: str, root: str, ask: Ask) -> set[str]:
    """The uris of the files that a column of paths names, if they lie in the dataset."""
    table = ask({"kind": "paths", "path": path, "image": image})
    if "refusal" in table.column_names:
        return set()
    folder = posixpath.dirname(uri)
    values = (str(value) for value in table["path"].to_pylist() if value)
    return {
        posixpath.relpath(value, root) if value.startswith("/")
        else posixpath.normpath(posixpath.join(folder, value))
        for value in values
    }  # fmt: skip


def _image_column(info: FileInfo, columns: Columns) -> str | None:
    if columns.image is not None:
        return columns.image if columns.image in info.columns else None
    order = ("struct", "struct_path", "binary", "path")
    ranked = sorted(
        info.kinds,
        key=lambda name: (
            IMAGE_COLUMNS.index(name.lower()) if name.lower() in IMAGE_COLUMNS else 99,
            order.index(info.kinds[name]),
        ),
    )
    return ranked[0] if ranked else None


def _shards(
    uri: str, path: str, info: FileInfo, split: str | None, chosen: Mapping[str, Any]
) -> Iterator[Shard]:
    first = 0
    for group, (n_rows, n_bytes) in enumerate(info.row_groups):
        step = max(1, min(SHARD, SHARD_BYTES * n_rows // max(1, n_bytes)))
        for start in range(0, n_rows, step):
            size = min(step, n_rows - start)
            known = known_rows(uri, first + start, size, split)
            task = {
                "kind": "ingest", "reader": "parquet", "path": path, "group": group,
                "start": start, "size": size, "step": step, **chosen,
            }  # fmt: skip
            yield Shard(task, known)
        first += n_rows


def _split(uri: str, splits: frozenset[str]) -> str | None:
    """The split in a shard's folder or, as Hugging Face writes it, in its name."""
    folders = uri.split("/")[:-1]
    for part in folders:
        if part in splits or part.lower() in SPLITS:
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
        tuple((int(rows), int(size)) for rows, size in said["row_groups"]),
        tuple(said["columns"]),
        said["kinds"],
        {name: tuple(values) for name, values in said["class_names"].items()},
        said.get("time"),
    )
