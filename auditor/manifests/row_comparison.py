"""The rows of two manifests as multisets: which rows went, which came, and what became of them."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from auditor.manifests.document import rows_of
from auditor.manifests.records import MAX_KEPT, Difference, Entry, Manifest

WIDTH = 32
"""Bytes of a row digest."""


class RowBook:
    """A manifest's row digests: 32 bytes a row, and a hash of their order."""

    def __init__(self) -> None:
        self._digests = bytearray()
        self._order = hashlib.sha256()

    def add(self, row: str) -> bytes:
        """Take a digest of 64 hex digits in and return its bytes."""
        digest = bytes.fromhex(row)
        self._digests += digest
        self._order.update(digest)
        return digest

    def __len__(self) -> int:
        return len(self._digests) // WIDTH

    @property
    def order(self) -> bytes:
        """A hash of the digests in order."""
        return self._order.digest()

    def counted(self) -> tuple[np.ndarray, np.ndarray]:
        """(U,) distinct digests in byte order, (U,) how often each is there."""
        return np.unique(np.frombuffer(self._digests, dtype=f"S{WIDTH}"), return_counts=True)


@dataclass(frozen=True, slots=True)
class RowComparison:
    """The rows that differ; ``same`` if there are rows and both sides have all the same."""

    differences: tuple[Difference, ...]
    n_differences: int
    n_same: int
    same: bool
    notices: tuple[str, ...] = ()


def compare_rows(
    old: Manifest,
    new: Manifest,
    books: tuple[RowBook, RowBook],
    ignored: frozenset[str],
    one_sided: Mapping[str, int],
) -> RowComparison:
    """Compare rows whatever file they lie in.

    Args:
        old: the manifest to verify against, read through before.
        new: the dataset as it is.
        books: their row digests.
        ignored: files whose lost rows were said already.
        one_sided: rows of each file that lies on one side only.
    """
    (was, was_n), (now, now_n) = books[0].counted(), books[1].counted()
    gone, n_gone = _excess(was, was_n, now, now_n)
    come, n_come = _excess(now, now_n, was, was_n)
    n_same = len(books[0]) - n_gone
    if not n_gone and not n_come:
        return RowComparison((), 0, n_same, bool(len(books[0])))
    known = set(come) & set(was[np.isin(was, list(come))].tolist()) if come else set()
    went = [entry for entry in _pick(old, gone) if entry.path not in ignored]
    arrived = list(_pick(new, come))
    found = list(_explained(went, arrived, known))
    found = list(_gathered(found, one_sided))
    n_all = max(n_gone, n_come) if max(len(gone), len(come)) >= MAX_KEPT else len(found)
    return RowComparison(tuple(found), n_all, n_same, False)


def _excess(
    one: np.ndarray, n_one: np.ndarray, other: np.ndarray, n_other: np.ndarray
) -> tuple[dict[bytes, int], int]:
    """What ``one`` has more than ``other``.

    Returns:
        Digest → how many more, of the first `MAX_KEPT`, and how many more in all. NumPy drops a
        digest's trailing zero bytes; the keys are without them.
    """
    if not len(one):
        return {}, 0
    more = n_one.copy()
    if len(other):
        at = np.minimum(np.searchsorted(other, one), len(other) - 1)
        more = n_one - np.where(other[at] == one, n_other[at], 0)
    places = np.flatnonzero(more > 0)
    first = places[:MAX_KEPT]
    kept = dict(zip(one[first].tolist(), more[first].tolist(), strict=True))
    return kept, int(more[places].sum())


def _pick(manifest: Manifest, excess: Mapping[bytes, int]) -> Iterator[Entry]:
    """The entries of these digests; of several equal ones the last, which are likelier new."""
    wanted = {digest.ljust(WIDTH, b"\0") for digest in excess}
    if not wanted:
        return
    kept: dict[bytes, deque[Entry]] = {}
    for entry in rows_of(manifest, wanted):
        digest = bytes.fromhex(entry.row or "")
        number = min(excess[digest.rstrip(b"\0")], MAX_KEPT)
        kept.setdefault(digest, deque(maxlen=number)).append(entry)
    for entries in kept.values():
        yield from entries


def _explained(went: list[Entry], arrived: list[Entry], known: set[bytes]) -> Iterator[Difference]:
    """Pair what went with what came: first by the image's bytes, then by the place."""
    by_image: dict[str, list[Entry]] = {}
    for entry in arrived:
        by_image.setdefault(entry.sha256 or "", []).append(entry)
    rest: list[Entry] = []
    used: set[tuple[str, int | None]] = set()
    for was in went:
        twins = by_image.get(was.sha256 or "", [])
        if was.sha256 is None or not twins:
            rest.append(was)
            continue
        twin = next((t for t in twins if (t.path, t.record) == (was.path, was.record)), twins[0])
        twins.remove(twin)
        used.add((twin.path, twin.record))
        yield _changed_row(was, twin)
    left = {(e.path, e.record): e for e in arrived if (e.path, e.record) not in used}
    for was in rest:
        now = left.pop((was.path, was.record), None)
        if now is None:
            yield Difference("missing", was.path, was.record, "the row is no longer there", was)
        else:
            message = "the row holds another image"
            if was.label != now.label:
                message += f"; label {was.label!r} → {now.label!r}"
            yield Difference("changed", now.path, now.record, message, was, now)
    for now in left.values():
        if bytes.fromhex(now.row or "").rstrip(b"\0") in known:
            message = "a copy of a row that the manifest has fewer times"
            yield Difference("duplicated", now.path, now.record, message, None, now)
        else:
            message = "a row that the manifest does not have"
            yield Difference("extra", now.path, now.record, message, None, now)


def _changed_row(was: Entry, now: Entry) -> Difference:
    """The same image with something else beside it."""
    where = "" if (was.path, was.record) == (now.path, now.record) else (
        f" (was {was.path!r} row {was.record})")  # fmt: skip
    if was.label != now.label:
        message = f"same image, label {was.label!r} → {now.label!r}{where}"
        return Difference("relabelled", now.path, now.record, message, was, now)
    if was.split != now.split:
        message = f"same image, split {was.split!r} → {now.split!r}{where}"
        return Difference("resplit", now.path, now.record, message, was, now)
    if was.source != now.source:
        message = f"same image, source {was.source!r} → {now.source!r}{where}"
        return Difference("resourced", now.path, now.record, message, was, now)
    message = f"same image and label, another column differs{where}"
    return Difference("columns", now.path, now.record, message, was, now)


def _gathered(found: list[Difference], sizes: Mapping[str, int]) -> Iterator[Difference]:
    """A file that went or came with all its rows is one difference."""
    whole: dict[tuple[str, str], int] = {}
    for item in found:
        if item.kind in {"missing", "extra"} and item.path in sizes:
            whole[item.kind, item.path] = whole.get((item.kind, item.path), 0) + 1
    whole = {key: n for key, n in whole.items() if n == sizes[key[1]]}
    for item in found:
        if (item.kind, item.path) not in whole:
            yield item
    for (kind, path), n in whole.items():
        if kind == "missing":
            yield Difference("missing", path, None, f"is no longer there, nor are its {n:,} rows")
        else:
            yield Difference("extra", path, None, f"a file of {n:,} rows that the manifest does "
                             "not have")  # fmt: skip
