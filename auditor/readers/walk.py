"""List a dataset's files without following a link or opening anything but regular files."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from auditor.errors import NothingToScanError, UsageError
from auditor.readers.catalog import FileEntry, Refused

SPLITS = frozenset(
    "train training val valid validation dev test testing eval evaluation unlabeled".split()
)
"""Folder names that are splits and not classes, as the Hugging Face layouts spell them."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The regular files below ``root``, sorted by uri, and what else lies there."""

    root: Path
    files: tuple[FileEntry, ...]
    refused: tuple[Refused, ...]
    skipped: Mapping[str, int]
    """Hidden files and folders by name: no samples, and not descended into."""


def walk(path: Path) -> Listing:
    """List ``path``, a folder or a single file.

    Raises:
        UsageError: the path does not exist.
        NothingToScanError: the path is neither a folder nor a regular file.
    """
    if not path.exists():
        raise UsageError(f"dataset {str(path)!r}: no such file or folder; check the path")
    if path.is_file():
        return Listing(path.parent, ((readable(path.name), str(path)),), (), {})
    if not path.is_dir():
        raise NothingToScanError(
            f"dataset {str(path)!r}: got a special file, expected a folder or a Parquet file"
        )
    files: list[FileEntry] = []
    refused: list[Refused] = []
    skipped: Counter[str] = Counter()
    _walk(str(path), "", files, refused, skipped)
    files.sort()
    refused.sort(key=lambda item: item.uri)
    return Listing(path, tuple(files), tuple(refused), dict(sorted(skipped.items())))


def _walk(
    folder: str,
    prefix: str,
    files: list[FileEntry],
    refused: list[Refused],
    skipped: Counter[str],
) -> None:
    pending = [(folder, prefix)]
    while pending:
        folder, prefix = pending.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            refused.append(Refused(prefix.rstrip("/"), "unreadable_folder", str(error.strerror)))
            continue
        for entry in entries:
            uri = prefix + readable(entry.name)
            if entry.name.startswith("."):
                skipped[readable(entry.name)] += 1
            elif entry.is_symlink():
                refused.append(Refused(uri, "symbolic_link", "links are not followed"))
            elif entry.is_dir(follow_symlinks=False):
                pending.append((entry.path, uri + "/"))
            elif entry.is_file(follow_symlinks=False):
                files.append((uri, entry.path))
            else:
                refused.append(Refused(uri, "special_file", "a pipe, socket or device"))


def readable(name: str) -> str:
    """A file name as valid UTF-8: undecodable bytes become ``\\xNN``."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def read_file(path: str, limit: int) -> bytes | Refused:
    """Read a regular file's bytes; a link, pipe or device put in its place is refused."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return Refused("", "unreadable_file", str(error.strerror))
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return Refused("", "special_file", "no regular file any more")
        if status.st_size > limit:
            return Refused("", "too_large", f"{status.st_size:,} bytes, limit is {limit:,}")
        return file.read(limit)


def read_head(path: str) -> bytes | None:
    """The first 16 bytes of a regular file, or None where it can not be opened."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        # The file is then counted by its name, as every file that shows no image signature.
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read(16)


def placement(uri: str) -> tuple[str | None, str | None, str | None]:
    """(split, class, source) that a file's folders say: ``[split/]class[/source…]/name``."""
    parts = uri.split("/")[:-1]
    split = None
    if parts and parts[0].lower() in SPLITS:
        split = parts.pop(0)
    label = parts[0] if parts else None
    source = "/".join(parts[1:]) or None
    return split, label, source
