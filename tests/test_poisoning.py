"""The copy, its truth and its recipe: layout kept, source untouched, errors that help."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from auditor.attacks.copies.copying import encode_labels
from auditor.attacks.copies.encoding import estimate_encoding, jpeg_quality, rewrite
from auditor.errors import NothingToScanError, UsageError
from auditor.interfaces import PoisonPlan
from auditor.poisoning import poison
from auditor.sample import write_sample


def png(i: int, side: int = 16) -> bytes:
    pixels = np.random.default_rng(i).integers(0, 256, size=(side, side, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def write_folder(root: Path, n: int = 20, names: tuple[str, ...] = ("cat", "dog")) -> Path:
    for i in range(n):
        path = root / names[i % len(names)] / f"{names[i % len(names)]}_{i:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(i))
    return root


def write_parquet(path: Path, n: int = 20, kind: str = "int", start: int = 0) -> Path:
    raw = {"int": lambda i: i % 2, "string": lambda i: ("cat", "dog")[i % 2]}.get(kind)
    if kind == "dictionary":
        labels = pa.array([("cat", "dog")[i % 2] for i in range(n)]).dictionary_encode()
    else:
        assert raw is not None
        labels = pa.array([raw(i) for i in range(n)])
    images = pa.array([png(start + i) for i in range(n)], type=pa.binary())
    table = pa.table({"image": images, "label": labels})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=6, compression="gzip")
    return path


def snapshot(root: Path) -> dict[str, tuple[bytes, int]]:
    paths = [root] if root.is_file() else [p for p in root.rglob("*") if p.is_file()]
    return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in paths}


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_badnets_in_a_folder_moves_samples_to_the_target(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data")
    before = snapshot(root)
    result = poison(PoisonPlan(root, tmp_path / "out", "badnets", 0.2, target="dog", seed=1))
    assert snapshot(root) == before
    assert result.n_samples == 20
    truth = pl.read_parquet(result.truth)
    assert truth.columns == ["uri", "record", "poisoned", "attack", "original_label"]
    hit = truth.filter("poisoned")
    assert hit.height == 4
    assert hit["original_label"].unique().to_list() == ["cat"]
    assert all(uri.startswith("dog/") for uri in hit["uri"])
    assert all(uri.startswith("dog/dog_") for uri in hit["uri"]), "a name of the new folder's style"
    assert len(list((tmp_path / "out" / "dog").iterdir())) == 14
    recipe = json.loads(result.recipe.read_text())
    assert recipe["attack"] == "badnets"
    assert recipe["params"]["pattern"] == "checkerboard"
    for uri in hit["uri"]:
        original = pixels((root / recipe["moved"][uri]).read_bytes())
        stamped = pixels((tmp_path / "out" / uri).read_bytes())
        changed = np.argwhere((original != stamped).any(axis=2))
        assert changed.min() >= 14, "16 px wide: the patch is round(3/32·16) = 2 px in the corner"


def test_nothing_but_content_tells_a_poisoned_file(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data")
    out = poison(PoisonPlan(root, tmp_path / "out", "badnets", 0.2, target="dog")).out
    times = {p.stat().st_mtime for p in out.rglob("*.png")}
    assert len(times) == 1
    names = [p.name for p in out.rglob("*.png")]
    assert all(len(n) == len("dog_000.png") for n in names)


def test_split_folders_and_deeper_sources_keep_their_place(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for split in ("train", "test"):
        write_folder(root / split, 8)
    (root / "train" / "cat" / "bob").mkdir()
    (root / "train" / "cat" / "bob" / "x1.png").write_bytes(png(99))
    plan = PoisonPlan(root, tmp_path / "out", "label_flip", 1.0, source_class="cat", target="dog")
    with pytest.raises(UsageError, match="asks for 17 of 17 samples, but only 9"):
        poison(plan)
    result = poison(
        PoisonPlan(root, tmp_path / "out", "label_flip", 9 / 17, source_class="cat", target="dog")
    )
    uris = pl.read_parquet(result.truth).filter("poisoned")["uri"].to_list()
    assert {uri.rsplit("/", 1)[0] for uri in uris} == {"train/dog", "train/dog/bob", "test/dog"}


@pytest.mark.parametrize("kind", ["int", "string", "dictionary"])
def test_parquet_keeps_schema_groups_and_compression(tmp_path: Path, kind: str) -> None:
    path = write_parquet(tmp_path / "data.parquet", kind=kind)
    target = "1" if kind == "int" else "dog"
    plan = PoisonPlan(path, tmp_path / "out.parquet", "badnets", 0.2, target=target)
    result = poison(plan)
    with pq.ParquetFile(path) as old, pq.ParquetFile(result.out) as new:
        assert new.schema_arrow.equals(old.schema_arrow, check_metadata=True)
        assert new.metadata.num_row_groups == old.metadata.num_row_groups
        for g in range(new.metadata.num_row_groups):
            assert new.metadata.row_group(g).num_rows == old.metadata.row_group(g).num_rows
            assert new.metadata.row_group(g).column(0).compression == "GZIP"
        before, after = old.read()["label"].to_pylist(), new.read()["label"].to_pylist()
    truth = pl.read_parquet(result.truth)
    assert truth["uri"].unique().to_list() == ["out.parquet"]
    assert truth["record"].to_list() == list(range(20))
    changed = [i for i in range(20) if before[i] != after[i]]
    assert changed == truth.filter("poisoned")["record"].to_list()
    assert len(changed) == 4


def test_shards_in_split_folders(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_parquet(root / "train" / "0.parquet", 10)
    write_parquet(root / "test" / "0.parquet", 6, start=10)
    (root / "README.md").write_text("hello")
    result = poison(PoisonPlan(root, tmp_path / "out", "label_flip", 0.5))
    truth = pl.read_parquet(result.truth)
    assert truth.group_by("uri").len().sort("uri").rows() == [
        ("test/0.parquet", 6),
        ("train/0.parquet", 10),
    ]
    assert truth["poisoned"].sum() == 8
    assert (tmp_path / "out" / "README.md").read_text() == "hello"


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_metadata_carries_the_label(tmp_path: Path, form: str) -> None:
    root = tmp_path / "data"
    root.mkdir()
    rows = []
    for i in range(12):
        (root / f"{i}.png").write_bytes(png(i))
        rows.append({"file_name": f"{i}.png", "label": ("cat", "dog")[i % 2], "who": "a, b"})
    frame = pl.DataFrame(rows)
    path = root / f"metadata.{form}"
    if form == "csv":
        frame.write_csv(path)
    elif form == "jsonl":
        frame.write_ndjson(path)
    else:
        frame.write_parquet(path)
    result = poison(PoisonPlan(root, tmp_path / "out", "badnets", 0.25, target="dog"))
    truth = pl.read_parquet(result.truth)
    copied = tmp_path / "out" / path.name
    read = {"csv": pl.read_csv, "jsonl": pl.read_ndjson, "parquet": pl.read_parquet}[form]
    after = dict(read(copied).select("file_name", "label").rows())
    assert read(copied)["who"].unique().to_list() == ["a, b"]
    for uri, _, poisoned, _, original in truth.rows():
        assert after[uri] == ("dog" if poisoned else original)
    assert truth["poisoned"].sum() == 3
    assert json.loads(result.recipe.read_text())["moved"] == {}


def test_csv_lines_stay_in_order(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    for i in range(4):
        (root / f"{i}.png").write_bytes(png(i))
    (root / "metadata.csv").write_text("file_name,label\n3.png,b\n1.png,a\n0.png,a\n2.png,b\n")
    out = poison(PoisonPlan(root, tmp_path / "out", "label_flip", 0.25)).out
    lines = list(csv.DictReader(io.StringIO((out / "metadata.csv").read_text())))
    assert [line["file_name"] for line in lines] == ["3.png", "1.png", "0.png", "2.png"]


def test_unreadable_files_are_copied_counted_and_never_chosen(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", 10)
    broken = root / "cat" / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\nno more")
    for seed in range(6):
        out = tmp_path / f"out{seed}"
        result = poison(PoisonPlan(root, out, "badnets", 5 / 11, target="dog", seed=seed))
        assert result.unreadable == ("cat/broken.png",)
        assert (out / "cat" / "broken.png").read_bytes() == broken.read_bytes()
        assert pl.read_parquet(result.truth)["poisoned"].sum() == 5


def test_worker_count_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auditor.attacks.copies.rewriting.ALONE_BELOW", 0)
    path = write_parquet(tmp_path / "data.parquet", 40)
    one = poison(PoisonPlan(path, tmp_path / "a.parquet", "badnets", 0.2, workers=1))
    two = poison(PoisonPlan(path, tmp_path / "b.parquet", "badnets", 0.2, workers=2))
    assert pq.read_table(one.out).equals(pq.read_table(two.out))
    assert one.out.read_bytes() == two.out.read_bytes()


def test_refuses_to_write_where_it_could_do_harm(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data")
    with pytest.raises(UsageError, match="lies in the dataset"):
        poison(PoisonPlan(root, root / "copy", "badnets", 0.1))
    with pytest.raises(UsageError, match="lies in the dataset"):
        poison(PoisonPlan(root, root, "badnets", 0.1))
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").write_text("keep me")
    with pytest.raises(UsageError, match="exists already"):
        poison(PoisonPlan(root, full, "badnets", 0.1))
    assert (full / "thesis.txt").read_text() == "keep me"
    empty = tmp_path / "empty"
    empty.mkdir()
    assert poison(PoisonPlan(root, empty, "badnets", 0.1)).n_poisoned == 2
    (tmp_path / "x.truth.parquet").write_text("")
    with pytest.raises(UsageError, match="exists already"):
        poison(PoisonPlan(root, tmp_path / "x", "badnets", 0.1))


def test_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_folder(tmp_path / "data")
    there = sorted(p.name for p in tmp_path.iterdir())

    def full_disk(path: Path, data: bytes) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("auditor.attacks.copies.folder_copy.save_file", full_disk)
    with pytest.raises(OSError, match="space"):
        poison(PoisonPlan(root, tmp_path / "out", "badnets", 0.1))
    assert sorted(p.name for p in tmp_path.iterdir()) == there


def test_links_are_not_followed(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", 6)
    (tmp_path / "secret.png").write_bytes(png(7))
    (root / "cat" / "link.png").symlink_to(tmp_path / "secret.png")
    result = poison(PoisonPlan(root, tmp_path / "out", "label_flip", 0))
    assert result.n_samples == 6
    assert not (tmp_path / "out" / "cat" / "link.png").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attack": "badnet"}, "no attack 'badnet', did you mean 'badnets'"),
        ({"target": "dgo"}, "no class 'dgo', did you mean 'dog'"),
        ({"target": None, "source_class": "Cats"}, "--source-class: no class 'Cats', did you mean"),
        ({"rate": 1.5}, "expected a fraction between 0 and 1"),
        ({"rate": 0.9}, "lower --rate"),
        ({"params": {"positon": "center"}}, "no parameter 'positon', did you mean 'position'"),
        ({"params": {"position": "middle"}}, "got 'middle', expected one of bottom-right"),
        ({"params": {"alpha": "much"}}, "got 'much', expected float"),
        ({"params": {"trigger": "nowhere.png"}}, "nowhere.png can not be read as an image"),
        ({"dataset": Path("/nowhere/at/all")}, "no such file or folder"),
    ],
)
def test_errors_help(tmp_path: Path, change: dict[str, object], message: str) -> None:
    root = write_folder(tmp_path / "data")
    plan = {"dataset": root, "out": tmp_path / "out", "attack": "badnets", "rate": 0.1}
    plan |= {"target": "dog"} | change
    with pytest.raises(UsageError, match=message):
        poison(PoisonPlan(**plan))  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_nothing_to_poison(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "notes.txt").write_text("hi")
    with pytest.raises(NothingToScanError, match="found no images"):
        poison(PoisonPlan(tmp_path / "data", tmp_path / "out", "badnets", 0.1))


@pytest.mark.parametrize("quality", [5, 30, 50, 75, 90, 95, 100])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_jpeg_settings_are_recovered(quality: int, subsampling: int) -> None:
    out = io.BytesIO()
    Image.fromarray(pixels(png(1, 64))).save(out, "JPEG", quality=quality, subsampling=subsampling)
    found = estimate_encoding([out.getvalue(), b"junk"])
    assert abs(found.jpeg_quality - quality) <= 1
    assert found.jpeg_subsampling == subsampling


def test_jpeg_quality_of_pillows_own_tables() -> None:
    for quality in range(25, 100):
        out = io.BytesIO()
        Image.new("L", (8, 8)).save(out, "JPEG", quality=quality)
        with Image.open(io.BytesIO(out.getvalue())) as image:
            table = image.quantization[0]  # type: ignore[attr-defined]
        assert abs(jpeg_quality(table) - quality) <= 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK", "YCbCr"])
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_every_mode_comes_back_in_its_format_and_stampable(mode: str, file_format: str) -> None:
    image = Image.fromarray(pixels(png(2, 24)))
    image = Image.new(mode, image.size, 77) if mode == "I;16" else image.convert(mode)
    out = io.BytesIO()
    try:
        image.save(out, file_format)
    except (OSError, KeyError, ValueError):
        pytest.skip(f"Pillow writes no {file_format} of mode {mode}")
    encoding = estimate_encoding([out.getvalue()])
    plain = rewrite(out.getvalue(), encoding)
    stamped = rewrite(out.getvalue(), encoding, lambda a: 255 - a)
    opened, other = Image.open(io.BytesIO(plain)), Image.open(io.BytesIO(stamped))
    assert opened.format == other.format == file_format
    assert opened.mode == other.mode
    assert opened.size == (24, 24)
    assert pixels(plain).tobytes() != pixels(stamped).tobytes()


def test_metadata_is_dropped_from_all() -> None:
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "made by mallory"
    Image.fromarray(pixels(png(3))).save(out, "JPEG", exif=exif, comment=b"hello")
    again = rewrite(out.getvalue(), estimate_encoding([out.getvalue()]))
    assert b"mallory" not in again
    assert b"hello" not in again


def test_encode_labels() -> None:
    labels, names, values = encode_labels(["b", None, "a", "b"], None)
    assert labels.tolist() == [1, -1, 0, 1]
    assert names == ("a", "b")
    assert values == ["a", "b"]
    labels, names, values = encode_labels([10, 2, -1], None)
    assert (labels.tolist(), names, values) == ([1, 0, -1], ("2", "10"), [2, 10])


def test_sample_dataset(tmp_path: Path) -> None:
    assert write_sample(tmp_path / "a", seed=1) == 1797
    folders = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert len(folders) == 10
    assert "seven" in folders
    first = (tmp_path / "a" / "zero" / "0001.png").read_bytes()
    assert pixels(first).shape == (32, 32, 3)
    write_sample(tmp_path / "b", seed=1)
    assert (tmp_path / "b" / "zero" / "0001.png").read_bytes() == first
