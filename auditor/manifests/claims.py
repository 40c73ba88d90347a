"""What a description says of files, and whether the files in the folder agree.

Used for the formats that name files and digests but know nothing of samples: Croissant and
``sha256sum`` lists.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from auditor.manifests.hashing import hash_nodes
from auditor.manifests.index import StatIndex
from auditor.manifests.records import MAX_KEPT, Difference, Entry, Verification
from auditor.manifests.tree import Node, Tree

MD5_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Claim:
    """What is declared of one file.

    Attributes:
        name: as the description calls it, for messages.
        paths: where it may lie, relative to the dataset, best first; empty if nowhere here.
        sha256: 64 lower-case hex digits, or None where none is usable.
        problem: why there is no usable sha256 though one is declared.
        md5: 32 lower-case hex digits, or None.
        size: declared bytes, or None.
        absent: what to say where no path exists; None makes a missing file a difference.
    """

    name: str
    paths: tuple[str, ...]
    sha256: str | None
    problem: str | None = None
    md5: str | None = None
    size: int | None = None
    absent: str | None = None


@dataclass(frozen=True, slots=True)
class Description:
    """A parsed description: its claims and what is wrong with it."""

    format: Literal["croissant", "sha256sum"]
    claims: tuple[Claim, ...]
    problems: tuple[Difference, ...] = ()
    whole: bool = False
    """Whether every file of the dataset should be described, so that others are ``extra``."""


def check(
    description: Description, tree: Tree, itself: Path, index: StatIndex | None, workers: int
) -> Verification:
    """Hash the files that are claimed and compare; nothing else is read.

    ``itself`` is the description's own file, which it can not describe.
    """
    nodes = {node.uri: node for node in tree.nodes}
    placed = [
        (claim, next((nodes[path] for path in claim.paths if path in nodes), None))
        for claim in description.claims
    ]
    needed = {node.uri: node for _, node in placed if node is not None and node.kind == "file"}
    if description.whole:
        needed = {uri: node for uri, node in nodes.items() if node.kind == "file"}
    ordered = [needed[uri] for uri in sorted(needed)]
    digests = {item.node.uri: item for item in hash_nodes(ordered, index, workers)}
    found = list(description.problems)
    unverified: list[tuple[str, str]] = []
    unreadable: list[tuple[str, str]] = []
    notices: list[str] = []
    n_verified = 0
    for claim, node in placed:
        if node is None:
            if claim.absent is None:
                found.append(Difference("missing", claim.name, None, "is not in the dataset"))
            else:
                more = f"; {claim.problem}" if claim.problem else ""
                unverified.append((claim.name, claim.absent + more))
            continue
        if node.kind != "file":
            said = "a symbolic link, which is not followed" if node.kind == "link" else "no file"
            found.append(Difference("replaced", node.uri, None, f"is {said}"))
            continue
        item = digests[node.uri]
        if item.digest is None:
            unreadable.append((node.uri, item.detail))
            continue
        outcome = _judge(claim, node, item.digest.hex())
        if isinstance(outcome, Difference):
            found.append(outcome)
        elif outcome is not None:
            unverified.append((node.uri, outcome))
        else:
            n_verified += 1
            notices += _size_notice(claim, node)
    described = {node.uri for _, node in placed if node is not None}
    rest = [n for n in tree.nodes if n.uri not in described and not _same_file(n, itself)]
    if description.whole:
        held = {uri: item.digest.hex() for uri, item in digests.items() if item.digest}
        found = _with_moves(found, rest, description.claims, held)
    elif rest:
        said = "1 file in the folder is" if len(rest) == 1 else f"{len(rest):,} files in it are"
        notices.append(f"{said} not described")
    found.sort(key=lambda item: item.path)
    return Verification(
        description.format, n_verified, tuple(found[:MAX_KEPT]), len(found), len(unverified),
        tuple(notices), tuple(unverified[:MAX_KEPT]), tuple(unreadable),
    )  # fmt: skip


def _judge(claim: Claim, node: Node, digest: str) -> Difference | str | None:
    """A difference, or why nothing can be said, or None where the file agrees."""
    size = node.stamp.size if node.stamp is not None else 0
    if claim.problem is not None:
        return Difference("unusable", node.uri, None, claim.problem)
    if claim.sha256 is not None and claim.sha256 != digest:
        message = f"sha256 is {digest}, declared {claim.sha256}"
        if claim.size is not None and claim.size != size:
            message += f"; {size:,} bytes, declared {claim.size:,}"
        return Difference("changed", node.uri, None, message, _entry(node.uri, claim.sha256),
                          _entry(node.uri, digest, size))  # fmt: skip
    if claim.md5 is not None and (said := _md5(node)) != claim.md5:
        if claim.sha256 is not None:
            message = f"its declared hashes disagree: sha256 fits, md5 is {said}, not {claim.md5}"
            return Difference("invalid", node.uri, None, message)
        return Difference("changed", node.uri, None, f"md5 is {said}, declared {claim.md5}")
    if claim.sha256 is not None:
        return None
    if claim.size is not None and claim.size != size:
        return Difference("changed", node.uri, None, f"{size:,} bytes, declared {claim.size:,}")
    if claim.md5 is not None:
        return "only an md5 is declared; it agrees, but md5 can be forged"
    return "no digest is declared"


def _size_notice(claim: Claim, node: Node) -> Sequence[str]:
    size = node.stamp.size if node.stamp is not None else 0
    if claim.size is None or claim.size == size:
        return ()
    return (f"{node.uri!r}: sha256 fits, but the declared size is {claim.size:,} bytes and the "
            f"file has {size:,}",)  # fmt: skip


def _with_moves(
    found: list[Difference], rest: Sequence[Node], claims: Sequence[Claim], held: Mapping[str, str]
) -> list[Difference]:
    """Files that nobody claims: those with a missing file's bytes have moved, others are new."""
    missing = {item.path for item in found if item.kind == "missing"}
    homes = {claim.sha256: claim.name for claim in claims if claim.name in missing}
    owned = {claim.sha256: claim.name for claim in claims}
    gone: set[str] = set()
    extra: list[Difference] = []
    for node in rest:
        digest = held.get(node.uri)
        if digest is not None and (home := homes.pop(digest, None)) is not None:
            gone.add(home)
            extra.append(Difference("moved", node.uri, None, f"holds the bytes of {home!r}"))
        elif digest is not None and digest in owned:
            message = f"a copy of {owned[digest]!r} that the list does not have"
            extra.append(Difference("duplicated", node.uri, None, message))
        else:
            message = f"{_KINDS[node.kind]} that the list does not have"
            extra.append(Difference("extra", node.uri, None, message))
    return [d for d in found if not (d.kind == "missing" and d.path in gone)] + extra


_KINDS = {
    "file": "a file", "link": "a symbolic link", "special": "a pipe, socket or device",
    "unreadable": "something unreadable",
}  # fmt: skip


def _entry(path: str, digest: str, size: int | None = None) -> Entry:
    return Entry(path, None, "file", size, digest)


def _same_file(node: Node, path: Path) -> bool:
    return node.path != "" and os.path.realpath(path) == os.path.realpath(node.path)


def _md5(node: Node) -> str:
    """The md5 of a file whose sha256 was just read; a check of a claim, not a protection."""
    digest = hashlib.md5(usedforsecurity=False)
    descriptor = os.open(node.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        while piece := file.read(MD5_PIECE):
            digest.update(piece)
    return digest.hexdigest()
