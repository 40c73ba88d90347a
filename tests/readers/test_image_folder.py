"""Image folders, with and without Hugging Face metadata: every file is accounted for."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import encode, picture, write_folder, write_parquet

from auditor.errors import UsageError

Read = Callable[..., Any]


def n_files(root: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(root))


def test_class_folders_at_any_depth(tmp_path: Path, read: Read) -> None:
    for uri in ("train/cat/a/1.png", "train/cat/b/2.png", "train/dog/3.png", "test/dog/4.png"):
        path = tmp_path / uri
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(picture(len(uri) + ord(uri[-5]))))
    out = read(tmp_path)
    assert out.by_uri("class_name") == {
        "test/dog/4.png": "dog", "train/cat/a/1.png": "cat", "train/cat/b/2.png": "cat",
        "train/dog/3.png": "dog",
    }  # fmt: skip
    assert out.column("split") == ["test", "train", "train", "train"]
    assert out.by_uri("source")["train/cat/a/1.png"] == "a"
    assert out.ledger.class_names == ("cat", "dog")
    assert out.column("row") == [0, 1, 2, 3]
    assert out.ledger.views["pixels"].shape == (4, 32, 32, 3)


def test_every_file_is_named_counted_or_refused(tmp_path: Path, read: Read) -> None:
    write_folder(tmp_path, {"a": 2})
    (tmp_path / "README.md").write_text("# pictures")
    (tmp_path / ".DS_Store").write_bytes(b"x")
    (tmp_path / "a" / "table.csv").write_text("a,b")
    (tmp_path / "a" / "photo.heic").write_bytes(b"ftypheic")
    (tmp_path / "a" / "LICENSE").write_text("free")
    (tmp_path / "a" / "no_suffix").write_bytes(encode(picture(9)))
    (tmp_path / "a" / "zero.png").write_bytes(b"")
    out = read(tmp_path)
    assert out.coverage.not_samples == {
        ".DS_Store": 1, ".csv": 1, ".md": 1, "LICENSE": 1,
    }  # fmt: skip
    assert out.coverage.by_reason == {"empty": 1, "unsupported_format": 1}
    assert out.coverage.discovered == out.coverage.scanned + out.coverage.refused == 5
    assert out.coverage.discovered + sum(out.coverage.not_samples.values()) == n_files(tmp_path)
    assert out.by_uri("format")["a/no_suffix"] == "PNG"


def test_unlabelled_images_and_one_alone(tmp_path: Path, read: Read) -> None:
    (tmp_path / "1.png").write_bytes(encode(picture(1)))
    (tmp_path / "2.png").write_bytes(encode(picture(2)))
    assert read(tmp_path).column("label") == [None, None]
    assert read(tmp_path).ledger.class_names == ()
    assert read(tmp_path / "1.png").column("uri") == ["1.png"]


def test_numbered_classes_count_by_value(tmp_path: Path, read: Read) -> None:
    write_folder(tmp_path, {"10": 1, "9": 1, "-1": 1, "x": 1})
    assert read(tmp_path).ledger.class_names == ("-1", "9", "10", "x")


def metadata_folder(root: Path, kind: str, rows: list[dict[str, object]]) -> Path:
    (root / "train").mkdir(parents=True)
    for i in range(3):
        (root / "train" / f"{i}.png").write_bytes(encode(picture(i)))
    path = root / "train" / f"metadata.{kind}"
    if kind == "csv":
        lines = [",".join(rows[0]), *(",".join(str(v) for v in row.values()) for row in rows)]
        path.write_text("\n".join(lines) + "\n")
    elif kind == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows))
    else:
        write_parquet(path, {name: [row[name] for row in rows] for name in rows[0]})
    return root


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_hugging_face_metadata(tmp_path: Path, read: Read, kind: str) -> None:
    rows: list[dict[str, object]] = [
        {"file_name": f"{i}.png", "label": f"c{i % 2}", "source": "https://a.example/x/1"}
        for i in range(3)
    ]
    out = read(metadata_folder(tmp_path, kind, rows))
    assert out.column("class_name") == ["c0", "c1", "c0"]
    assert out.column("split") == ["train"] * 3
    assert out.coverage.not_samples == {"metadata file": 1}


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_metadata_that_points_elsewhere_is_refused(tmp_path: Path, read: Read, kind: str) -> None:
    names = ["../../etc/passwd", "/etc/passwd", "gone.png", "0.png", "../train/1.png", ".."]
    rows: list[dict[str, object]] = [{"file_name": name, "label": "x"} for name in names]
    out = read(metadata_folder(tmp_path, kind, rows))
    refused = {uri: reason for uri, reason in out.by_uri("refusal").items() if reason is not None}
    assert refused == {
        "../etc/passwd": "path_escape", "/etc/passwd": "path_escape",
        "train/gone.png": "missing_file", ".": "missing_file",
    }  # fmt: skip
    assert out.by_uri("class_name")["train/0.png"] == "x"
    assert out.by_uri("class_name")["train/1.png"] == "x"
    assert out.by_uri("class_name")["train/2.png"] is None  # unknown to the metadata
    assert out.coverage.scanned == 3


def test_metadata_labels_are_text_whatever_they_look_like(tmp_path: Path, read: Read) -> None:
    labels = ["007", "7", "2024-01-01"]
    rows: list[dict[str, object]] = [
        {"file_name": f"{i}.png", "label": label} for i, label in enumerate(labels)
    ]
    assert read(metadata_folder(tmp_path, "csv", rows)).column("class_name") == labels


def test_metadata_without_labels_does_not_take_the_folders_labels_away(
    tmp_path: Path, read: Read
) -> None:
    write_folder(tmp_path, {"cat": 2, "dog": 2})
    (tmp_path / "metadata.csv").write_text("file_name,caption\ncat/000.png,a cat\n")
    assert read(tmp_path).column("class_name") == ["cat", "cat", "dog", "dog"]


def test_a_file_that_only_metadata_calls_an_image_is_refused(tmp_path: Path, read: Read) -> None:
    write_folder(tmp_path, {"a": 1})
    (tmp_path / "a" / "notes.txt").write_text("no image")
    (tmp_path / "metadata.csv").write_text("file_name,label\na/000.png,a\na/notes.txt,a\n")
    out = read(tmp_path)
    assert out.coverage.by_reason == {"not_an_image": 1}
    assert out.coverage.discovered + sum(out.coverage.not_samples.values()) == n_files(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metadata.csv", b"no,such\n1,2\n"),
        ("metadata.csv", b'file_name,label\n"unclosed'),
        ("metadata.csv", b"file_name,file_name\na,b\n"),
        ("metadata.csv", b""),
        ("metadata.jsonl", b'{"file_name": "0.png"}\n{broken'),
        ("metadata.jsonl", b"[1, 2]"),
        ("metadata.parquet", b"PAR1 no parquet PAR1"),
        ("metadata.csv", b"file_name,label\n\xff\xfe,\xff\n"),
    ],
)
def test_broken_metadata_is_refused_and_counted_once(
    tmp_path: Path, read: Read, name: str, content: bytes
) -> None:
    write_folder(tmp_path, {"a": 1})
    (tmp_path / name).write_bytes(content)
    out = read(tmp_path)
    assert out.by_uri("refusal")[name] == "unreadable_metadata"
    assert out.coverage.discovered + sum(out.coverage.not_samples.values()) == n_files(tmp_path)
    assert out.by_uri("class_name")["a/000.png"] == "a"


def test_a_column_that_no_table_can_have_is_a_usage_error(tmp_path: Path, read: Read) -> None:
    write_folder(tmp_path, {"a": 1})
    with pytest.raises(UsageError, match="--label 'breed'"):
        read(tmp_path, label="breed")
    (tmp_path / "metadata.csv").write_text("file_name,kind\na/000.png,cat\n")
    with pytest.raises(UsageError, match="it has file_name, kind"):
        read(tmp_path, label="breed")
    assert read(tmp_path, label="kind").column("class_name") == ["cat"]


def test_names_meant_to_deceive_arrive_as_data(tmp_path: Path, read: Read) -> None:
    name = "\x1b[2J<script>::error::\u202e{x}\n%s"
    write_folder(tmp_path, {name: 1, "b": 1})
    (tmp_path / "b" / os.fsdecode(b"\xff.png")).write_bytes(encode(picture(5)))
    out = read(tmp_path)
    assert set(out.ledger.class_names) == {"b", name}
    assert "b/\\xff.png" in out.column("uri")
    assert out.coverage.refused == 0


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_times_in_metadata(tmp_path: Path, read: Read, kind: str) -> None:
    times = ["2024-05-01T12:00:00Z", "2024-05-01T12:00:00Z", "2024-05-02T00:00:00Z"]
    rows: list[dict[str, object]] = [
        {"file_name": f"{i}.png", "label": "a", "created_at": time} for i, time in enumerate(times)
    ]
    out = read(metadata_folder(tmp_path, kind, rows))
    assert [str(time) for time in out.column("time")] == [
        "2024-05-01 12:00:00", "2024-05-01 12:00:00", "2024-05-02 00:00:00",
    ]  # fmt: skip
