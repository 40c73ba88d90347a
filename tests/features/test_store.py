"""The feature store: complete packs only, damage repaired, abandoned scratch removed."""

from __future__ import annotations

import fcntl
import os
import resource
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from auditor.engines.wire import pack_schema
from auditor.features import N_FEATURES
from auditor.features.store import (
    FeatureStore,
    open_store,
    sweep,
    view_columns,
    write_atomically,
)


def pack(seed: int, n: int) -> tuple[bytes, pa.Table]:
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (n, 3072), dtype=np.uint8)
    texture = generator.normal(size=(n, N_FEATURES)).astype(np.float32)
    schema = pack_schema(3072, N_FEATURES)
    table = pa.table(
        [
            pa.array([generator.bytes(32) for _ in range(n)], pa.binary(32)),
            *[pa.array(np.arange(n), pa.uint32())] * 2,
            *[pa.array(["x"] * n)] * 2,
            pa.array(np.arange(n), pa.uint64()),
            *[pa.array(np.arange(n), pa.float32())] * 2,
            *[pa.nulls(n, field.type) for field in schema][8:-2],
            pa.array([row.tobytes() for row in pixels], pa.binary(3072)),
            pa.array([row.tobytes() for row in texture], pa.binary(4 * N_FEATURES)),
        ],
        schema=schema,
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes(), table


def fill(root: Path, *seeds: int, n: int = 5) -> list[pa.Table]:
    with open_store(root, "v1") as store:
        return [store.add(pack(seed, n)[0]) for seed in seeds]


def test_what_was_added_is_found_and_read_back_in_any_order(tmp_path: Path) -> None:
    tables = fill(tmp_path, 1, 2)
    every = pa.concat_tables(tables)
    with open_store(tmp_path, "v1") as store:
        assert store.index_folder is not None
        from auditor.features.digests import DigestIndex

        index = DigestIndex.open(Path(store.index_folder))
        asked = [7, 0, 9, 0, 3]
        positions = np.array([index.find(every["sha256"][i].as_py()) for i in asked])
        found = store.stored(positions)
        assert found.equals(every.take(pa.array(asked)).combine_chunks())
        pixels, texture = view_columns(found)
        assert pixels.shape == (5, 32, 32, 3)
        assert texture.shape == (5, N_FEATURES)
        assert pixels[0].tobytes() == every["pixels"][7].as_py()
        assert texture[2].tobytes() == every["texture"][9].as_py()


def test_other_views_see_nothing_of_it(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    with open_store(tmp_path, "v2") as store:
        assert store.index_folder is None


def test_a_throw_away_store_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with open_store(None, "v1") as store:
        store.add(pack(1, 2)[0])
        assert any(tmp_path.iterdir())
    assert not any(tmp_path.iterdir())


def test_a_damaged_pack_is_dropped_not_fatal(tmp_path: Path) -> None:
    fill(tmp_path, 1, 2)
    first, second = sorted((tmp_path / "packs" / "v1").glob("*.arrow"))
    first.write_bytes(first.read_bytes()[:100])
    with open_store(tmp_path, "v1") as store:
        assert len(store._pack_of) == 5
    assert not first.exists()
    assert second.exists()


def test_more_packs_than_file_descriptors(tmp_path: Path) -> None:
    fill(tmp_path, *range(120), n=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len([*Path("/proc/self/fd").iterdir()]) + 50, hard))
    try:
        with open_store(tmp_path, "v1") as store:
            assert len(store._pack_of) == 120
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_scratch_of_killed_scans_is_removed_and_of_living_ones_kept(tmp_path: Path) -> None:
    old = time.time() - 3600
    for name in ("auditor-dead", "auditor-alive"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "lock").touch()
        os.utime(tmp_path / name / "lock", (old, old))
    with (tmp_path / "auditor-alive" / "lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with open_store(tmp_path, "v1"):
            assert not (tmp_path / "auditor-dead").exists()
            assert (tmp_path / "auditor-alive").exists()


def test_writing_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "file"
    write_atomically(target, b"old")

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_datasets_used_last_are_kept(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, "v1", tmp_path)
    folders = [store.dataset_folder(str(i)) for i in range(4)]
    for age, folder in enumerate(folders):
        os.utime(folder, (time.time() - 1000 * (age + 1),) * 2)
    store.dataset_folder("3")  # used again
    sweep(tmp_path, 2)
    assert [folder.exists() for folder in folders] == [True, False, False, True]


def test_a_datasets_folder_depends_on_all_that_its_results_do(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, "v1", tmp_path)
    other = FeatureStore(tmp_path, "v2", tmp_path)
    folders = {
        store.dataset_folder("f", "a", "b"), store.dataset_folder("f", "b", "a"),
        store.dataset_folder("f"), other.dataset_folder("f"),
    }  # fmt: skip
    assert len(folders) == 4
