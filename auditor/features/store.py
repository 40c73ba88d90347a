"""Features on disk: packs of views keyed by content, and results keyed by dataset.

A *pack* is one Arrow file with the views of the samples that one shard decoded. Packs are
written whole or not at all, so a killed scan leaves only complete ones, and the next scan finds
their samples by digest. What is computed from a whole dataset lies in a folder named after the
dataset's fingerprint.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa

from auditor.features.digests import DigestIndex, digest_prefixes

SCRATCH = "auditor-"
"""What the names of scratch folders begin with."""

YOUNG = 60.0
"""Seconds for which a scratch folder is left alone: its scan may not have locked it yet."""


class FeatureStore:
    """Packs of stored samples under ``root``; open it with `open_store`."""

    def __init__(self, root: Path, views_key: str, scratch: Path) -> None:
        self.root = root
        self.scratch = scratch
        self._views_key = views_key
        self._packs = root / "packs" / views_key
        self._packs.mkdir(parents=True, exist_ok=True)
        self._files: list[Path] = []
        self._pack_of = np.empty(0, np.int64)
        self._row_of = np.empty(0, np.int64)
        self._index()

    @property
    def index_folder(self) -> str | None:
        """Where workers find the `DigestIndex`, or None while nothing is stored."""
        return str(self.scratch) if len(self._pack_of) else None

    def _index(self) -> None:
        """Sort the digests of all packs for the workers."""
        digests: list[np.ndarray] = []
        packs: list[np.ndarray] = []
        rows: list[np.ndarray] = []
        for path in sorted(self._packs.glob("*.arrow")):
            try:
                # A copy, so that the file is closed: there may be more packs than descriptors.
                found = _column(_open_pack(path), "sha256").copy()
            except (pa.ArrowException, OSError, KeyError):
                # A damaged pack is as good as none: its samples are decoded again.
                path.unlink(missing_ok=True)
                continue
            packs.append(np.full(len(found), len(self._files), np.int64))
            rows.append(np.arange(len(found)))
            digests.append(found)
            self._files.append(path)
        if not digests:
            return
        every = np.concatenate(digests)
        order = np.argsort(digest_prefixes(every), kind="stable")
        self._pack_of = np.concatenate(packs)[order]
        self._row_of = np.concatenate(rows)[order]
        DigestIndex.write(self.scratch, every[order])

    def add(self, payload: bytes) -> pa.Table:
        """Store a worker's pack (an Arrow file's bytes) and return its table.

        Raises:
            pa.ArrowInvalid: the payload is no well-formed pack.
        """
        table = pa.ipc.open_file(pa.py_buffer(payload)).read_all()
        table.validate(full=True)
        name = hashlib.sha256(_column(table, "sha256").tobytes()).hexdigest()[:40]
        write_atomically(self._packs / f"{name}.arrow", payload)
        return table

    def stored(self, positions: np.ndarray) -> pa.Table:
        """The stored rows at positions of the digest index, in the order asked."""
        packs = self._pack_of[positions]
        rows = self._row_of[positions]
        pieces = []
        places = []
        for pack in np.unique(packs):
            at = np.flatnonzero(packs == pack)
            pieces.append(_open_pack(self._files[pack]).take(pa.array(rows[at])))
            places.append(at)
        order = np.argsort(np.concatenate(places), kind="stable")
        return pa.concat_tables(pieces).take(pa.array(order)).combine_chunks()

    def dataset_folder(self, *key: str) -> Path:
        """Where results of one dataset are kept; ``key`` is all that they depend on."""
        name = hashlib.sha256("\0".join([self._views_key, *key]).encode("utf-8")).hexdigest()
        folder = self.root / "datasets" / name
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)  # last used now, see `sweep`
        return folder


@contextmanager
def open_store(root: Path | None, views_key: str) -> Iterator[FeatureStore]:
    """Open the store at ``root``, or a throw-away one for None (``--no-cache``)."""
    base = root
    if base is not None:
        base.mkdir(parents=True, exist_ok=True, mode=0o700)
        _drop_abandoned(base)
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=base) as scratch:
        folder = Path(scratch)
        with (folder / "lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield FeatureStore(base or folder / "store", views_key, folder)


def _drop_abandoned(base: Path) -> None:
    """Remove the scratch folders of scans that were killed: no process holds their lock."""
    for lock in base.glob(f"{SCRATCH}*/lock"):
        try:
            if time.time() - lock.stat().st_mtime < YOUNG:
                continue
            with lock.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent, ignore_errors=True)
        except OSError:
            # In use by another scan, or removed by one.
            continue


def write_atomically(path: Path, payload: bytes) -> None:
    """Write a file whole or not at all: temporary file, sync, rename."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def sweep(root: Path, keep: int) -> None:
    """Drop the results of all but the ``keep`` datasets used last."""
    folders = sorted(
        (root / "datasets").glob("*/"), key=lambda folder: folder.stat().st_mtime, reverse=True
    )
    for folder in folders[keep:]:
        shutil.rmtree(folder, ignore_errors=True)


def _open_pack(path: Path) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def _column(table: pa.Table, name: str) -> np.ndarray:
    """(B, W) uint8 of a fixed-size binary column."""
    column = table[name].combine_chunks()
    width = column.type.byte_width
    flat = np.frombuffer(column.buffers()[1], np.uint8)
    start = column.offset * width
    return flat[start : start + len(column) * width].reshape(len(column), width)


def view_columns(table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """((B, 32, 32, 3) uint8 pixels, (B, D) float32 texture) of a pack's rows."""
    pixels = _column(table, "pixels").reshape(table.num_rows, 32, 32, 3)
    return pixels, np.ascontiguousarray(_column(table, "texture")).view(np.float32)
