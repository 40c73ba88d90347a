"""The ledger and its fingerprint: bound to content, blind to everything else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import encode, features, picture, pictures, structs, write_folder, write_parquet

from auditor.engines import WorkerPool
from auditor.engines.wire import REPLY
from auditor.errors import InternalError
from auditor.features.store import open_store
from auditor.ingest import fingerprint, ingest, open_catalog
from auditor.readers import Columns, walk
from auditor.tables import MEASURES, SAMPLES

Read = Callable[..., Any]


def mark(read: Read, path: Path) -> str:
    return str(read(path).ledger.fingerprint)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "set", {"cat": 2, "dog": 2})


def test_moving_the_folder_keeps_the_fingerprint(folder: Path, tmp_path: Path, read: Read) -> None:
    before = mark(read, folder)
    moved = tmp_path / "elsewhere" / "renamed"
    moved.parent.mkdir()
    shutil.move(folder, moved)
    assert mark(read, moved) == before


def test_moving_a_file_between_classes_changes_it(folder: Path, read: Read) -> None:
    before = mark(read, folder)
    shutil.move(folder / "cat" / "001.png", folder / "dog" / "002.png")
    assert mark(read, folder) != before


def test_swapping_two_files_changes_it(folder: Path, read: Read) -> None:
    before = mark(read, folder)
    one, other = folder / "cat" / "000.png", folder / "dog" / "000.png"
    a, b = one.read_bytes(), other.read_bytes()
    one.write_bytes(b)
    other.write_bytes(a)
    assert mark(read, folder) != before


def test_one_byte_changes_it_even_where_no_pixel_does(folder: Path, read: Read) -> None:
    before = mark(read, folder)
    path = folder / "cat" / "000.png"
    path.write_bytes(path.read_bytes() + b"\0")
    out = read(folder)
    assert out.ledger.fingerprint != before
    assert out.coverage.refused == 0


def test_adding_removing_and_renaming_change_it(folder: Path, read: Read) -> None:
    marks = {mark(read, folder)}
    (folder / "cat" / "new.png").write_bytes(encode(picture(99)))
    marks.add(mark(read, folder))
    (folder / "cat" / "new.png").rename(folder / "cat" / "other.png")
    marks.add(mark(read, folder))
    (folder / "dog" / "000.png").unlink()
    marks.add(mark(read, folder))
    (folder / "link.png").symlink_to(folder / "cat" / "000.png")
    marks.add(mark(read, folder))
    assert len(marks) == 5


def test_label_split_and_row_order_of_a_table_change_it(tmp_path: Path, read: Read) -> None:
    images = pictures(3)
    marks = set()
    for i, (labels, order, name) in enumerate(
        [([0, 1, 0], [0, 1, 2], "data"), ([0, 1, 1], [0, 1, 2], "data"),
         ([0, 1, 0], [2, 1, 0], "data"), ([0, 1, 0], [0, 1, 2], "train")]
    ):  # fmt: skip
        columns = {"image": structs([images[j] for j in order]), "label": labels}
        path = write_parquet(tmp_path / str(i) / f"{name}.parquet", columns)
        marks.add(mark(read, path))
    assert len(marks) == 4


def test_compression_of_a_table_does_not_change_it(tmp_path: Path, read: Read) -> None:
    columns = {"image": structs(pictures(3)), "label": [0, 1, 0]}
    one = write_parquet(tmp_path / "a" / "t.parquet", columns, compression="snappy")
    other = write_parquet(
        tmp_path / "b" / "t.parquet", columns, compression="gzip", row_group_size=2
    )
    assert mark(read, one) == mark(read, other)


TEXT = st.one_of(st.none(), st.text(alphabet="a:,-\n1", max_size=3))
ROWS = st.lists(st.tuples(TEXT, st.one_of(st.none(), st.integers(0, 3)), TEXT, TEXT, TEXT, TEXT))


def table(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    names = ["uri", "record", "sha256", "refusal", "class_name", "split"]
    kinds = {name: SAMPLES[name] for name in names}
    return pl.DataFrame(rows, schema=kinds, orient="row")


@settings(max_examples=80, deadline=None)
@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_count(rows: list[tuple[Any, ...]], random: Any) -> None:
    rows = list({row[:2]: row for row in rows}.values())  # a sample is named by (uri, record)
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert fingerprint(table(rows)) == fingerprint(table(shuffled))


@settings(max_examples=80, deadline=None)
@given(ROWS, ROWS)
def test_different_tables_have_different_fingerprints(
    one: list[tuple[Any, ...]], other: list[tuple[Any, ...]]
) -> None:
    same = sorted(map(repr, one)) == sorted(map(repr, other))
    assert (fingerprint(table(one)) == fingerprint(table(other))) == same


def test_the_fingerprint_equals_its_slow_twin() -> None:
    import hashlib

    rows = [("b", 1, "s", None, "cat", None), ("a", None, None, "gone", None, "train")]
    lines = []
    for row in sorted(rows):
        fields = ["-" if v is None else f"{len(str(v).encode())}:{v}" for v in row]
        lines.append(",".join(fields) + "\n")
    expected = hashlib.sha256("".join(lines).encode()).hexdigest()
    assert fingerprint(table(rows)) == expected


def test_the_ledger_has_its_schema_and_views_in_row_order(folder: Path, read: Read) -> None:
    (folder / "cat" / "000b.png").write_bytes(b"junk")
    out = read(folder)
    assert dict(out.samples.schema) == {**SAMPLES, **MEASURES}
    assert out.column("row") == list(range(5))
    scanned = out.ledger.scanned
    assert out.ledger.views["pixels"].shape == (4, 32, 32, 3)
    for place, row in enumerate(scanned.iter_rows(named=True)):
        mean = out.ledger.views["pixels"][place].astype(float) @ [0.299, 0.587, 0.114]
        assert row["luma_mean"] == pytest.approx(mean.mean(), abs=0.01)


def test_copies_within_a_shard_are_decoded_once(tmp_path: Path, pool: WorkerPool) -> None:
    images = pictures(2) * 3
    path = write_parquet(tmp_path / "t.parquet", {"image": structs(images)})
    (shard,) = open_catalog(walk(path), Columns(), pool).shards
    assert pool.run(shard.task)["decoded"].to_pylist() == [0, 1, 0, 1, 0, 1]


def test_declared_order_of_classes_is_kept_whatever_the_labels(tmp_path: Path, read: Read) -> None:
    columns = {"image": structs(pictures(3)), "label": [2, 2, 0]}
    path = write_parquet(tmp_path / "t.parquet", columns, features({"label": ["z", "m", "a"]}))
    out = read(path)
    assert out.ledger.class_names == ("z", "m", "a")
    assert out.column("label") == [2, 2, 0]


def test_a_worker_that_answers_too_little_is_not_believed(folder: Path, pool: WorkerPool) -> None:
    class Liar:
        def run(self, task: Any) -> pa.Table:
            return pool.run(task)

        def imap(self, tasks: Any) -> Any:
            return (REPLY.empty_table() for _ in tasks)

    with open_store(None, "x") as store:
        catalog = open_catalog(walk(folder), Columns(), pool)
        with pytest.raises(InternalError, match="0 samples of a shard of 4"):
            ingest(catalog, Liar(), store, lambda done, total: None)  # type: ignore[arg-type]


def test_progress_ends_at_the_total(folder: Path, pool: WorkerPool) -> None:
    heard: list[tuple[int, int]] = []
    with open_store(None, "x") as store:
        catalog = open_catalog(walk(folder), Columns(), pool)
        ingest(catalog, pool, store, lambda done, total: heard.append((done, total)))
    assert heard[-1] == (4, 4)


def test_views_of_equal_bytes_are_equal(tmp_path: Path, read: Read) -> None:
    data = encode(picture(1))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.png").write_bytes(data)
    views = read(tmp_path).ledger.views
    assert np.array_equal(views["pixels"][0], views["pixels"][1])
    assert np.array_equal(views["texture"][0], views["texture"][1])
