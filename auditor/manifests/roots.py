"""Lines and roots: what an entry looks like in bytes, and the hashes that bind all of them.

The roots are hashes of sequences, never sums or exclusive-ors of digests: those can be made to
collide by choosing the members (Bellare and Micciancio 1997, "A new paradigm for collision-free
hashing"; Wagner 2002, "A generalized birthday problem"). Sorting first makes a hash independent of
order just as well.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from auditor.manifests.records import Entry

MAX_CLASS_NAMES = 1 << 19
"""Bytes of class names that a header holds; beyond, the labels of the samples must do."""

FRAME = struct.Struct(">Q")

encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode
"""Canonical JSON: sorted keys, no spaces."""


def line_of(entry: Entry) -> bytes:
    """The canonical line of an entry, without its line break: what is absent is left out."""
    fields = (
        ("path", entry.path), ("record", entry.record), ("kind", entry.kind), ("size", entry.size),
        ("sha256", entry.sha256), ("label", entry.label), ("split", entry.split),
        ("source", entry.source), ("row", entry.row),
    )  # fmt: skip
    return encode({name: value for name, value in fields if value is not None}).encode("utf-8")


class RootHash:
    """sha256 over every line behind its length, then over the header's own facts."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256(b"auditor manifest 1 entries\0")
        self.n_entries = self.n_files = self.n_samples = self.n_unreadable = 0

    def add(self, entry: Entry, line: bytes) -> None:
        """Take the next entry in."""
        self._hash.update(FRAME.pack(len(line)) + line)
        self.n_entries += 1
        self.n_files += entry.kind != "row"
        self.n_samples += entry.kind in {"sample", "row"}
        self.n_unreadable += entry.kind == "unreadable"

    def root(self, facts: Mapping[str, object]) -> str:
        """The root, with the header's facts bound in behind a length no line can have."""
        final = self._hash.copy()
        final.update(FRAME.pack((1 << 64) - 1) + encode(dict(facts)).encode("utf-8"))
        return final.hexdigest()


class RowHash:
    """sha256 over the sorted row digests: 32 bytes a row are kept, and nothing else."""

    def __init__(self) -> None:
        self._digests = bytearray()

    def add(self, row: str | None) -> None:
        """Take a row's digest in; None where the entry is no row."""
        if row is not None:
            self._digests += bytes.fromhex(row)

    def root(self) -> str | None:
        """The row root, or None without rows; the digests are sorted where they lie."""
        if not self._digests:
            return None
        # As text of fixed width, NumPy compares them byte by byte.
        ordered = np.frombuffer(self._digests, dtype="S32")
        ordered.sort()
        final = hashlib.sha256(b"auditor manifest 1 rows\0" + FRAME.pack(len(ordered)))
        final.update(self._digests)
        return final.hexdigest()


@dataclass(frozen=True, slots=True)
class Facts:
    """What the header says beside counts and roots."""

    format: str
    class_names: tuple[str, ...]
    columns: Mapping[str, str]

    def bound(self) -> Mapping[str, object]:
        """As they go into the root and the header."""
        names = self.class_names
        if sum(len(name.encode("utf-8")) for name in names) > MAX_CLASS_NAMES:
            names = ()
        return {
            "class_names": list(names), "columns": dict(self.columns), "format": self.format,
            "hash": "sha256",
        }  # fmt: skip
