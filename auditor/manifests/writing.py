"""Write a manifest file: whole, or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path
from typing import BinaryIO

from auditor.errors import UsageError
from auditor.manifests.document import VERSION, manifest_of
from auditor.manifests.records import Entry, Manifest
from auditor.manifests.roots import Facts, RootHash, RowHash, encode, line_of


class ManifestWriter:
    """Writes entries beside the manifest's place, then header and entries into it, whole or not.

    Use as a context manager: without `finish`, nothing is left behind.
    """

    def __init__(self, out: Path) -> None:
        """Begin beside ``out``.

        Raises:
            UsageError: nothing can be written there.
        """
        self._out = out
        mark = secrets.token_hex(4)
        self._body_path = out.with_name(f".{out.name}.{mark}.entries")
        self._part_path = out.with_name(f".{out.name}.{mark}.part")
        self._roots, self._rows = RootHash(), RowHash()
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            self._body: BinaryIO = self._body_path.open("xb+")
        except OSError as error:
            raise _unwritable(out, error) from None

    def __enter__(self) -> ManifestWriter:
        return self

    def __exit__(self, *details: object) -> None:
        self._body.close()
        self._body_path.unlink(missing_ok=True)
        self._part_path.unlink(missing_ok=True)

    @property
    def n_entries(self) -> int:
        """Entries written."""
        return self._roots.n_entries

    def add(self, entry: Entry) -> None:
        """Write the next entry; they come sorted."""
        line = line_of(entry)
        self._roots.add(entry, line)
        self._rows.add(entry.row)
        self._body.write(line + b"\n")

    def finish(self, facts: Facts, durable: bool = True) -> Manifest:
        """Put the manifest in its place; ``durable`` waits until the disk has it.

        Raises:
            UsageError: the disk is full or the place can not be written.
        """
        bound = facts.bound()
        header = {
            "auditor_manifest": VERSION,
            **bound,
            "n_files": self._roots.n_files,
            "n_samples": self._roots.n_samples,
            "n_unreadable": self._roots.n_unreadable,
            "root": self._roots.root(bound),
            "row_root": self._rows.root(),
        }
        line = encode(header).encode("utf-8")
        try:
            with self._part_path.open("xb") as part:
                part.write(line + b"\n")
                self._body.seek(0)
                shutil.copyfileobj(self._body, part, 1 << 20)
                part.flush()
                if durable:
                    os.fsync(part.fileno())
            self._part_path.replace(self._out)
        except OSError as error:
            raise _unwritable(self._out, error) from None
        return manifest_of(self._out, header)


def _unwritable(out: Path, error: OSError) -> UsageError:
    return UsageError(
        f"manifest {str(out)!r}: {error.strerror or error}; expected a place that can be written "
        "with enough space"
    )
