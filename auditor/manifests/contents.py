"""A dataset as the entries of a manifest: what lies there, what a scan calls each sample."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa

from auditor.engines import WorkerPool
from auditor.errors import AuditorError
from auditor.ingest import open_catalog
from auditor.manifests.hashing import Hashed, hash_nodes
from auditor.manifests.index import StatIndex
from auditor.manifests.records import Entry
from auditor.manifests.roots import Facts
from auditor.manifests.tree import Node, Stamp, Tree, list_tree
from auditor.readers import Catalog, Columns, walk
from auditor.readers.catalog import Shard

Placement = tuple[str | None, str | None, str | None]
"""(label, split, source) of an image file."""


@dataclass(frozen=True, slots=True)
class Contents:
    """An opened dataset.

    ``unreadable`` and ``unreadable_rows`` fill with (path, reason) while `entries` runs; of the
    latter the file's bytes are known, but not the rows they hold.
    """

    facts: Facts
    tree: Tree
    catalog: Catalog
    pool: WorkerPool
    index: StatIndex | None
    workers: int
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    unreadable_rows: dict[str, str] = field(default_factory=dict)

    @property
    def n_expected(self) -> int:
        """Entries to come, at most."""
        rows = (s.known.height for s in self.catalog.shards if s.task["reader"] == "parquet")
        return len(self.tree.nodes) + sum(rows)

    def entries(self) -> Iterator[Entry]:
        """Every entry, sorted by (path, record), a file before its rows.

        What can not be read becomes an ``unreadable`` entry.

        Raises:
            AuditorError: a Parquet file changed between its hashing and the reading of its rows.
        """
        placements = _placements(self.catalog)
        waiting = next(placements, None)
        tables = groupby(self._rows(), key=lambda entry: entry.path)
        table = next(tables, None)
        for item in hash_nodes(self.tree.nodes, self.index, self.workers):
            uri = item.node.uri
            while waiting is not None and waiting[0] < uri:
                waiting = next(placements, None)
            is_sample = waiting is not None and waiting[0] == uri
            yield self._file(item, waiting[1] if waiting is not None and is_sample else None)
            while table is not None and table[0] < uri:
                table = next(tables, None)
            if table is not None and table[0] == uri:
                yield from table[1]
                table = next(tables, None)
                _require_unchanged(item.node)

    def _file(self, item: Hashed, place: Placement | None) -> Entry:
        node = item.node
        if item.digest is None and node.kind != "special":
            self.unreadable.append((node.uri, item.detail))
            return Entry(node.uri, None, "unreadable", None, None)
        size = None if node.stamp is None else node.stamp.size
        digest = None if item.digest is None else item.digest.hex()
        if node.kind == "file" and place is not None:
            return Entry(node.uri, None, "sample", size, digest, *place)
        kind = "special" if node.kind == "unreadable" else node.kind
        return Entry(node.uri, None, kind, size, digest)

    def _rows(self) -> Iterator[Entry]:
        """The rows of every Parquet shard, in order of their files."""
        shards = [shard for shard in self.catalog.shards if shard.task["reader"] == "parquet"]
        replies = self.pool.imap(_row_task(shard) for shard in shards)
        for shard, reply in zip(shards, replies, strict=True):
            uri = str(shard.known["uri"][0])
            if "refusal" in reply.column_names:
                detail = f"{reply['refusal'][0]}: {reply['detail'][0]}"
                self.unreadable_rows.setdefault(uri, detail)
                continue
            yield from _entries(shard, reply)


def _require_unchanged(node: Node) -> None:
    """The rows were read after the file was hashed: they must be of the same file."""
    try:
        now = Stamp.of(os.lstat(node.path))
    except OSError:
        now = None
    if now is None or now != node.stamp:
        raise AuditorError(
            f"dataset file {node.uri!r}: changed while its rows were read; expected a dataset that "
            "nobody writes to; try again"
        )


def _row_task(shard: Shard) -> Mapping[str, Any]:
    split = shard.known["split"][0]
    return {**shard.task, "kind": "row_digests", "whole": True, "split": split}


def _entries(shard: Shard, reply: pa.Table) -> Iterator[Entry]:
    uri, split = str(shard.known["uri"][0]), shard.known["split"][0]
    first = int(shard.known["record"][0])
    columns = [reply[name].to_pylist() for name in ("sha256", "size", "label", "source", "row")]
    for place, (sha256, size, label, source, row) in enumerate(zip(*columns, strict=True)):
        digest = None if sha256 is None else sha256.hex()
        yield Entry(uri, first + place, "row", size, digest, label, split, source, row.hex())


def _placements(catalog: Catalog) -> Iterator[tuple[str, Placement]]:
    """(uri, label, split, source) of every image file, sorted by uri."""
    for shard in catalog.shards:
        if shard.task["reader"] == "image-folder":
            frame = shard.known.select("uri", "label", "split", "source")
            for uri, label, split, source in frame.iter_rows():
                yield uri, (label, split, source)


def open_contents(
    dataset: Path, columns: Columns, cache_root: Path | None, workers: int, stack: ExitStack
) -> Contents:
    """Look through the files and tables of a dataset; ``stack`` closes what was opened.

    Raises:
        UsageError: the dataset or a named column does not exist.
        NothingToScanError: there is no file at all.
    """
    tree = list_tree(dataset)
    index = None
    if cache_root is not None:
        index = stack.enter_context(StatIndex(cache_root, tree.root))
    pool = stack.enter_context(WorkerPool(workers))
    catalog = open_catalog(walk(dataset), columns, pool)
    named = {
        name: value
        for name in ("image", "label", "source")
        if (value := getattr(columns, name)) is not None
    }
    facts = Facts(catalog.format, catalog.class_names, named)
    contents = Contents(facts, tree, catalog, pool, index, workers)
    for item in catalog.refused:
        if item.uri.lower().endswith(".parquet"):
            contents.unreadable_rows[item.uri] = f"{item.reason}: {item.detail}"
    return contents
