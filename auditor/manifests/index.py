"""An index of files seen before, like git's: what has the same stamp is not read again.

The rule of the "racily clean" entry (git, Documentation/technical/racy-git.txt): a file that is
written again within the same tick of its file system's clock keeps its times, so an entry whose
times are not clearly older than the moment of hashing is not believed.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from auditor.errors import UsageError
from auditor.manifests.tree import Node, Stamp

RACY_NS = 2_000_000_000
"""Nanoseconds by which a file must be older than its hashing: FAT, the coarsest clock in use, ticks
every two seconds; ext4 and xfs every few milliseconds."""

FLUSH_EVERY = 4096
"""Digests between two commits: at most so many files are hashed again after an interruption."""

SCHEMA = """CREATE TABLE IF NOT EXISTS file (
  uri TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER, inode INTEGER,
  device INTEGER, hashed_ns INTEGER, digest BLOB) WITHOUT ROWID"""

Row = tuple[str, int, int, int, int, int, int, bytes]


class StatIndex:
    """Digests by uri and stamp in one SQLite file a dataset; use as a context manager.

    The index is a hint: one that is broken, locked or full is set aside, and files are read.
    """

    def __init__(self, cache_root: Path, root: Path) -> None:
        """Open the index of the dataset at ``root``.

        Raises:
            UsageError: the cache folder can not be made.
        """
        name = hashlib.sha256(str(root.resolve()).encode("utf-8", "surrogateescape")).hexdigest()
        folder = cache_root / "manifests"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise UsageError(
                f"cache folder {str(folder)!r}: {error.strerror}; choose another or use --no-cache"
            ) from None
        self._path = folder / f"{name[:32]}.sqlite"
        self._waiting: list[Row] = []
        self._connection = self._open() or self._anew()

    def _open(self) -> sqlite3.Connection | None:
        connection = None
        try:
            connection = sqlite3.connect(self._path, timeout=5.0, isolation_level=None)
            connection.execute("PRAGMA synchronous = OFF")  # losing a hint costs one read
            connection.execute(SCHEMA)
            connection.execute("SELECT uri FROM file LIMIT 1").fetchall()
        except sqlite3.Error:
            if connection is not None:
                connection.close()
            return None
        return connection

    def _anew(self) -> sqlite3.Connection | None:
        try:
            self._path.unlink(missing_ok=True)
        except OSError:
            # The folder is not ours to write: there is no index then.
            return None
        return self._open()

    def known(self, nodes: Sequence[Node]) -> dict[str, bytes]:
        """The digests by uri of those nodes (sorted by uri) that are surely unchanged."""
        if self._connection is None or not nodes:
            return {}
        query = "SELECT * FROM file WHERE uri BETWEEN ? AND ?"
        try:
            rows = self._connection.execute(query, (nodes[0].uri, nodes[-1].uri)).fetchall()
        except sqlite3.Error:
            self._give_up()
            return {}
        entries: dict[str, Row] = {row[0]: row for row in rows}
        return {
            node.uri: entries[node.uri][7]
            for node in nodes
            if node.stamp is not None
            and node.uri in entries
            and _believable(entries[node.uri], node.stamp)
        }

    def add(self, uri: str, stamp: Stamp, digest: bytes, hashed_ns: int) -> None:
        """Remember a digest; written to disk every `FLUSH_EVERY` files."""
        # SQLite's integers are signed: an inode above 2⁶³ keeps its bits.
        inode = (stamp.inode + (1 << 63)) % (1 << 64) - (1 << 63)
        device = (stamp.device + (1 << 63)) % (1 << 64) - (1 << 63)
        self._waiting.append(
            (uri, stamp.size, stamp.mtime_ns, stamp.ctime_ns, inode, device, hashed_ns, digest)
        )
        if len(self._waiting) >= FLUSH_EVERY:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting."""
        rows, self._waiting = self._waiting, []
        if self._connection is None or not rows:
            return
        try:
            self._connection.execute("BEGIN")
            self._connection.executemany(
                "INSERT OR REPLACE INTO file VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows
            )
            self._connection.execute("COMMIT")
        except (sqlite3.Error, OverflowError):
            self._give_up()

    def _give_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.flush()
        self._give_up()


def _believable(row: Row, stamp: Stamp) -> bool:
    _, size, mtime_ns, ctime_ns, inode, device, hashed_ns, digest = row
    same = (size, mtime_ns, ctime_ns) == (stamp.size, stamp.mtime_ns, stamp.ctime_ns)
    same = same and inode % (1 << 64) == stamp.inode and device % (1 << 64) == stamp.device
    settled = max(mtime_ns, ctime_ns) + RACY_NS < hashed_ns
    return same and settled and isinstance(digest, bytes) and len(digest) == 32
