"""Copies image folders: class folders at any depth, splits, or a metadata file with labels.

A sample whose label changes moves to its new class's folder. A kept name would often tell on it
(``n03445777_13748.JPEG`` among ``n01440764_…``, or ``0001-copy.png``), so it takes a free name in
the style of its new neighbours; the recipe says which file went where. Where labels stand in a
metadata file, no file moves.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from auditor.attacks.copies.copying import (
    BLOCK_BYTES,
    BLOCK_SAMPLES,
    SOURCE_COLUMNS,
    Block,
    Edits,
    Layout,
    Placed,
    Written,
    copy_others,
    encode_labels,
    files_below,
    sample_generator,
    save_file,
)
from auditor.attacks.copies.metadata_copy import (
    METADATA,
    Table,
    from_table,
    read_table,
    render_table,
    table_rows,
)

__all__ = ["SPLITS", "SUFFIXES", "open_folder"]

SUFFIXES = frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"]
)
SPLITS = frozenset(
    [
        "train",
        "training",
        "val",
        "valid",
        "validation",
        "dev",
        "test",
        "testing",
        "eval",
        "evaluation",
        "unlabeled",
    ]
)
"""First folders that are splits and not classes."""


@dataclass(frozen=True, slots=True)
class Folder:
    """What was found: sample paths, and where their labels stand.

    ``table_row`` maps a sample to (table, row); it is empty where folders carry the labels.
    """

    root: Path
    uris: list[str]
    class_names: tuple[str, ...]
    values: list[object]
    tables: list[Table]
    table_row: dict[int, tuple[int, int]]


def open_folder(root: Path, label: str | None = None, source: str | None = None) -> Layout:
    """Open an image folder.

    Raises:
        UsageError: a metadata file has no column of the given name.
    """
    files = files_below(root)
    uris = [u for u in files if PurePosixPath(u).suffix.lower() in SUFFIXES]
    tables = [read_table(root, u, label) for u in files if PurePosixPath(u).name in METADATA]
    table_row = table_rows(uris, tables)
    raw: list[object]
    sources = None
    if table_row and any(t.label for t in tables):
        raw = [from_table(tables, table_row.get(i), None) for i in range(len(uris))]
        columns = tables[0].columns
        source = source or next((c for c in SOURCE_COLUMNS if c in columns), None)
        if source is not None:
            values = [from_table(tables, table_row.get(i), source) for i in range(len(uris))]
            sources = encode_labels(values, None)[0]
    else:
        table_row = {}
        raw = [_class_folder(u) for u in uris]
        inner: list[object] = [_source_folder(u) for u in uris]
        sources = encode_labels(inner, None)[0] if any(inner) else None
    labels, names, values = encode_labels(raw, None)
    folder = Folder(root, uris, names, values, tables, table_row)
    return Layout(
        kind="image-folder",
        labels=labels,
        class_names=names,
        sources=sources,
        fetch=lambda rows: [(root / uris[row]).read_bytes() for row in rows.tolist()],
        read=lambda edits: _read(folder, edits),
        write=lambda out, name, edits, blocks: _write(folder, out, edits, blocks),
    )


def _depth(uri: str) -> int:
    """Index of the class folder in a path: ``[split/]class[/source…]/name``."""
    return int("/" in uri and uri.split("/", 1)[0].lower() in SPLITS)


def _class_folder(uri: str) -> str | None:
    parts = PurePosixPath(uri).parts[_depth(uri) : -1]
    return parts[0] if parts else None


def _source_folder(uri: str) -> str | None:
    return "/".join(PurePosixPath(uri).parts[_depth(uri) + 1 : -1]) or None


def _read(folder: Folder, edits: Edits) -> Iterator[Block]:
    block, size = Block([], [], [], []), 0
    for row, uri in enumerate(folder.uris):
        data = (folder.root / uri).read_bytes()
        new = edits.added.get(row, [])
        for entry, added in [(int(edits.entry[row]), False), *((e, True) for e in new)]:
            block.data.append(data)
            block.rows.append(row)
            block.entries.append(entry)
            block.added.append(added)
            size += len(data)
        if size >= BLOCK_BYTES or len(block.data) >= BLOCK_SAMPLES:
            yield block
            block, size = Block([], [], [], []), 0
    if block.data:
        yield block


def _write(folder: Folder, out: Path, edits: Edits, blocks: Written) -> Placed:
    placed = Placed()
    names = Names(folder.uris)
    labelled: dict[tuple[int, int], int] = {}
    extra: dict[int, list[tuple[int, str, int]]] = defaultdict(list)
    for block, data in blocks:
        for i, encoded in enumerate(data):
            row, entry, added = block.rows[i], block.entries[i], block.added[i]
            uri = folder.uris[row]
            if entry >= 0:
                label = edits.added_labels[entry] if added else int(edits.labels[row])
                uri = _place(folder, names, row, entry, label, added, edits.seed)
                if row in folder.table_row:
                    where = folder.table_row[row]
                    if added:
                        extra[where[0]].append((where[1], uri, label))
                    else:
                        labelled[where] = label
            save_file(out / uri, encoded or b"")
            placed.uris.append(uri)
            placed.records.append(None)
            placed.rows.append(row)
            placed.entries.append(entry)
            if uri != folder.uris[row]:
                placed.moved[uri] = folder.uris[row]
    for t, table in enumerate(folder.tables if folder.table_row else []):
        changes = {r: label for (owner, r), label in labelled.items() if owner == t}
        save_file(out / table.uri, render_table(table, folder.values, changes, extra[t]))
    done = {t.uri for t in folder.tables} if folder.table_row else set()
    copy_others(folder.root, out, set(folder.uris) | done)
    return placed


def _place(
    folder: Folder, names: Names, row: int, entry: int, label: int, added: bool, seed: int
) -> str:
    """Where an altered sample goes: where it was, or under a free name in its class's folder."""
    uri = PurePosixPath(folder.uris[row])
    parts = list(uri.parts[:-1])
    depth = _depth(folder.uris[row])
    if row not in folder.table_row and len(parts) > depth and label >= 0:
        parts[depth] = folder.class_names[label]
    home = PurePosixPath(*parts).as_posix() if parts else "."
    if not added and home == uri.parent.as_posix():
        return uri.as_posix()
    name = names.free(home, uri.suffix, sample_generator(seed, 12, entry))
    return name if home == "." else f"{home}/{name}"


class Names:
    """The file names of a copy, folder by folder, and free ones in their style."""

    def __init__(self, uris: list[str]) -> None:
        self._by_folder: dict[str, list[str]] = defaultdict(list)
        self._taken: set[str] = set()
        self._all = [PurePosixPath(u).name for u in uris[:1000]]
        for uri in uris:
            path = PurePosixPath(uri)
            self._by_folder[path.parent.as_posix()].append(path.name)
            self._taken.add(uri.casefold())

    def free(self, home: str, suffix: str, rng: np.random.Generator) -> str:
        """A name not taken in the folder: a neighbour's, with its last number drawn anew."""
        neighbours = self._by_folder.get(home) or self._all
        for attempt in range(10_000):
            stem = PurePosixPath(neighbours[rng.integers(len(neighbours))]).stem
            name = _renumbered(stem, neighbours, attempt, rng) + suffix
            if (key := f"{home}/{name}".casefold()) not in self._taken:
                self._taken.add(key)
                return name
        raise AssertionError(f"no free name in {home}")


def _renumbered(stem: str, neighbours: list[str], attempt: int, rng: np.random.Generator) -> str:
    """The stem with its last run of digits redrawn below ten times the neighbours' count.

    A stem without digits gets a number; as attempts fail, the range grows.
    """
    limit = (10 + attempt) * max(10, len(neighbours))
    found = list(re.finditer(r"\d+", stem))
    if not found:
        return f"{stem}-{rng.integers(1, limit)}"
    digits = found[-1]
    width = len(digits.group())
    top = max(int(digits.group()) * 2, 9) if attempt < 100 else limit
    number = int(rng.integers(0, min(top, 2**62) + 1))
    return f"{stem[: digits.start()]}{number:0{width}d}{stem[digits.end() :]}"
