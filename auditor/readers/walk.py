"""List a dataset's files without following a link or opening anything but regular files."""

from __future__ import annotations

import os
import posixpath
import stat
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from auditor.errors import NothingToScanError, UsageError
from auditor.readers.catalog import FileEntry, Refused
from auditor.readers.signatures import sniff

SPLITS = frozenset({
    "train", "training", "val", "valid", "validation", "dev", "test", "testing", "eval",
    "evaluation", "unlabeled",
})  # fmt: skip
"""Folder names that are splits and not classes, as the Hugging Face layouts spell them."""


MAX_HIDDEN = 10_000
"""Hidden files that are kept by name for the inventory; a cloned repository has many more."""

MAX_LINK = 4096
"""Characters of a link's target that are read (PATH_MAX)."""


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link, never followed: where it points to, and whether that lies outside."""

    uri: str
    target: str
    leaves: bool


@dataclass(frozen=True, slots=True)
class Listing:
    """The regular files below ``root``, sorted by uri, and what else lies there."""

    root: Path
    files: tuple[FileEntry, ...]
    refused: tuple[Refused, ...]
    skipped: Mapping[str, int]
    """Hidden files by name, and the number of files in hidden folders: no samples."""
    splits: frozenset[str] = frozenset()
    """The top-level folders that are splits and not classes."""
    hidden: tuple[FileEntry, ...] = ()
    """The first `MAX_HIDDEN` hidden files, outside of ``.git``."""
    links: tuple[Link, ...] = ()


def walk(path: Path) -> Listing:
    """List ``path``, a folder or a single file.

    Raises:
        UsageError: the path does not exist or can not be looked at.
        NothingToScanError: the path is neither a folder nor a regular file.
    """
    if stat.S_ISREG(status_of(path).st_mode):
        # The user named this file, so a link is followed here, and only here.
        real = path.resolve()
        return Listing(real.parent, ((readable(path.name), str(real)),), (), {})
    found = _Finds([], [], Counter(), [], [])
    _walk(str(path), found)
    files = sorted(found.files)
    refused = sorted(found.refused, key=lambda item: item.uri)
    skipped = dict(sorted(found.skipped.items()))
    splits = split_folders(uri for uri, _ in files)
    hidden = tuple(sorted(found.hidden)[:MAX_HIDDEN])
    links = tuple(sorted(found.links, key=lambda link: link.uri))
    return Listing(path, tuple(files), tuple(refused), skipped, splits, hidden, links)


def status_of(dataset: Path) -> os.stat_result:
    """The status of a dataset, a folder or a regular file; a link is followed.

    Raises:
        UsageError: the path does not exist or can not be looked at.
        NothingToScanError: the path is neither a folder nor a regular file.
    """
    try:
        status = dataset.stat()
    except FileNotFoundError:
        raise UsageError(
            f"dataset {str(dataset)!r}: no such file or folder; check the path"
        ) from None
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"dataset {str(dataset)!r}: {said}; check the path") from None
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        raise NothingToScanError(
            f"dataset {str(dataset)!r}: got a special file, expected a folder or a Parquet file"
        )
    return status


@dataclass(frozen=True, slots=True)
class _Finds:
    """What `_walk` collects."""

    files: list[FileEntry]
    refused: list[Refused]
    skipped: Counter[str]
    hidden: list[FileEntry]
    links: list[Link]


def _walk(root: str, found: _Finds) -> None:
    """Sort everything below ``root`` into files, refused entries and hidden ones."""
    pending: list[tuple[str, str, str]] = [(root, "", "")]
    while pending:
        folder, prefix, hidden = pending.pop()
        try:
            with os.scandir(folder) as listing:
                entries = list(listing)
        except OSError as error:
            uri = prefix.rstrip("/")
            found.refused.append(Refused(uri, "unreadable_folder", str(error.strerror)))
            continue
        for entry in entries:
            name = readable(entry.name)
            uri = prefix + name
            inside = hidden or (f"{name}/" if name.startswith(".") else "")
            if entry.is_symlink():
                found.refused.append(Refused(uri, "symbolic_link", "links are not followed"))
                found.links.append(_link(uri, entry.path, root))
            elif entry.is_dir(follow_symlinks=False):
                pending.append((entry.path, uri + "/", inside))
            elif not entry.is_file(follow_symlinks=False):
                found.refused.append(Refused(uri, "special_file", "a pipe, socket or device"))
            elif hidden or (name.startswith(".") and not _holds_image(entry.path)):
                found.skipped[hidden or name] += 1
                if not hidden.startswith(".git/"):
                    found.hidden.append((uri, entry.path))
            else:
                found.files.append((uri, entry.path))


def _link(uri: str, path: str, root: str) -> Link:
    """Read a link without following it; its target is judged by name alone."""
    try:
        target = readable(str(Path(path).readlink()))[:MAX_LINK]
    except OSError:
        return Link(uri, "", True)
    # By names alone: another link on the way is an entry of its own, and judged there.
    there = posixpath.normpath(posixpath.join(posixpath.dirname(uri), target))
    if there.startswith("/"):
        return Link(uri, target, not Path(there).is_relative_to(Path(root).absolute()))
    return Link(uri, target, there == ".." or there.startswith("../"))


def _holds_image(path: str) -> bool:
    """Whether a hidden file is an image: many loaders take it for a sample, so it is one here."""
    head = read_head(path)
    return head is not None and sniff(head) is not None


def readable(name: str) -> str:
    r"""A file name as valid UTF-8: undecodable bytes become ``\xNN``."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def read_file(path: str, limit: int) -> bytes | Refused:
    """Read a regular file's bytes; a link, pipe or device put in its place is refused."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return Refused("", "unreadable_file", str(error.strerror))
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        return Refused("", "special_file", "no regular file any more")
    with os.fdopen(descriptor, "rb") as file:
        if status.st_size > limit:
            return Refused("", "too_large", f"{status.st_size:,} bytes, limit is {limit:,}")
        try:
            return file.read(status.st_size)
        except OSError as error:
            return Refused("", "unreadable_file", str(error.strerror))


def read_head(path: str) -> bytes | None:
    """The first 16 bytes of a regular file, or None where it can not be opened."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        # The file is then counted by its name, as every file that shows no image signature.
        return None
    with os.fdopen(descriptor, "rb") as file:
        try:
            return file.read(16)
        except OSError:
            return None


def split_folders(uris: Iterable[str]) -> frozenset[str]:
    """The top-level folders that are splits.

    Such a folder has the name of a split, and it holds further folders or has only splits for
    siblings: in ``bus/1.jpg, car/1.jpg, train/1.jpg`` the last is a class.
    """
    depths: dict[str, int] = {}
    for uri in uris:
        top, _, rest = uri.partition("/")
        if rest:
            depths[top] = max(depths.get(top, 0), rest.count("/"))
    named = frozenset(name for name in depths if name.lower() in SPLITS)
    if named == depths.keys():
        return named
    return frozenset(name for name in named if depths[name] > 0)


def placement(uri: str, splits: frozenset[str]) -> tuple[str | None, str | None, str | None]:
    """(split, class, source) that a file's folders say: ``[split/]class[/source…]/name``."""
    parts = uri.split("/")[:-1]
    split = None
    if parts and parts[0] in splits:
        split = parts.pop(0)
    label = parts[0] if parts else None
    source = "/".join(parts[1:]) or None
    return split, label, source
