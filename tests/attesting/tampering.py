"""Ways to alter a dataset after it was scanned; each says what a message must name."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tiny import encode, picture


@dataclass(frozen=True, slots=True)
class Tampering:
    """One way: on which dataset, what is done, and what the guard's message must name."""

    name: str
    kind: str
    do: Callable[[Path], object]
    names: str


def _append(path: Path, data: bytes) -> None:
    path.write_bytes(path.read_bytes() + data)


def _flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def _quietly(path: Path, do: Callable[[], object]) -> None:
    """Change a file and put its times back."""
    times = path.stat()
    do()
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def _swap(one: Path, other: Path) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def _replace_by_link(path: Path) -> None:
    aside = path.with_name("aside.png")
    path.rename(aside)
    path.symlink_to(aside.name)


def _link_folder(path: Path, outside: Path) -> None:
    path.rename(outside)
    path.symlink_to(outside)


def _rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    table = pq.read_table(path)
    pq.write_table(change(table), path, row_group_size=12)


def _set(table: pa.Table, column: str, values: list[object]) -> pa.Table:
    place = table.schema.get_field_index(column)
    kind = table.schema.field(column)
    return table.set_column(place, kind, pa.array(values, kind.type))


def _relabel_row(table: pa.Table) -> pa.Table:
    labels = table["label"].to_pylist()
    return _set(table, "label", [1 - labels[0], *labels[1:]])


def _swap_images(table: pa.Table) -> pa.Table:
    images = table["image"].to_pylist()
    return _set(table, "image", [images[1], images[0], *images[2:]])


def _stamp_image(table: pa.Table) -> pa.Table:
    images = table["image"].to_pylist()
    return _set(table, "image", [{"bytes": encode(picture(999)), "path": "0.png"}, *images[1:]])


def _rename_classes(table: pa.Table) -> pa.Table:
    metadata = {
        key: value.replace(b'["cat", "dog"]', b'["dog", "cat"]')
        for key, value in (table.schema.metadata or {}).items()
    }
    return table.replace_schema_metadata(metadata)


CAT, DOG = "train/cat/000.png", "train/dog/000.png"

TAMPERINGS = (
    Tampering("a byte changed", "images", lambda d: _flip(d / CAT, 100), CAT),
    Tampering("a byte changed, times put back", "images",
              lambda d: _quietly(d / CAT, lambda: _flip(d / CAT, 100)), CAT),
    Tampering("the last byte changed", "images", lambda d: _flip(d / CAT, -1), CAT),
    Tampering("a byte appended", "images", lambda d: _append(d / CAT, b"\0"), CAT),
    Tampering("truncated", "images",
              lambda d: (d / CAT).write_bytes((d / CAT).read_bytes()[:-1]), CAT),
    Tampering("emptied", "images", lambda d: (d / CAT).write_bytes(b""), CAT),
    Tampering("replaced by another picture", "images",
              lambda d: (d / CAT).write_bytes(encode(picture(999))), CAT),
    Tampering("encoded anew, same pixels", "images",
              lambda d: (d / CAT).write_bytes(encode(picture(0), compress_level=1)), CAT),
    Tampering("removed", "images", lambda d: (d / CAT).unlink(), CAT),
    Tampering("renamed", "images", lambda d: (d / CAT).rename(d / "train/cat/new.png"), CAT),
    Tampering("relabelled: moved to another class", "images",
              lambda d: (d / CAT).rename(d / "train/dog/moved.png"), "label 'cat'"),
    Tampering("two samples of two classes exchanged", "images",
              lambda d: _swap(d / CAT, d / DOG), "label 'dog'"),
    Tampering("two samples of one class exchanged", "images",
              lambda d: _swap(d / CAT, d / "train/cat/001.png"), "train/cat/001.png"),
    Tampering("moved to another split", "images",
              lambda d: (d / CAT).rename(d / "test/cat/moved.png"), CAT),
    Tampering("a sample added", "images",
              lambda d: (d / "train/cat/new.png").write_bytes(encode(picture(999))), "new.png"),
    Tampering("a sample doubled", "images",
              lambda d: (d / "train/dog/copy.png").write_bytes((d / CAT).read_bytes()),
              "label 'cat'"),
    Tampering("a class added", "images",
              lambda d: ((d / "train/bird").mkdir(),
                         (d / "train/bird/0.png").write_bytes(encode(picture(999)))), "bird"),
    Tampering("a class renamed", "images",
              lambda d: (d / "train/cat").rename(d / "train/kitten"), "label 'cat'"),
    Tampering("a hidden picture added", "images",
              lambda d: (d / "train/cat/.x.png").write_bytes(encode(picture(999))), ".x.png"),
    Tampering("a file replaced by a link", "images", lambda d: _replace_by_link(d / CAT), CAT),
    Tampering("a folder replaced by a link", "images",
              lambda d: _link_folder(d / "train/cat", d.parent / "elsewhere"), "train/cat"),
    Tampering("a file replaced by a pipe", "images",
              lambda d: ((d / CAT).unlink(), os.mkfifo(d / CAT)), CAT),
    Tampering("a file replaced by a folder", "images",
              lambda d: ((d / CAT).unlink(), (d / CAT).mkdir(),
                         (d / CAT / "0.png").write_bytes(b"x")), CAT),
    Tampering("a script added", "images",
              lambda d: (d / "load.py").write_text("pass\n"), "load.py"),
    Tampering("a file that is no sample changed", "images",
              lambda d: _flip(d / "README.md", 0), "README.md"),
    Tampering("a label in the metadata changed", "metadata",
              lambda d: (d / "metadata.csv").write_text(
                  (d / "metadata.csv").read_text().replace("0.png,dog", "0.png,cat", 1)),
              "metadata.csv"),
    Tampering("two labels in the metadata exchanged, same size", "metadata",
              lambda d: (d / "metadata.csv").write_text(
                  (d / "metadata.csv").read_text().replace("s/0.png,dog", "s/0.png,XXX", 1)
                  .replace("s/1.png,cat", "s/1.png,dog", 1).replace("XXX", "cat", 1)),
              "metadata.csv"),
    Tampering("the metadata removed", "metadata",
              lambda d: (d / "metadata.csv").unlink(), "metadata.csv"),
    Tampering("a second metadata file added", "metadata",
              lambda d: (d / "images/metadata.csv").write_text("file_name,label\n0.png,cat\n"),
              "images/metadata.csv"),
    Tampering("a row's picture changed", "table",
              lambda d: _rewrite(d / "train.parquet", _stamp_image), "train.parquet"),
    Tampering("a row's label changed", "table",
              lambda d: _rewrite(d / "train.parquet", _relabel_row), "train.parquet"),
    Tampering("two rows' pictures exchanged", "table",
              lambda d: _rewrite(d / "train.parquet", _swap_images), "train.parquet"),
    Tampering("a row removed", "table",
              lambda d: _rewrite(d / "train.parquet", lambda t: t.slice(1)), "train.parquet"),
    Tampering("a row doubled", "table",
              lambda d: _rewrite(d / "train.parquet",
                                 lambda t: pa.concat_tables([t, t.slice(0, 1)])), "train.parquet"),
    Tampering("rows reordered", "table",
              lambda d: _rewrite(d / "train.parquet",
                                 lambda t: t.take(list(range(t.num_rows))[::-1])), "train.parquet"),
    Tampering("another column changed", "table",
              lambda d: _rewrite(d / "train.parquet",
                                 lambda t: _set(t, "note", ["x"] * t.num_rows)), "train.parquet"),
    Tampering("the names of the classes exchanged", "table",
              lambda d: _rewrite(d / "train.parquet", _rename_classes), "train.parquet"),
    Tampering("a byte of the file changed", "table",
              lambda d: _flip(d / "train.parquet", 2000), "train.parquet"),
    Tampering("a shard added", "table",
              lambda d: (d / "more.parquet").write_bytes((d / "train.parquet").read_bytes()),
              "more.parquet"),
    Tampering("the shard renamed", "table",
              lambda d: (d / "train.parquet").rename(d / "test.parquet"), "test.parquet"),
)  # fmt: skip
"""In all, each detected by ``verify`` and by the guard."""
