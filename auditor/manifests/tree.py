"""Everything below a dataset's root, links and special files included, with its times and inode."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from auditor.errors import NothingToScanError
from auditor.readers.walk import readable, status_of


@dataclass(frozen=True, slots=True)
class Stamp:
    """What changes when a file does: any write or rename renews ctime, which no user can set."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        """The stamp of a stat result."""
        return cls(
            status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev
        )


@dataclass(frozen=True, slots=True)
class Node:
    """One name in the dataset.

    Attributes:
        uri: POSIX path relative to the root in valid UTF-8.
        path: as the file system spells it.
        kind: ``unreadable`` is a folder that could not be listed, or a name that reads the same as
            another one once undecodable bytes are escaped.
        stamp: None for what is no regular file.
        detail: a link's target, or why something is unreadable.
    """

    uri: str
    path: str
    kind: Literal["file", "link", "special", "unreadable"]
    stamp: Stamp | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Tree:
    """The dataset's root folder and its nodes, sorted by uri in code-point order."""

    root: Path
    nodes: tuple[Node, ...]


def list_tree(dataset: Path) -> Tree:
    """List a folder, or the one file that was named, without opening anything.

    Empty folders are not listed: no sample lies in them.

    Raises:
        UsageError: the dataset does not exist or can not be looked at.
        NothingToScanError: it is neither a folder nor a regular file, or holds nothing.
    """
    status = status_of(dataset)
    if stat.S_ISREG(status.st_mode):
        # The user named this file, so a link is followed here, and only here.
        real = dataset.resolve()
        return Tree(
            real.parent, (Node(readable(dataset.name), str(real), "file", Stamp.of(status)),)
        )
    nodes = _descend(str(dataset))
    if not nodes:
        raise NothingToScanError(f"dataset {str(dataset)!r}: the folder holds no file at all")
    nodes.sort(key=lambda node: (node.uri, node.path))
    return Tree(dataset, tuple(_without_ambiguity(nodes)))


def _descend(root: str) -> list[Node]:
    nodes: list[Node] = []
    pending = [(root, "")]
    while pending:
        folder, prefix = pending.pop()
        try:
            with os.scandir(folder) as listing:
                entries = list(listing)
        except OSError as error:
            name = prefix.rstrip("/") or "."
            nodes.append(Node(name, folder, "unreadable", None, str(error.strerror)))
            continue
        for entry in entries:
            uri = prefix + readable(entry.name)
            if not entry.is_symlink() and entry.is_dir(follow_symlinks=False):
                pending.append((entry.path, uri + "/"))
            else:
                nodes.append(_node(uri, entry))
    return nodes


def _node(uri: str, entry: os.DirEntry[str]) -> Node:
    try:
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(status.st_mode):
            return Node(uri, entry.path, "file", Stamp.of(status))
        if stat.S_ISLNK(status.st_mode):
            return Node(uri, entry.path, "link", None, readable(str(Path(entry.path).readlink())))
    except OSError as error:
        return Node(uri, entry.path, "unreadable", None, str(error.strerror))
    return Node(uri, entry.path, "special", None, stat.filemode(status.st_mode)[0])


def _without_ambiguity(nodes: list[Node]) -> list[Node]:
    r"""Two names that read the same (the byte 0xff and the four letters ``\xff``) name nothing."""
    twice = {one.uri for one, other in pairwise(nodes) if one.uri == other.uri}
    if not twice:
        return nodes
    clear = [node for node in nodes if node.uri not in twice]
    reason = "two names read the same once undecodable bytes are escaped"
    clear += [Node(uri, "", "unreadable", None, reason) for uri in twice]
    return sorted(clear, key=lambda node: node.uri)
