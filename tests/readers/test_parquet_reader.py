"""Parquet datasets in every layout, and files made to mislead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny import encode, features, picture, pictures, structs, write_folder, write_parquet

from auditor.errors import NothingToScanError, UsageError
from auditor.readers.parquet import FileInfo, inspect
from auditor.readers.parquet_rows import MAX_NAME, _class_name, _source

Read = Callable[..., Any]


def test_hugging_face_layout(tmp_path: Path, read: Read) -> None:
    path = write_parquet(
        tmp_path / "train.parquet", {"image": structs(pictures(4)), "label": [1, 0, 2, 1]},
        features({"label": ["cat", "dog", "emu", "fox"]}),
    )  # fmt: skip
    out = read(path)
    assert out.column("class_name") == ["dog", "cat", "emu", "dog"]
    assert out.column("label") == [1, 0, 2, 1]
    assert out.ledger.class_names == ("cat", "dog", "emu", "fox")
    assert out.column("split") == ["train"] * 4
    assert out.column("record") == [0, 1, 2, 3]
    assert out.column("uri") == ["train.parquet"] * 4


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_a_plain_binary_column(tmp_path: Path, read: Read, kind: pa.DataType) -> None:
    images = pa.array(pictures(3), kind)
    path = write_parquet(tmp_path / "t.parquet", {"data": images, "class": ["b", "a", "b"]})
    out = read(path)
    assert out.column("class_name") == ["b", "a", "b"]
    assert out.ledger.class_names == ("a", "b")
    assert out.column("split") == [None] * 3


def test_dictionary_encoded_string_labels(tmp_path: Path, read: Read) -> None:
    labels = pa.array(["x", None, "y", "x"]).dictionary_encode()
    path = write_parquet(tmp_path / "t.parquet", {"img": structs(pictures(4)), "label": labels})
    assert read(path).column("class_name") == ["x", None, "y", "x"]


@pytest.mark.parametrize(
    ("value", "names", "expected"),
    [
        (1, ["a", "b"], "b"),
        (1.0, ["a", "b"], "b"),
        (float("nan"), ["a", "b"], None),
        (-1, ["a", "b"], None),
        (5, ["a", "b"], "5"),
        (5, [], "5"),
        (-1, [], "-1"),
        (True, ["a", "b"], "True"),
        (b"caf\xc3\xa9", [], "café"),
        (b"\xff", [], "\\xff"),
        (None, ["a"], None),
        ("x" * 5000, [], "x" * MAX_NAME),
        (0.5, [], "0.5"),
    ],
)
def test_what_a_label_value_names(value: object, names: list[str], expected: str | None) -> None:
    assert _class_name(value, names) == expected


def test_labels_out_of_range_and_null(tmp_path: Path, read: Read) -> None:
    labels = pa.array([0, 7, None, -1], pa.int32())
    path = write_parquet(
        tmp_path / "t.parquet", {"image": structs(pictures(4)), "label": labels},
        features({"label": ["a", "b"]}),
    )  # fmt: skip
    out = read(path)
    assert out.column("class_name") == ["a", "7", None, None]
    assert out.ledger.class_names == ("a", "b", "7")


@pytest.mark.parametrize(
    "raw",
    [
        b"{broken",
        b"[]",
        b"{}",
        b'{"info": {"features": {"label": {"names": 3}}}}',
        b'{"info": {"features": [1]}}',
        b'{"info": {"features": {"elsewhere": {"names": ["a", "b"]}}}}',
        b'{"info": null}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_malformed_schema_metadata_is_no_hint(tmp_path: Path, read: Read, raw: bytes) -> None:
    columns = {"image": structs(pictures(2)), "label": [0, 1]}
    path = write_parquet(tmp_path / "t.parquet", columns, {b"huggingface": raw})
    out = read(path)
    assert out.column("class_name") == ["0", "1"]
    assert out.coverage.refused == 0


def test_hostile_class_names(tmp_path: Path, read: Read) -> None:
    names = ["same", "same", 3, None, "\ud800", ["x"]]
    path = write_parquet(
        tmp_path / "t.parquet", {"image": structs(pictures(6)), "label": list(range(6))},
        features({"label": names}),
    )  # fmt: skip
    out = read(path)
    assert out.samples.height == 6
    assert out.ledger.class_names == ("same", "3", "None", "\\ud800", "['x']")
    assert out.column("label")[:2] == [0, 0]


def test_millions_of_declared_classes_do_not_count(
    tmp_path: Path, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auditor.ingest.MAX_DECLARED", 50)
    path = write_parquet(
        tmp_path / "t.parquet", {"image": structs(pictures(2)), "label": [7, 3]},
        features({"label": [f"c{i}" for i in range(100)]}),
    )  # fmt: skip
    assert read(path).ledger.class_names == ("c3", "c7")


def test_the_declared_column_wins_over_a_usual_name(tmp_path: Path, read: Read) -> None:
    columns = {"image": structs(pictures(2)), "target": [0, 1], "species": [1, 0]}
    path = write_parquet(tmp_path / "t.parquet", columns, features({"species": ["a", "b"]}))
    assert read(path).column("class_name") == ["b", "a"]
    assert read(path, label="target").column("class_name") == ["0", "1"]


def test_shards_splits_and_nested_folders(tmp_path: Path, read: Read) -> None:
    images = pictures(6)
    for i, uri in enumerate(
        ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet",
         "test/deep/part.parquet"]
    ):  # fmt: skip
        write_parquet(
            tmp_path / uri, {"image": structs(images[2 * i : 2 * i + 2]), "label": ["a", "b"]}
        )
    (tmp_path / "README.md").write_text("x")
    out = read(tmp_path)
    assert out.column("split") == ["train"] * 4 + ["test"] * 2
    assert out.column("row") == list(range(6))
    assert out.column("record") == [0, 1] * 3
    assert out.coverage.not_samples == {".md": 1}


def test_one_huge_row_group_becomes_several_shards(tmp_path: Path, read: Read) -> None:
    images = pictures(5) * 460
    path = write_parquet(
        tmp_path / "t.parquet", {"image": structs(images), "label": [i % 5 for i in range(2300)]},
        row_group_size=2300,
    )  # fmt: skip
    out = read(path)
    assert [shard.known.height for shard in out.catalog.shards] == [1000, 1000, 300]
    assert out.column("record") == list(range(2300))
    assert out.column("class_name") == [str(i % 5) for i in range(2300)]
    first = out.ledger.views["pixels"][:5]
    assert np.array_equal(out.ledger.views["pixels"], np.tile(first, (460, 1, 1, 1)))


def test_a_column_of_paths_reads_files_once_and_nothing_outside(tmp_path: Path, read: Read) -> None:
    root = tmp_path / "set"
    (root / "images").mkdir(parents=True)
    for i, data in enumerate(pictures(2)):
        (root / "images" / f"{i}.png").write_bytes(data)
    secret = tmp_path / "secret.png"
    secret.write_bytes(encode(picture(9)))
    (root / "images" / "link.png").symlink_to(secret)
    (root / "out").symlink_to(tmp_path, target_is_directory=True)
    paths = ["images/0.png", "images/1.png", "../secret.png", str(secret), "images/link.png",
             "out/secret.png", "gone.png", "zero\0.png", "",
             str(root / "images" / "0.png")]  # fmt: skip
    write_parquet(root / "t.parquet", {"image_path": paths, "label": ["a"] * len(paths)})
    out = read(root)
    rows = out.samples.filter(out.samples["uri"] == "t.parquet")
    assert rows["refusal"].to_list() == [
        None, None, "path_escape", "path_escape", "path_escape", "path_escape", "unreadable_file",
        "missing_file", "no_image", None,
    ]  # fmt: skip
    others = out.samples.filter(out.samples["uri"] != "t.parquet")
    # The two images are the table's samples, not found a second time; the links are refused.
    assert sorted(others["uri"].to_list()) == ["images/link.png", "out"]
    assert set(others["refusal"].to_list()) == {"symbolic_link"}


def test_structs_with_paths_alone(tmp_path: Path, read: Read) -> None:
    write_folder(tmp_path, {"pics": 2})
    names = ["pics/000.png", "pics/001.png"]
    write_parquet(tmp_path / "t.parquet", {"image": structs([None, None], names), "label": [0, 1]})
    out = read(tmp_path)
    assert out.column("uri") == ["t.parquet"] * 2
    assert out.column("class_name") == ["0", "1"]


def test_cells_without_an_image(tmp_path: Path, read: Read) -> None:
    images = [None, b"", b"garbage", *pictures(1)]
    path = write_parquet(tmp_path / "t.parquet", {"image": pa.array(images, pa.binary())})
    assert read(path).column("refusal") == ["no_image", "empty", "not_an_image", None]


def test_broken_first_rows_do_not_hide_a_shard(tmp_path: Path, read: Read) -> None:
    write_parquet(tmp_path / "a.parquet", {"data": pa.array(pictures(2), pa.binary())})
    hidden = [b"junk"] * 8 + pictures(2, seed=50)
    write_parquet(tmp_path / "b.parquet", {"data": pa.array(hidden, pa.binary())})
    out = read(tmp_path)
    assert out.coverage.discovered == 12
    assert out.coverage.by_reason == {"not_an_image": 8}
    alone = write_parquet(tmp_path / "c" / "c.parquet", {"image": pa.array(hidden, pa.binary())})
    assert read(alone).coverage.discovered == 10


def test_files_without_images_or_rows_are_counted(tmp_path: Path, read: Read) -> None:
    write_parquet(tmp_path / "a.parquet", {"image": structs(pictures(1))})
    write_parquet(tmp_path / "text.parquet", {"text": ["a", "b"], "label": [0, 1]})
    write_parquet(tmp_path / "none.parquet", {"image": structs([])})
    (tmp_path / "empty.parquet").write_bytes(b"")
    (tmp_path / "fake.parquet").write_bytes(b"PAR1" + b"\xff" * 64 + b"PAR1")
    out = read(tmp_path)
    assert out.coverage.not_samples == {
        "Parquet file without an image column": 1, "Parquet file without rows": 1,
    }  # fmt: skip
    assert out.by_uri("refusal") == {
        "a.parquet": None, "empty.parquet": "unreadable_file", "fake.parquet": "unreadable_file",
    }  # fmt: skip


def test_only_text_is_nothing_to_scan(tmp_path: Path, fast_scan: Callable[..., Any]) -> None:
    path = write_parquet(tmp_path / "t.parquet", {"text": ["a", "b"], "label": [0, 1]})
    with pytest.raises(NothingToScanError, match="without an image column"):
        fast_scan(path)


def test_named_columns(tmp_path: Path, read: Read) -> None:
    columns = {
        "thumb": structs(pictures(2)), "image": structs(pictures(2, seed=9)),
        "who": ["https://a.example/1", "b"], "label": [0, 1], "other": ["u", "v"],
    }  # fmt: skip
    path = write_parquet(tmp_path / "t.parquet", columns)
    out = read(path, image="thumb", label="other", source="who")
    assert out.column("class_name") == ["u", "v"]
    assert out.column("source") == ["a.example", "b"]
    assert out.column("sha256") != read(path).column("sha256")
    for option in ("image", "label", "source"):
        with pytest.raises(UsageError, match=f"--{option} 'nope'"):
            read(path, **{option: "nope"})


def test_a_source_url_counts_by_host() -> None:
    assert _source("https://User@Example.org:8/x?y") == "example.org"
    assert _source("http://[broken") == "http://[broken"
    assert _source("alice") == "alice"
    assert _source(None) is None


def test_a_footer_that_announces_too_many_rows_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import auditor.readers.parquet_rows as rows

    path = write_parquet(tmp_path / "t.parquet", {"image": structs(pictures(3)), "n": [1, 2, 3]})
    monkeypatch.setattr(rows, "MAX_FREE_ROWS", 2)
    monkeypatch.setattr(Path, "stat", lambda self: type("S", (), {"st_size": 2})())
    with pytest.raises(pa.ArrowInvalid, match="announces 3 rows"):
        rows.describe({"path": str(path)})


def test_corrupt_pages_refuse_their_shard_alone(tmp_path: Path, read: Read) -> None:
    images = pictures(20)
    path = write_parquet(
        tmp_path / "t.parquet", {"image": pa.array(images, pa.binary())}, row_group_size=10,
        compression="none", use_dictionary=False,
    )  # fmt: skip
    chunk = pq.ParquetFile(path).metadata.row_group(1).column(0)
    data = bytearray(path.read_bytes())
    start = chunk.data_page_offset
    data[start : start + 8] = b"\xff" * 8
    path.write_bytes(bytes(data))
    out = read(path)
    assert out.column("refusal") == [None] * 10 + ["unreadable_pages"] * 10


def test_sample_columns_that_are_there_twice(tmp_path: Path, read: Read) -> None:
    table = pa.Table.from_arrays(
        [structs(pictures(2)), pa.array([0, 1]), pa.array([1, 0])], ["image", "label", "label"]
    )
    pq.write_table(table, tmp_path / "t.parquet")
    out = read(tmp_path / "t.parquet")
    assert out.coverage.scanned + out.coverage.refused == out.coverage.discovered
    assert out.coverage.refused > 0


def test_structure_comes_from_an_isolated_worker(tmp_path: Path) -> None:
    def ask(task: object) -> pa.Table:
        return pa.table({"info": ['{"row_groups": [[2, 9]], "columns": ["a"], "kinds": {}, '
                                  '"class_names": {"a": ["x"]}}']})  # fmt: skip

    expected = FileInfo(((2, 9),), ("a",), {}, {"a": ("x",)})
    assert inspect(str(tmp_path), ask) == expected


def test_times(tmp_path: Path, read: Read) -> None:
    """A column of times is read in every shard, and a broken one takes no sample away."""
    stamps = pa.array([1_714_564_800_000, None, 2**60], pa.timestamp("ms"))
    columns = {"image": structs(pictures(3)), "label": [0, 1, 0], "uploaded_at": stamps}
    out = read(write_parquet(tmp_path / "a" / "t.parquet", columns, row_group_size=2))
    assert [str(time) for time in out.column("time")] == ["2024-05-01 12:00:00", "None", "None"]
    raw = pa.array([b"soon"] * 8 + [b"\xff", b"2024-05-01"])
    texts = pa.Array.from_buffers(pa.string(), 10, raw.buffers())
    columns = {"image": structs(pictures(10)), "label": [0, 1] * 5, "uploaded_at": texts}
    out = read(write_parquet(tmp_path / "b" / "t.parquet", columns))
    assert [str(time) for time in out.column("time")] == ["None"] * 9 + ["2024-05-01 00:00:00"]
    assert out.coverage.scanned == 10
