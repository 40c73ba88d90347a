"""Write a dataset's manifest."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from auditor.interfaces import Progress
from auditor.manifests.contents import open_contents
from auditor.manifests.records import Manifest
from auditor.manifests.writing import ManifestWriter
from auditor.readers import Columns
from auditor.readers.outside import keep_outside

TELL_EVERY = 1000
"""Entries between two reports of progress."""


def create(
    dataset: Path,
    out: Path,
    columns: Columns | None,
    cache_root: Path | None,
    workers: int,
    progress: Progress | None,
) -> Manifest:
    """See `auditor.manifests.create_manifest`."""
    keep_outside(out, dataset, "manifest")
    return take_down(dataset, out, columns or Columns(), cache_root, workers, progress).manifest


@dataclass(frozen=True, slots=True)
class Record:
    """A manifest just made, its number of entries, and what could not be read: path → reason.

    Of ``unreadable_rows`` the file's bytes are bound, but not the rows they may hold.
    """

    manifest: Manifest
    n_entries: int
    unreadable: tuple[tuple[str, str], ...]
    unreadable_rows: Mapping[str, str]


def take_down(
    dataset: Path,
    out: Path,
    columns: Columns,
    cache_root: Path | None,
    workers: int,
    progress: Progress | None,
    durable: bool = True,
) -> Record:
    """Write the manifest and say what could not be read.

    Raises:
        UsageError, NothingToScanError: as `auditor.manifests.create_manifest`.
    """
    if cache_root is not None:
        keep_outside(cache_root, dataset, "cache folder")
    n_workers = workers or len(os.sched_getaffinity(0))
    with ExitStack() as stack:
        contents = open_contents(dataset, columns, cache_root, n_workers, stack)
        writer = stack.enter_context(ManifestWriter(out))
        total = contents.n_expected
        for done, entry in enumerate(contents.entries()):
            writer.add(entry)
            if progress is not None and done % TELL_EVERY == 0:
                progress(done, total)
        manifest = writer.finish(contents.facts, durable)
        if progress is not None:
            progress(total, total)
        return Record(
            manifest, writer.n_entries, tuple(contents.unreadable), contents.unreadable_rows
        )
