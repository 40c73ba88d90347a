"""sha256 of many files: threads, no link followed, no change overlooked, known files not read."""

from __future__ import annotations

import hashlib
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from auditor.manifests.index import StatIndex
from auditor.manifests.tree import Node, Stamp

BATCH = 256
"""Files a task: handing one file to a thread costs more than hashing a small one."""

SMALL = 1 << 20
"""Bytes up to which a file is read at once; hashing releases the interpreter above 2 kB."""


@dataclass(frozen=True, slots=True)
class Hashed:
    """A node and its digest; ``digest`` is None where ``detail`` says why.

    ``hashed_ns`` is the time just before the file was opened; 0 if the digest was known.
    """

    node: Node
    digest: bytes | None
    detail: str = ""
    hashed_ns: int = 0


def hash_nodes(nodes: Sequence[Node], index: StatIndex | None, workers: int) -> Iterator[Hashed]:
    """Yield every node with its digest, in order.

    Links get the digest of their target's text; special files and unreadable ones none.
    New digests go to the index batch by batch, so that an interrupted run resumes there.
    """
    with ThreadPoolExecutor(max(1, workers), thread_name_prefix="auditor-hash") as threads:
        pending: deque[Future[list[Hashed]]] = deque()
        starts = range(0, len(nodes), BATCH)
        for start in starts:
            batch = nodes[start : start + BATCH]
            known = index.known(batch) if index is not None else {}
            if len(known) == len(batch):  # nothing to read: no thread needs to be woken
                pending.append(Future())
                pending[-1].set_result(_hash_batch(batch, known))
            else:
                pending.append(threads.submit(_hash_batch, batch, known))
            if len(pending) > 2 * workers:
                yield from _finish(pending.popleft().result(), index)
        while pending:
            yield from _finish(pending.popleft().result(), index)
    if index is not None:
        index.flush()


def _finish(batch: list[Hashed], index: StatIndex | None) -> list[Hashed]:
    if index is not None:
        for item in batch:
            if item.hashed_ns and item.digest is not None and item.node.stamp is not None:
                index.add(item.node.uri, item.node.stamp, item.digest, item.hashed_ns)
    return batch


def _hash_batch(batch: Sequence[Node], known: dict[str, bytes]) -> list[Hashed]:
    return [
        Hashed(node, known[node.uri]) if node.uri in known else hash_node(node) for node in batch
    ]


def hash_node(node: Node) -> Hashed:
    """Read and hash one node, making sure that it is what was listed, and stays so."""
    if node.kind == "link":
        return Hashed(node, hashlib.sha256(node.detail.encode("utf-8")).digest())
    if node.kind != "file" or node.stamp is None:
        return Hashed(node, None, node.detail)
    began = time.time_ns()
    try:
        # Never through a link, never waiting for a pipe that was put in the file's place.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(node.path, flags)
    except OSError as error:
        return Hashed(node, None, str(error.strerror))
    try:
        if Stamp.of(os.fstat(descriptor)) != node.stamp:
            return Hashed(node, None, "changed between listing and reading")
        digest, size = _digest(descriptor, node.stamp.size)
        if size != node.stamp.size or Stamp.of(os.fstat(descriptor)) != node.stamp:
            return Hashed(node, None, "changed while it was read")
    except OSError as error:
        return Hashed(node, None, str(error.strerror))
    finally:
        os.close(descriptor)
    return Hashed(node, digest, "", began)


def _digest(descriptor: int, size: int) -> tuple[bytes, int]:
    """(sha256, bytes read)."""
    if size < SMALL:
        data = os.read(descriptor, SMALL)
        return hashlib.sha256(data).digest(), len(data)
    digest, done = hashlib.sha256(), 0
    while piece := os.read(descriptor, SMALL):
        digest.update(piece)
        done += len(piece)
    return digest.digest(), done
