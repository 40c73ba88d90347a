"""Two manifests side by side: what is missing, new, changed, moved or called something else.

Both files are streamed twice at most; memory grows with the differences and by 32 bytes a row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from auditor.manifests.document import own_entries
from auditor.manifests.records import MAX_KEPT, Difference, Entry, Manifest
from auditor.manifests.relation import SAID, is_file, moved, other_bytes, renamed
from auditor.manifests.row_comparison import RowBook, compare_rows


@dataclass(frozen=True, slots=True)
class Comparison:
    """The differences between two manifests, `MAX_KEPT` at most of each sort, and their number."""

    differences: tuple[Difference, ...]
    n_differences: int
    n_verified: int
    notices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """A manifest's entry that is no row, with how many rows follow it and a hash of their order."""

    entry: Entry
    n_rows: int
    order: bytes


@dataclass(slots=True)
class Ledger:
    """What the first pass collects: entries gone from, and come to, a path."""

    gone: dict[str, Entry] = field(default_factory=dict)
    come: dict[str, Entry] = field(default_factory=dict)
    found: list[Difference] = field(default_factory=list)
    tables: list[tuple[Line | None, Line | None]] = field(default_factory=list)
    n_same: int = 0
    n_beyond: int = 0

    def pair(self, was: Line | None, now: Line | None) -> None:
        """Take in what lies at one path in both manifests."""
        if (was and was.n_rows) or (now and now.n_rows):
            self.tables.append((was, now))
        if was is not None and now is not None:
            if was.entry == now.entry:
                self.n_same += was.entry.kind != "unreadable"
                return
            if now.entry.kind == "unreadable":
                return  # said apart: nobody knows whether it changed
            if was.entry.sha256 == now.entry.sha256 and is_file(was.entry) == is_file(now.entry):
                self.found.append(renamed(was.entry, now.entry))
                return
        if len(self.gone) + len(self.come) >= MAX_KEPT:
            self.n_beyond += 1
            return
        if was is not None:
            self.gone[was.entry.path] = was.entry
        if now is not None and now.entry.kind != "unreadable":
            self.come[now.entry.path] = now.entry


def compare(old: Manifest, new: Manifest, unreadable_rows: Mapping[str, str]) -> Comparison:
    """Compare what was written down with what is there now.

    Args:
        old: the manifest to verify against.
        new: the dataset as it is, just written down by this process.
        unreadable_rows: path → reason of files whose rows could not be read now.

    Raises:
        UsageError: a manifest is damaged.
    """
    books = RowBook(), RowBook()
    ledger = Ledger()
    sides = _lines(old.entries(), books[0]), _lines(own_entries(new), books[1])
    for was, now in _merged(*sides):
        ledger.pair(was, now)
    lost = _set_tables_aside(ledger, unreadable_rows)
    rows = compare_rows(old, new, books, frozenset(lost), _one_sided(ledger))
    copies = _copies(old, ledger)
    found = [*ledger.found, *_resettled(ledger, copies), *lost.values(), *rows.differences]
    notices = list(rows.notices)
    if rows.same:
        found += _reordered(ledger)
        notices += _reshaped(ledger, books)
    found += _facts(old, new)
    found.sort(key=lambda item: (item.path, -1 if item.record is None else item.record))
    n_beyond = ledger.n_beyond + rows.n_differences - len(rows.differences)
    return Comparison(
        tuple(found[:MAX_KEPT]), len(found) + n_beyond, ledger.n_same + rows.n_same, tuple(notices)
    )


def _lines(entries: Iterator[Entry], book: RowBook) -> Iterator[Line]:
    """The entries that are no rows; the rows' digests go to the book."""
    entry: Entry | None = None
    n_rows, order = 0, hashlib.sha256()
    for item in entries:
        if item.row is not None and entry is not None:
            n_rows += 1
            order.update(book.add(item.row))
            continue
        if entry is not None:
            yield Line(entry, n_rows, order.digest())
        entry, n_rows, order = item, 0, hashlib.sha256()
    if entry is not None:
        yield Line(entry, n_rows, order.digest())


def _merged(old: Iterator[Line], new: Iterator[Line]) -> Iterator[tuple[Line | None, Line | None]]:
    """Both sides by path; one of them is None where a path is on one side only."""
    was, now = next(old, None), next(new, None)
    while was is not None or now is not None:
        if now is None or (was is not None and was.entry.path < now.entry.path):
            yield was, None
            was = next(old, None)
        elif was is None or now.entry.path < was.entry.path:
            yield None, now
            now = next(new, None)
        else:
            yield was, now
            was, now = next(old, None), next(new, None)


def _resettled(ledger: Ledger, copies: Mapping[str, str]) -> Iterator[Difference]:
    """What was found elsewhere, changed in place, is missing or new."""
    by_digest: dict[str, list[Entry]] = {}
    for entry in ledger.gone.values():
        if entry.sha256 is not None and is_file(entry):
            by_digest.setdefault(entry.sha256, []).append(entry)
    settled: set[str] = set()
    for path, now in ledger.come.items():
        was = ledger.gone.get(path)
        twins = by_digest.get(now.sha256 or "", []) if is_file(now) else []
        if was is not None and is_file(was) != is_file(now):
            yield Difference("replaced", path, None, f"was {SAID[was.kind]}, is now "
                             f"{SAID[now.kind]}", was, now)  # fmt: skip
        elif twins:
            twin = twins.pop(0)
            settled.add(twin.path)
            yield moved(twin, now)
        elif was is not None:
            yield Difference("changed", path, None, other_bytes(was, now), was, now)
        elif now.sha256 in copies and is_file(now):
            message = f"a copy of {copies[now.sha256 or '']!r} that the manifest does not have"
            yield Difference("duplicated", path, None, message, None, now)
        else:
            yield Difference("extra", path, None, f"{SAID[now.kind]} that the manifest does not "
                             "have", None, now)  # fmt: skip
    for path, was in ledger.gone.items():
        if path not in ledger.come and path not in settled:
            yield Difference("missing", path, None, "is no longer there", was, None)


def _copies(old: Manifest, ledger: Ledger) -> dict[str, str]:
    """sha256 → path of a file in the old manifest, for the digests that have come."""
    wanted = {entry.sha256 for entry in ledger.come.values()}
    if not wanted:
        return {}
    files = (entry for entry in old.entries() if entry.kind in {"file", "sample"})
    return {entry.sha256: entry.path for entry in files if entry.sha256 in wanted}  # type: ignore[misc]


def _set_tables_aside(ledger: Ledger, unreadable_rows: Mapping[str, str]) -> dict[str, Difference]:
    """Leave files with rows to the comparison of rows, except those whose rows can not be had.

    Of such a file one difference is said, not one for each row; they are returned by path.
    """
    lost: dict[str, Difference] = {}
    for was, now in ledger.tables:
        for line, side in ((was, ledger.gone), (now, ledger.come)):
            if line is not None:
                side.pop(line.entry.path, None)
        if was is None or now is None or was.entry == now.entry:
            continue
        path, why = was.entry.path, unreadable_rows.get(was.entry.path)
        if why is not None or not now.n_rows:
            message = f"of its {was.n_rows:,} rows {now.n_rows:,} can be read now"
            message += f" ({why})" if why else ""
            lost[path] = Difference("changed", path, None, message, was.entry, now.entry)
    return lost


def _one_sided(ledger: Ledger) -> dict[str, int]:
    """Rows of each file that lies on one side only."""
    return {
        line.entry.path: line.n_rows
        for was, now in ledger.tables
        if (was is None) != (now is None) and (line := was or now) is not None
    }


def _reordered(ledger: Ledger) -> Iterator[Difference]:
    """All rows are there, in files of the same lengths, but not in the same places."""
    if any(was is None or now is None or was.n_rows != now.n_rows for was, now in ledger.tables):
        return
    for was, now in ledger.tables:
        if was is not None and now is not None and was.order != now.order:
            message = f"its {now.n_rows:,} rows lie in another order"
            yield Difference("reordered", now.entry.path, None, message, was.entry, now.entry)


def _reshaped(ledger: Ledger, books: tuple[RowBook, RowBook]) -> Iterator[str]:
    """What may differ while the rows are the same."""
    same_layout = all(
        was is not None and now is not None and was.n_rows == now.n_rows
        for was, now in ledger.tables
    )
    if not same_layout:
        names = [[line.entry.path for pair in ledger.tables if (line := pair[side]) is not None
                  and line.n_rows] for side in (0, 1)]  # fmt: skip
        order = "" if books[0].order == books[1].order else ", in another order"
        yield (
            f"the same {len(books[1]):,} rows lie in {_named(names[1])} instead of "
            f"{_named(names[0])}{order}: verified by their row root"
        )
        return
    for was, now in ledger.tables:
        if was and now and was.order == now.order and was.entry != now.entry:
            yield f"{now.entry.path!r}: other bytes, the same rows in the same order (re-encoded)"


def _named(paths: list[str]) -> str:
    return repr(paths[0]) if len(paths) == 1 else f"{len(paths):,} files ({paths[0]!r} …)"


def _facts(old: Manifest, new: Manifest) -> Iterator[Difference]:
    if old.class_names != new.class_names:
        yield Difference("changed", "class names", None, "the declared classes or their order "
                         "differ", None, None)  # fmt: skip
