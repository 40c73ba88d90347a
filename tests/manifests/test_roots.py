"""What the roots bind and what they do not: changes of a dataset and of nothing but its place."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import features, pictures, structs, write_folder, write_parquet

from auditor.manifests import Entry, Manifest, create_manifest, read_manifest
from auditor.manifests.roots import Facts, RootHash, RowHash, line_of

digests = st.binary(min_size=32, max_size=32)


def manifest_of(dataset: Path, out: Path) -> Manifest:
    return create_manifest(dataset, out, workers=1)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    write_folder(tmp_path / "data/train", {"cat": 3, "dog": 3})
    return write_folder(tmp_path / "data/test", {"cat": 1, "dog": 1}, seed=77).parent


def test_the_same_dataset_elsewhere_has_the_same_root(dataset: Path, tmp_path: Path) -> None:
    before = manifest_of(dataset, tmp_path / "a.jsonl")
    copy = tmp_path / "deep/er/copy"
    shutil.copytree(dataset, copy)
    after = manifest_of(copy, tmp_path / "b.jsonl")
    assert after.root == before.root
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert str(dataset) not in (tmp_path / "a.jsonl").read_text()


CHANGES: dict[str, Callable[[Path], object]] = {
    "moved between classes": lambda r: (r / "train/cat/000.png").rename(r / "train/dog/9.png"),
    "byte": lambda r: (r / "train/cat/000.png").write_bytes(b"\x89PNG\r\n\x1a\nother"),
    "split": lambda r: (r / "test").rename(r / "dev"),
    "label": lambda r: (r / "train/cat").rename(r / "train/ship"),
    "added": lambda r: (r / "train/cat/9.png").write_bytes(pictures(1, 5)[0]),
    "dropped": lambda r: (r / "train/cat/000.png").unlink(),
    "no sample": lambda r: (r / "notes.txt").write_text("x"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_any_change_changes_the_root(name: str, dataset: Path, tmp_path: Path) -> None:
    before = manifest_of(dataset, tmp_path / "a.jsonl").root
    CHANGES[name](dataset)
    assert manifest_of(dataset, tmp_path / "b.jsonl").root != before


def rows(n: int) -> pa.Table:
    return pa.table({
        "image": structs(pictures(n)), "label": pa.array([i % 2 for i in range(n)]),
        "note": [f"n{i}" for i in range(n)],
    }).replace_schema_metadata(features({"label": ["cat", "dog"]}))  # fmt: skip


def shards(root: Path, table: pa.Table, sizes: list[int], **options: object) -> Path:
    root.mkdir()
    start = 0
    for i, size in enumerate(sizes):
        name = f"train-{i:05d}-of-{len(sizes):05d}.parquet"
        pq.write_table(table.slice(start, size), root / name, **options)
        start += size
    return root


def test_resharding_keeps_the_row_root(tmp_path: Path) -> None:
    table = rows(9)
    cuts = [
        shards(tmp_path / "one", table, [9]),
        shards(tmp_path / "three", table, [2, 3, 4], compression="zstd"),
        shards(tmp_path / "back", table.take(list(range(8, -1, -1))), [4, 5], row_group_size=2),
    ]
    made = [manifest_of(cut, tmp_path / f"{cut.name}.jsonl") for cut in cuts]
    assert len({m.row_root for m in made}) == 1
    assert len({m.root for m in made}) == 3
    assert {m.n_samples for m in made} == {9}


ROWS: dict[str, Callable[[pa.Table], pa.Table]] = {
    "dropped": lambda t: t.slice(1),
    "duplicated": lambda t: pa.concat_tables([t, t.slice(0, 1)]),
    "one for another": lambda t: pa.concat_tables([t.slice(1), t.slice(1, 1)]),
    "label": lambda t: t.set_column(1, "label", pa.array([1, 1, 0, 1])),
    "other column": lambda t: t.set_column(2, "note", pa.array(["n0", "n1", "n2", "x"])),
    "column renamed": lambda t: t.rename_columns(["image", "label", "notes"]),
}


@pytest.mark.parametrize("name", ROWS)
def test_any_change_of_a_row_changes_the_row_root(name: str, tmp_path: Path) -> None:
    table = rows(4)
    changed = ROWS[name](table)
    before = manifest_of(shards(tmp_path / "a", table, [4]), tmp_path / "a.jsonl")
    after = manifest_of(shards(tmp_path / "b", changed, [len(changed)]), tmp_path / "b.jsonl")
    assert after.row_root != before.row_root


def test_the_split_is_part_of_a_row(tmp_path: Path) -> None:
    table = rows(3)
    one = write_parquet(tmp_path / "a/train.parquet", dict(zip(table.column_names, table.columns,
                        strict=True))).parent  # fmt: skip
    other = tmp_path / "b"
    shutil.copytree(one, other)
    (other / "train.parquet").rename(other / "test.parquet")
    made = [manifest_of(p, tmp_path / f"{p.name}.jsonl").row_root for p in (one, other)]
    assert made[0] != made[1]


@given(st.lists(digests, min_size=1, max_size=30), st.randoms())
def test_row_root_of_any_order_is_the_obvious_one(values: list[bytes], random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    slow = hashlib.sha256(
        b"auditor manifest 1 rows\0" + len(values).to_bytes(8, "big") + b"".join(sorted(values))
    ).hexdigest()
    assert row_root(values) == row_root(shuffled) == slow


@given(st.lists(digests, max_size=20), digests)
def test_row_root_counts_every_copy(values: list[bytes], more: bytes) -> None:
    assert row_root([*values, more]) != row_root(values)
    assert row_root([*values, more, more]) != row_root([*values, more])


@pytest.mark.parametrize("tail", [b"\0", b"\0\0\0\0", b"\x01\0"])
def test_row_root_minds_trailing_zero_bytes(tail: bytes) -> None:
    values = [b"a" * (32 - len(tail)) + tail, b"a" * 31 + b"b", bytes(32)]
    assert row_root(values) == row_root(values[::-1])
    assert len({row_root([value]) for value in values}) == 3


def row_root(values: list[bytes]) -> str | None:
    hashed = RowHash()
    for value in values:
        hashed.add(value.hex())
    return hashed.root()


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1)


@given(st.lists(st.tuples(names, names), min_size=2, max_size=2, unique=True))
def test_no_two_entries_share_a_line(pairs: list[tuple[str, str]]) -> None:
    entries = [Entry(path, None, "sample", 1, "0" * 64, label=label) for path, label in pairs]
    lines = [line_of(entry) for entry in entries]
    assert lines[0] != lines[1]
    assert all(b"\n" not in line for line in lines)


def test_root_is_the_obvious_one() -> None:
    entries = [Entry("a", None, "file", 1, "0" * 64), Entry("b", None, "sample", 2, "1" * 64, "x")]
    hashed = RootHash()
    slow = b"auditor manifest 1 entries\0"
    for entry in entries:
        line = line_of(entry)
        hashed.add(entry, line)
        slow += len(line).to_bytes(8, "big") + line
    facts = Facts("image-folder", ("x",), {"label": "y"}).bound()
    text = json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()
    slow += b"\xff" * 8 + text
    assert hashed.root(facts) == hashlib.sha256(slow).hexdigest()


def test_labels_are_those_of_a_scan(dataset: Path, tmp_path: Path, read: Callable[..., object]
                                    ) -> None:  # fmt: skip
    made = manifest_of(dataset, tmp_path / "a.jsonl")
    ours = {e.path: (e.sha256, e.label, e.split) for e in made.entries() if e.kind == "sample"}
    samples = read(dataset).samples  # type: ignore[attr-defined]
    columns = ("uri", "sha256", "class_name", "split")
    theirs = {u: (h, c, s) for u, h, c, s in samples.select(columns).iter_rows()}
    assert ours == theirs


def test_rows_are_those_of_a_scan(tmp_path: Path, read: Callable[..., object]) -> None:
    root = shards(tmp_path / "data", rows(6), [2, 4])
    made = manifest_of(root, tmp_path / "a.jsonl")
    ours = [(e.path, e.record, e.sha256, e.label, e.split) for e in made.entries() if e.row]
    samples = read(root).samples  # type: ignore[attr-defined]
    assert ours == list(samples.select("uri", "record", "sha256", "class_name", "split").rows())


def test_the_written_manifest_reads_back(dataset: Path, tmp_path: Path) -> None:
    made = manifest_of(dataset, tmp_path / "a.jsonl")
    again = read_manifest(tmp_path / "a.jsonl")
    assert again == made
    entries = list(again.entries())
    assert [e.path for e in entries] == sorted(e.path for e in entries)
    assert (made.n_files, made.n_samples, made.row_root) == (8, 8, None)
