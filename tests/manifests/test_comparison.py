"""Two manifests side by side, against slow and obvious counting."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.manifests import Entry, Manifest, row_comparison
from auditor.manifests.comparison import Comparison, compare
from auditor.manifests.roots import Facts
from auditor.manifests.writing import ManifestWriter

FACTS = Facts("parquet", (), {})


def write(out: Path, entries: list[Entry]) -> Manifest:
    with ManifestWriter(out) as writer:
        for entry in entries:
            writer.add(entry)
        return writer.finish(FACTS, durable=False)


def rows(path: str, digests: list[int]) -> list[Entry]:
    """A table whose rows' digests are these numbers; 256·n ends in a zero byte."""
    size = len(digests)
    table = Entry(path, None, "file", size, f"{hash((path, *digests)) & (2**60 - 1):064x}")
    return [table, *(
        Entry(path, i, "row", 1, f"{n:064x}", "x", row=f"{n:064x}") for i, n in enumerate(digests)
    )]  # fmt: skip


def compared(old: list[Entry], new: list[Entry]) -> Comparison:
    with TemporaryDirectory() as folder:
        return compare(write(Path(folder, "a"), old), write(Path(folder, "b"), new), {})


numbers = st.lists(st.integers(0, 6).map(lambda n: n * 128), max_size=8)


@settings(max_examples=60, deadline=None)
@given(numbers, numbers)
def test_rows_are_compared_as_multisets(was: list[int], now: list[int]) -> None:
    found = compared(rows("t.parquet", was), rows("t.parquet", now))
    went, came = Counter(was) - Counter(now), Counter(now) - Counter(was)
    pairs = {(d.was.row if d.was else None, d.now.row if d.now else None)
             for d in found.differences if d.record is not None}  # fmt: skip
    if was and now:
        assert {a for a, _ in pairs if a} == {f"{n:064x}" for n in went}
        assert {b for _, b in pairs if b} == {f"{n:064x}" for n in came}
    assert (found.n_differences == 0) == (was == now)
    assert found.n_verified >= (Counter(was) & Counter(now)).total()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=8), st.integers(1, 6))
def test_resharding_differs_in_nothing(values: list[int], cut: int) -> None:
    cut = min(cut, len(values) - 1)
    old = rows("a.parquet", values)
    new = [*rows("b.parquet", values[:cut]), *rows("c.parquet", values[cut:])]
    found = compared(old, new)
    assert found.n_differences == 0
    assert len(found.notices) == 1


def test_the_number_of_differences_is_known_where_not_all_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(row_comparison, "MAX_KEPT", 5)
    found = compared(rows("a", list(range(100))), rows("a", list(range(100, 200))))
    assert found.n_differences == 100
    assert 0 < len(found.differences) <= 10


def test_files_beyond_the_kept_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    from auditor.manifests import comparison

    monkeypatch.setattr(comparison, "MAX_KEPT", 5)
    old = [Entry(f"{i:03d}", None, "file", 1, f"{i:064x}") for i in range(100)]
    new = [Entry(f"{i:03d}", None, "file", 1, f"{i + 500:064x}") for i in range(100)]
    found = compared(old, new)
    assert found.n_differences >= 97
    assert len(found.differences) <= 5


def test_equal_digests_are_paired_one_by_one() -> None:
    old = [Entry(f"cat/{i}", None, "sample", 0, "0" * 64, "cat") for i in range(3)]
    new = [Entry(f"dog/{i}", None, "sample", 0, "0" * 64, "dog") for i in range(2)]
    found = compared(old, new)
    assert sorted(d.kind for d in found.differences) == ["missing", "relabelled", "relabelled"]
