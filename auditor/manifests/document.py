"""Read a manifest file: one canonical JSON line an entry, behind a header with the roots."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from auditor.errors import UsageError
from auditor.manifests.records import Entry, Kind, Manifest
from auditor.manifests.roots import Facts, RootHash, RowHash, line_of

VERSION = 1
MAGIC = b'{"auditor_manifest":'
"""The first bytes of a manifest: its keys are sorted, and this one comes first."""

MAX_LINE = 1 << 20
"""Bytes; a path has at most 4,096 (PATH_MAX), a label or source 1,000 characters, so that only the
header's class names come near it; 21,841 ImageNet names take half of it."""

ROW_MARK = b'"row":"'

KINDS = frozenset(get_args(Kind))
HEX = re.compile(r"[0-9a-f]{64}\Z")


def read_header(path: Path) -> Manifest:
    """The header of a manifest.

    Raises:
        UsageError: the file can not be read, or is no manifest of this version.
    """
    try:
        with path.open("rb") as file:
            line = file.readline(MAX_LINE)
    except OSError as error:
        raise UsageError(f"manifest {str(path)!r}: {error.strerror}; check the path") from None
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        raise damaged(path, 1, "no JSON object") from None
    if not isinstance(values, dict) or not line.startswith(MAGIC):
        raise damaged(path, 1, "no header of a manifest; make one with `auditor manifest create`")
    if values.get("auditor_manifest") != VERSION or values.get("hash") != "sha256":
        raise damaged(path, 1, f"version {values.get('auditor_manifest')!r}, expected {VERSION}")
    try:
        return manifest_of(path, values)
    except (KeyError, TypeError, ValueError):
        raise damaged(path, 1, "a header field is missing or of another type") from None


def manifest_of(path: Path, values: Mapping[str, Any]) -> Manifest:
    """A manifest from its header's values.

    Raises:
        KeyError, TypeError, ValueError: a value is missing or of another kind.
    """
    root, row_root = values["root"], values["row_root"]
    counts = (values["n_files"], values["n_samples"], values["n_unreadable"])
    texts = [*values["class_names"], values["format"], *values["columns"].values()]
    if not all(isinstance(text, str) for text in texts) or not all(
        type(count) is int and count >= 0 for count in counts
    ):
        raise TypeError
    if not HEX.match(root) or not (row_root is None or HEX.match(row_root)):
        raise ValueError
    return Manifest(
        path, root, row_root, *counts, format=values["format"],
        class_names=tuple(values["class_names"]), columns=dict(values["columns"]),
    )  # fmt: skip


def own_entries(manifest: Manifest) -> Iterator[Entry]:
    """Stream the entries of a manifest that this process has just written: nothing is checked."""
    with manifest.path.open("rb", buffering=MAX_LINE) as file:
        next(file)
        for line in file:
            values = json.loads(line)
            yield Entry(record=values.pop("record", None), size=values.pop("size", None),
                        sha256=values.pop("sha256", None), **values)  # fmt: skip


def read_entries(manifest: Manifest) -> Iterator[Entry]:
    """Stream a manifest's entries, checking order, counts and root on the way.

    Raises:
        UsageError: the manifest is damaged.
    """
    roots, rows = RootHash(), RowHash()
    last: tuple[str, int] = ("", -2)
    number = 1
    try:
        with manifest.path.open("rb", buffering=MAX_LINE) as file:
            file.readline(MAX_LINE)
            while line := file.readline(MAX_LINE):
                number += 1
                entry = parse_line(manifest.path, number, line)
                key = (entry.path, -1 if entry.record is None else entry.record)
                if key <= last:
                    raise damaged(manifest.path, number, "out of order, or there twice")
                last = key
                roots.add(entry, line[:-1])
                rows.add(entry.row)
                yield entry
    except OSError as error:
        raise damaged(manifest.path, number, str(error.strerror)) from None
    facts = Facts(manifest.format, manifest.class_names, manifest.columns)
    counts = (manifest.n_files, manifest.n_samples, manifest.n_unreadable)
    if counts != (roots.n_files, roots.n_samples, roots.n_unreadable):
        raise damaged(manifest.path, number, "other counts than the header announces")
    if (roots.root(facts.bound()), rows.root()) != (manifest.root, manifest.row_root):
        raise damaged(manifest.path, number, "its lines do not give the roots in its header")


def rows_of(manifest: Manifest, wanted: Container[bytes]) -> Iterator[Entry]:
    """The rows with these digests (32 bytes each), in order.

    For a manifest that was read through before: every line is looked at, but only those found are
    parsed. In canonical form the mark can stand nowhere else, because texts escape their quotes.
    """
    with manifest.path.open("rb", buffering=MAX_LINE) as file:
        for number, line in enumerate(file, 1):
            at = line.find(ROW_MARK)
            if at >= 0 and bytes.fromhex(line[at + 7 : at + 71].decode("ascii")) in wanted:
                yield parse_line(manifest.path, number, line)


def parse_line(path: Path, number: int, line: bytes) -> Entry:
    """One line as an entry.

    Raises:
        UsageError: the line is malformed, or names a path outside the dataset.
    """
    try:
        values = json.loads(line)
        entry = Entry(record=values.pop("record", None), size=values.pop("size", None),
                      sha256=values.pop("sha256", None), **values)  # fmt: skip
        _require_shape(entry)
        canonical = line_of(entry)
    except (ValueError, RecursionError, TypeError, AttributeError):
        raise damaged(path, number, "no entry") from None
    if canonical + b"\n" != line:
        raise damaged(path, number, "not in canonical form")
    return entry


def _require_shape(entry: Entry) -> None:
    """Types, digests and a path that stays inside; anything else is a TypeError."""
    texts = (entry.label, entry.split, entry.source)
    hexes = (entry.sha256, entry.row)
    numbers = (entry.record, entry.size)
    if (
        not isinstance(entry.path, str)
        or entry.kind not in KINDS
        or not all(text is None or isinstance(text, str) for text in texts)
        or not all(value is None or HEX.match(value) for value in hexes)
        or not all(value is None or (type(value) is int and value >= 0) for value in numbers)
        or not (entry.kind == "row") == (entry.record is not None) == (entry.row is not None)
        or escapes(entry.path)
    ):
        raise TypeError


def escapes(path: str) -> bool:
    """Whether a relative POSIX path is empty, absolute or climbs."""
    return not path or path.startswith("/") or "\0" in path or ".." in path.split("/")


def damaged(path: Path, number: int, why: str) -> UsageError:
    """The error for a manifest that can not be believed."""
    return UsageError(
        f"manifest {str(path)!r}, line {number}: {why}; the file is damaged or was edited: take "
        "it from its source again"
    )
