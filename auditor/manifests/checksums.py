r"""Lists as ``sha256sum`` writes them, in the GNU and the BSD form, with escaped names.

GNU coreutils manual, "cksum output modes": a name with a backslash, line feed or carriage return
is written with ``\\``, ``\n``, ``\r`` behind a leading backslash of the line.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from auditor.errors import UsageError
from auditor.manifests.claims import Claim, Description
from auditor.manifests.document import escapes
from auditor.manifests.records import Difference
from auditor.manifests.tree import Tree

GNU = re.compile(rb"(?P<mark>\\?)(?P<digest>[0-9A-Fa-f]{32,128}) [ *](?P<name>.+)\Z", re.DOTALL)
BSD = re.compile(
    rb"(?P<mark>\\?)(?P<kind>[A-Z0-9-]+) \((?P<name>.+)\) = (?P<digest>[0-9A-Fa-f]{32,128})\Z",
    re.DOTALL,
)
ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
ESCAPES = {b"\\": b"\\", b"n": b"\n", b"r": b"\r"}

Item = tuple[str, str]
"""(name, digest)."""


def looks_like_checksums(head: bytes) -> bool:
    """Whether the first line that says anything is a checksum line."""
    for line in head.splitlines():
        if line.strip() and not line.startswith(b"#"):
            return bool(GNU.match(line) or BSD.match(line))
    return False


def read_checksums(path: Path, data: bytes, tree: Tree) -> Description:
    """Parse a list; its names are relative to the dataset, the list's folder or the one above.

    Raises:
        UsageError: a line is no checksum line, or of another hash than SHA-256.
    """
    items = _items(path, data)
    problems: list[Difference] = []
    claims: dict[str, Claim] = {}
    base = _base(path, tree, [name for name, _ in items])
    for name, digest in items:
        place = _place(base, name, tree.root.resolve().as_posix())
        if escapes(place):
            problems.append(Difference("invalid", name, None, "lies outside the dataset"))
        elif place in claims and claims[place].sha256 != digest:
            problems.append(Difference("invalid", place, None, "is listed with two digests"))
        else:
            claims[place] = Claim(place, (place,), digest)
    return Description("sha256sum", tuple(claims.values()), tuple(problems), whole=True)


def _items(path: Path, data: bytes) -> list[Item]:
    items: list[Item] = []
    for number, line in enumerate(data.split(b"\n"), 1):
        line = line.removesuffix(b"\r")
        if not line.strip() or line.startswith(b"#"):
            continue
        match = BSD.match(line) or GNU.match(line)
        if match is None:
            raise UsageError(f"{str(path)!r}, line {number}: no line of a sha256sum list")
        if len(match["digest"]) != 64 or match.groupdict().get("kind", b"SHA256") not in {
            b"SHA256", b"SHA2-256",
        }:  # fmt: skip
            raise UsageError(
                f"{str(path)!r}, line {number}: got {len(match['digest'])} hex digits of another "
                "hash, expected SHA-256; make the list with sha256sum"
            )
        name = match["name"]
        if match["mark"]:
            name = ESCAPE.sub(lambda found: ESCAPES.get(found[1], found[0]), name)
        text = name.decode("utf-8", "backslashreplace")
        items.append((text, match["digest"].decode("ascii").lower()))
    return items


def _base(path: Path, tree: Tree, names: list[str]) -> str:
    """The folder that the names start from: the one from which most of them are found."""
    known = {node.uri for node in tree.nodes}
    root = tree.root.resolve()
    folders = [folder.as_posix() for folder in (root, path.resolve().parent, root.parent)]
    fits = [
        sum(_place(folder, name, root.as_posix()) in known for name in names) for folder in folders
    ]
    return folders[fits.index(max(fits))]


def _place(folder: str, name: str, root: str) -> str:
    """A listed name relative to the dataset; one that leads out begins with two dots."""
    return posixpath.relpath(posixpath.normpath(posixpath.join(folder, name)), root)
