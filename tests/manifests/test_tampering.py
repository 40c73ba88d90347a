"""Ways to alter a dataset behind a manifest's back: each is found, and its item is named."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny import features, pictures, structs, write_folder, write_parquet

from auditor.manifests import Verification, create_manifest, index, quick_verify, verify_manifest

CAT = Path("train/cat/000.png")
DOG = Path("train/dog/000.png")


def folder(root: Path) -> Path:
    """Two splits of two classes, and files that are no samples."""
    write_folder(root / "train", {"cat": 4, "dog": 4})
    write_folder(root / "test", {"cat": 2, "dog": 2}, seed=500)
    (root / "README.md").write_text("about\n")
    (root / ".hidden").write_text("hidden\n")
    return root


def captioned(root: Path) -> Path:
    """Images whose labels stand in a metadata.csv."""
    root.mkdir()
    for i, data in enumerate(pictures(4)):
        (root / f"{i}.png").write_bytes(data)
    rows = ["file_name,label,author", "0.png,cat,ann", "1.png,cat,ann", "2.png,dog,bob"]
    (root / "metadata.csv").write_text("\n".join([*rows, "3.png,dog,bob"]) + "\n")
    return root


def table(root: Path) -> Path:
    """Two Parquet shards of five rows."""
    for shard in range(2):
        write_parquet(root / f"train-0000{shard}-of-00002.parquet", columns(shard), LABELS)
    return root


LABELS = features({"label": ["cat", "dog"]})


def columns(shard: int) -> dict[str, object]:
    return {
        "image": structs(pictures(5, seed=100 * shard)),
        "label": pa.array([0, 1, 0, 1, 0]),
        "caption": [f"a picture {shard} {i}" for i in range(5)],
    }


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table], **options: object) -> None:
    """Replace a Parquet file by a changed one."""
    changed = change(pq.read_table(path))
    path.unlink()
    pq.write_table(changed, path, **options)


def flip(path: Path, at: int = 40) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def keep_times(path: Path, change: Callable[[Path], None]) -> None:
    """Alter a file and put its times back, as a careful forger does."""
    before = path.stat()
    change(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert path.stat().st_size == before.st_size


def swap(root: Path) -> None:
    (root / CAT).rename(root / "x")
    (root / DOG).rename(root / CAT)
    (root / "x").rename(root / DOG)


def replace_by_link(root: Path) -> None:
    (root / CAT).rename(root.parent / "elsewhere.png")
    (root / CAT).symlink_to(root.parent / "elsewhere.png")


def replace_by_folder(root: Path) -> None:
    (root / CAT).unlink()
    (root / CAT).mkdir()


def replace_by_pipe(root: Path) -> None:
    (root / CAT).unlink()
    os.mkfifo(root / CAT)


def case_rename(root: Path) -> None:
    (root / CAT).rename((root / CAT).with_name("000.PNG"))


FOLDER: dict[str, tuple[Callable[[Path], object], set[tuple[str, str]]]] = {
    "byte flipped": (lambda r: flip(r / CAT), {("changed", str(CAT))}),
    "truncated": (lambda r: os.truncate(r / CAT, 50), {("changed", str(CAT))}),
    "appended": (
        lambda r: (r / CAT).write_bytes((r / CAT).read_bytes() + b"tail"),
        {("changed", str(CAT))},
    ),
    "emptied": (lambda r: (r / CAT).write_bytes(b""), {("changed", str(CAT))}),
    "swapped": (swap, {("relabelled", str(CAT)), ("relabelled", str(DOG))}),
    "moved between classes": (
        lambda r: (r / CAT).rename(r / "train/dog/new.png"),
        {("relabelled", "train/dog/new.png")},
    ),
    "moved between splits": (
        lambda r: (r / CAT).rename(r / "test/cat/new.png"),
        {("resplit", "test/cat/new.png")},
    ),
    "renamed": (
        lambda r: (r / CAT).rename(r / "train/cat/new.png"),
        {("moved", "train/cat/new.png")},
    ),
    "renamed in case": (case_rename, {("moved", "train/cat/000.PNG")}),
    "deleted": (lambda r: (r / CAT).unlink(), {("missing", str(CAT))}),
    "added": (
        lambda r: (r / "train/cat/new.png").write_bytes(pictures(1, 999)[0]),
        {("extra", "train/cat/new.png")},
    ),
    "duplicated": (
        lambda r: shutil.copy(r / CAT, r / "train/cat/copy.png"),
        {("duplicated", "train/cat/copy.png")},
    ),
    "split folder renamed": (
        lambda r: (r / "test").rename(r / "valid"),
        {("resplit", f"valid/{c}/00{i}.png") for c in ("cat", "dog") for i in range(2)},
    ),
    "class folder renamed": (
        lambda r: (r / "train/cat").rename(r / "train/ship"),
        {("relabelled", f"train/ship/00{i}.png") for i in range(4)},
    ),
    "link in its place": (replace_by_link, {("replaced", str(CAT))}),
    "folder in its place": (replace_by_folder, {("replaced", str(CAT))}),
    "pipe in its place": (replace_by_pipe, {("replaced", str(CAT))}),
    "same size, same mtime": (
        lambda r: keep_times(r / CAT, flip),
        {("changed", str(CAT))},
    ),
    "script added": (
        lambda r: (r / "dataset.py").write_text("import os\n"),
        {("extra", "dataset.py")},
    ),
    "hidden file added": (lambda r: (r / ".x").write_text("x"), {("extra", ".x")}),
    "hidden file changed": (lambda r: (r / ".hidden").write_text("Hidden\n"), {
        ("changed", ".hidden")}),
    "readme changed": (lambda r: flip(r / "README.md", 0), {("changed", "README.md")}),
    "link added": (lambda r: (r / "more").symlink_to("/etc"), {("extra", "more")}),
}  # fmt: skip

CAPTIONED: dict[str, tuple[Callable[[Path], object], set[tuple[str, str]]]] = {
    "label in metadata.csv": (
        lambda r: _edit(r / "metadata.csv", "1.png,cat", "1.png,dog"),
        {("changed", "metadata.csv"), ("relabelled", "1.png")},
    ),
    "source in metadata.csv": (
        lambda r: _edit(r / "metadata.csv", "1.png,cat,ann", "1.png,cat,eve"),
        {("changed", "metadata.csv"), ("resourced", "1.png")},
    ),
    "metadata.csv deleted": (
        lambda r: (r / "metadata.csv").unlink(),
        {("missing", "metadata.csv"), *(("relabelled", f"{i}.png") for i in range(4))},
    ),
}


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def set_column(name: str, values: list[object]) -> Callable[[pa.Table], pa.Table]:
    def change(found: pa.Table) -> pa.Table:
        place = found.schema.get_field_index(name)
        column = pa.array(values, found.schema.field(place).type)
        return found.set_column(place, found.schema.field(place), column)

    return change


SHARD = "train-00000-of-00002.parquet"

PARQUET: dict[str, tuple[Callable[[Path], object], set[tuple[str, str, int | None]]]] = {
    "row dropped": (
        lambda r: rewrite(r / SHARD, lambda t: pa.concat_tables([t.slice(0, 2), t.slice(3)])),
        {("missing", SHARD, 2)},
    ),
    "row duplicated": (
        lambda r: rewrite(r / SHARD, lambda t: pa.concat_tables([t, t.slice(1, 1)])),
        {("duplicated", SHARD, 5)},
    ),
    "rows reordered": (
        lambda r: rewrite(r / SHARD, lambda t: t.take([1, 0, 2, 3, 4])),
        {("reordered", SHARD, None)},
    ),
    "row relabelled": (
        lambda r: rewrite(r / SHARD, set_column("label", [0, 1, 0, 1, 1])),
        {("relabelled", SHARD, 4)},
    ),
    "other column": (
        lambda r: rewrite(r / SHARD, set_column("caption", [f"a picture 0 {i}" for i in range(4)]
                                                + ["another"])),
        {("columns", SHARD, 4)},
    ),
    "image replaced": (
        lambda r: rewrite(r / SHARD, _other_image),
        {("changed", SHARD, 0)},
    ),
    "column added": (
        lambda r: rewrite(r / SHARD, lambda t: t.append_column("more", pa.array(range(5)))),
        {("columns", SHARD, i) for i in range(5)},
    ),
    "shard deleted": (lambda r: (r / SHARD).unlink(), {("missing", SHARD, None)}),
    "shard added": (
        lambda r: write_parquet(r / "train-x.parquet", {**columns(7)}, LABELS),
        {("extra", "train-x.parquet", None)},
    ),
    "shard cut off": (lambda r: os.truncate(r / SHARD, 1000), {("changed", SHARD, None)}),
    "split renamed": (
        lambda r: (r / SHARD).rename(r / "test-00000-of-00002.parquet"),
        {("resplit", "test-00000-of-00002.parquet", i) for i in range(5)},
    ),
    "class names swapped": (
        lambda r: rewrite(r / SHARD, lambda t: t.replace_schema_metadata(
            features({"label": ["dog", "cat"]}))),
        {*(("relabelled", SHARD, i) for i in range(5)), ("changed", "class names", None)},
    ),
}  # fmt: skip


def _other_image(found: pa.Table) -> pa.Table:
    values = found["image"].to_pylist()
    values[0]["bytes"] = pictures(1, 4242)[0]
    return set_column("image", values)(found)


@pytest.fixture(params=["verify", "verify with a warm index", "hook"])
def check(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Path, Path], Verification]:
    """Each way to compare; the index is warm: `create_manifest` has filled it."""
    cache = tmp_path / "cache"
    # Believe files however young they are, so that only stamps tell what was altered.
    monkeypatch.setattr(index, "RACY_NS", -(10**15))

    def run(dataset: Path, manifest: Path) -> Verification:
        if request.param == "hook":
            return quick_verify(dataset, manifest, cache_root=cache)
        warm = cache if "warm" in request.param else None
        return verify_manifest(dataset, manifest, cache_root=warm, workers=1)

    return run


def take(build: Callable[[Path], Path], tmp_path: Path) -> tuple[Path, Path]:
    """A dataset, its manifest, and a warm index that believes every file."""
    dataset = build(tmp_path / "data")
    manifest = tmp_path / "m.jsonl"
    create_manifest(dataset, manifest, cache_root=tmp_path / "cache", workers=1)
    return dataset, manifest


@pytest.mark.parametrize("name", FOLDER)
def test_folder(name: str, tmp_path: Path, check: Callable[[Path, Path], Verification]) -> None:
    dataset, manifest = take(folder, tmp_path)
    assert check(dataset, manifest).exit_code == 0
    change, expected = FOLDER[name]
    change(dataset)
    found = check(dataset, manifest)
    assert {(item.kind, item.path) for item in found.differences} == expected
    assert found.exit_code == 1
    assert found.n_differences == len(expected)


@pytest.mark.parametrize("name", CAPTIONED)
def test_metadata(name: str, tmp_path: Path, check: Callable[[Path, Path], Verification]) -> None:
    dataset, manifest = take(captioned, tmp_path)
    change, expected = CAPTIONED[name]
    change(dataset)
    found = check(dataset, manifest)
    assert {(item.kind, item.path) for item in found.differences} == expected
    assert found.exit_code == 1


@pytest.mark.parametrize("name", PARQUET)
def test_parquet(name: str, tmp_path: Path) -> None:
    dataset, manifest = take(table, tmp_path)
    change, expected = PARQUET[name]
    change(dataset)
    found = verify_manifest(dataset, manifest, workers=1)
    assert {(item.kind, item.path, item.record) for item in found.differences} == expected
    assert found.exit_code == 1
    assert all(item.message for item in found.differences)


def test_reencoded_parquet_is_named_and_holds(tmp_path: Path) -> None:
    dataset, manifest = take(table, tmp_path)
    rewrite(dataset / SHARD, lambda t: t, compression="zstd", row_group_size=2)
    found = verify_manifest(dataset, manifest, workers=1)
    assert found.exit_code == 0
    assert found.differences == ()
    assert [note for note in found.notices if SHARD in note and "re-encoded" in note]


def test_resharded_parquet_is_named_and_holds(tmp_path: Path) -> None:
    dataset, manifest = take(table, tmp_path)
    whole = pa.concat_tables([pq.read_table(path) for path in sorted(dataset.iterdir())])
    for path in list(dataset.iterdir()):
        path.unlink()
    for i in range(5):
        pq.write_table(whole.slice(2 * i, 2), dataset / f"train-0000{i}-of-00005.parquet")
    found = verify_manifest(dataset, manifest, workers=1)
    assert found.exit_code == 0, found.differences
    assert found.n_verified == 10
    assert "5 files" in found.notices[0]
    assert "row root" in found.notices[0]


def test_resharding_hides_no_relabelling(tmp_path: Path) -> None:
    dataset, manifest = take(table, tmp_path)
    whole = pa.concat_tables([pq.read_table(path) for path in sorted(dataset.iterdir())])
    whole = set_column("label", [0, 1, 0, 1, 0, 0, 1, 0, 1, 1])(whole)
    for path in list(dataset.iterdir()):
        path.unlink()
    pq.write_table(whole, dataset / "train-00000-of-00001.parquet")
    found = verify_manifest(dataset, manifest, workers=1)
    assert [(d.kind, d.path, d.record) for d in found.differences] == [
        ("relabelled", "train-00000-of-00001.parquet", 9)
    ]
    assert "'cat' → 'dog'" in found.differences[0].message


def test_several_changes_are_all_named(tmp_path: Path) -> None:
    dataset, manifest = take(folder, tmp_path)
    flip(dataset / CAT)
    (dataset / DOG).unlink()
    (dataset / "evil.sh").write_text("#!/bin/sh\n")
    found = verify_manifest(dataset, manifest, workers=1)
    assert {(d.kind, d.path) for d in found.differences} == {
        ("changed", str(CAT)), ("missing", str(DOG)), ("extra", "evil.sh"),
    }  # fmt: skip
    assert found.n_verified == 14 - 2


def test_unreadable_is_incomplete_and_never_verified(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    dataset, manifest = take(folder, tmp_path)
    (dataset / CAT).chmod(0)
    found = verify_manifest(dataset, manifest, workers=1)
    assert found.exit_code == 4
    assert [path for path, _ in found.unreadable] == [str(CAT)]
