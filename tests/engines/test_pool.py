"""Isolation: limits hold, a death names its culprit and costs only it."""

from __future__ import annotations

import struct
import time
import zlib
from pathlib import Path

import pyarrow as pa
import pytest
from tiny import encode, picture, structs, write_parquet

from auditor.engines import Limits, WorkerPool
from auditor.engines.local import MAX_CULPRITS, Worker, WorkerDiedError
from auditor.errors import InternalError


def ingest_task(*paths: Path) -> dict[str, object]:
    return {"kind": "ingest", "reader": "image-folder", "paths": [str(path) for path in paths]}


def write_images(folder: Path, n: int) -> list[Path]:
    paths = [folder / f"{i}.png" for i in range(n)]
    for i, path in enumerate(paths):
        path.write_bytes(encode(picture(i)))
    return paths


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def flat_png(side: int) -> bytes:
    """A valid PNG with an alpha channel whose few bytes unfold to side × side × 4."""
    header = struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
    packed = zlib.compress(b"\0" * ((4 * side + 1) * side), 1)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )


def test_a_sample_that_needs_too_much_memory_is_refused_alone(tmp_path: Path) -> None:
    paths = write_images(tmp_path, 3)
    paths[1].write_bytes(flat_png(5000))
    with WorkerPool(1, Limits(memory=200 << 20)) as pool:
        reply = pool.run(ingest_task(*paths))
    assert reply["refusal"].to_pylist() == [None, "memory_limit", None]


def test_a_pixel_bomb_is_refused_by_its_header(tmp_path: Path, pool: WorkerPool) -> None:
    paths = write_images(tmp_path, 2)
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    paths[0].write_bytes(bomb)
    started = time.monotonic()
    reply = pool.run(ingest_task(*paths))
    assert reply["refusal"].to_pylist() == ["too_many_pixels", None]
    assert time.monotonic() - started < 5


SABOTAGE = """
import os, signal, sys, time
from auditor.engines import worker

real = worker.decode

def decode(data):
    if data.startswith(b"HANG"):
        time.sleep(60)
    if data.startswith(b"SPIN"):
        while True:
            pass
    if data.startswith(b"KILL"):
        os.kill(os.getpid(), signal.SIGKILL)
    if data.startswith(b"CRASH"):
        os.abort()
    if data.startswith(b"RAISE"):
        raise RecursionError("a bug of the decoder that nobody foresaw")
    if data.startswith(b"LIE"):
        os.write(replies, b"\\xff" * 64)
        os._exit(0)
    return real(data)

replies = os.dup(1)
worker.decode = decode
worker.main()
"""
"""A worker whose decoder does what a file full of exploits could make it do."""


@pytest.fixture
def sabotaged(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    program = tmp_path_factory.mktemp("sabotage") / "worker.py"
    program.write_text(SABOTAGE)
    monkeypatch.setattr("auditor.engines.local.WORKER_PROGRAM", (str(program),))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"HANG", "time_limit"),
        (b"SPIN", "cpu_limit"),
        (b"KILL", "memory_limit"),
        (b"CRASH", "worker_crashed"),
        (b"RAISE", "worker_crashed"),
        (b"LIE", "worker_crashed"),
    ],
)
@pytest.mark.usefixtures("sabotaged")
def test_a_killer_is_named_and_costs_only_itself(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    paths = write_images(tmp_path, 4)
    paths[2].write_bytes(content)
    with WorkerPool(1, Limits(wall_seconds=1.0, cpu_seconds=1)) as pool:
        reply = pool.run(ingest_task(*paths))
    if content == b"SPIN":
        # The wall clock and the CPU clock run at the same pace here; either may strike first.
        assert reply["refusal"].to_pylist()[2] in {"cpu_limit", "time_limit"}
    else:
        assert reply["refusal"].to_pylist()[2] == reason
    assert [r is None for r in reply["refusal"].to_pylist()] == [True, True, False, True]
    assert reply["decoded"].to_pylist() == [0, 1, -1, 2]
    assert None not in reply["sha256"].to_pylist()


def test_a_stalled_machine_costs_no_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """A death that the machine may be to blame for is believed the second time."""
    calls: list[dict[str, str]] = []

    def stall(self: Worker, task: dict[str, object]) -> pa.Table:
        calls.append(dict(task["refused"]))  # type: ignore[call-overload]
        if len(calls) == 1:
            raise WorkerDiedError(3, "time_limit")
        return pa.table({"refusal": ["x"]})

    monkeypatch.setattr(Worker, "call", stall)
    with WorkerPool(1) as pool:
        pool.run({"kind": "ingest"})
    assert calls == [{}, {}]


@pytest.mark.usefixtures("sabotaged")
def test_several_killers_in_one_shard(tmp_path: Path) -> None:
    paths = write_images(tmp_path, 5)
    for i in (0, 3):
        paths[i].write_bytes(b"KILL %d" % i)
    with WorkerPool(1) as pool:
        reply = pool.run(ingest_task(*paths))
    assert [r is None for r in reply["refusal"].to_pylist()] == [False, True, True, False, True]


@pytest.mark.usefixtures("sabotaged")
def test_a_shard_full_of_killers_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auditor.engines.local.MAX_CULPRITS", 2)
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for i, path in enumerate(paths):
        path.write_bytes(b"KILL %d" % i)
    with WorkerPool(1) as pool:
        reply = pool.run(ingest_task(*paths))
    assert set(reply["refusal"].to_pylist()) == {"too_many_crashes"}
    assert MAX_CULPRITS > 2


def test_a_sample_that_kills_although_refused_ends_the_shard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[object] = []

    def die(self: Worker, task: dict[str, object]) -> pa.Table:
        calls.append(dict(task["refused"]))  # type: ignore[call-overload]
        if "*" in task["refused"]:  # type: ignore[operator]
            return pa.table({"refusal": ["x"]})
        raise WorkerDiedError(1, "worker_crashed")

    monkeypatch.setattr(Worker, "call", die)
    with WorkerPool(1) as pool:
        pool.run({"kind": "ingest"})
    assert [sorted(refused) for refused in calls] == [[], ["1"], ["*", "1"]]


def test_a_worker_that_can_not_start_is_our_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    program = ("-c", "raise SystemExit('no luck')")
    monkeypatch.setattr("auditor.engines.local.WORKER_PROGRAM", program)
    with WorkerPool(1) as pool, pytest.raises(InternalError, match="no luck"):
        pool.run({"kind": "inspect", "path": "x"})


def test_tables_come_in_the_order_of_the_tasks(tmp_path: Path) -> None:
    paths = write_images(tmp_path, 7)
    with WorkerPool(2) as pool:
        replies = list(pool.imap(ingest_task(path) for path in paths))
    sizes = [reply["n_bytes"][0].as_py() for reply in replies]
    assert sizes == [path.stat().st_size for path in paths]


def test_a_worker_never_imports_torch_polars_or_the_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pool: WorkerPool
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("numpy.py", "pyarrow.py", "PIL.py", "hashlib.py"):
        Path(name).write_text("raise SystemExit('imported from the dataset')")
    with WorkerPool(1) as fresh:
        reply = fresh.run(ingest_task(*write_images(tmp_path, 1)))
        process = fresh._workers[0]._process
        assert process is not None
        maps = Path(f"/proc/{process.pid}/maps").read_text()
    assert reply["refusal"].to_pylist() == [None]
    assert "libtorch" not in maps
    assert "polars" not in maps


def test_the_pool_leaves_no_process(tmp_path: Path) -> None:
    with WorkerPool(2) as pool:
        list(pool.imap(ingest_task(path) for path in write_images(tmp_path, 4)))
        processes = [worker._process for worker in pool._workers]
    assert processes
    assert all(process is not None and process.poll() is not None for process in processes)


def test_a_large_shard_of_large_rows_stays_below_the_limit(tmp_path: Path) -> None:
    noise = [bytes([i]) * 4_000_000 for i in range(40)]  # no images, but 160 MB of them
    path = write_parquet(tmp_path / "t.parquet", {"image": structs(noise)}, compression="none",
                         use_dictionary=False)  # fmt: skip
    from auditor.ingest import open_catalog
    from auditor.readers import Columns, walk

    with WorkerPool(1, Limits(memory=400 << 20)) as pool:
        catalog = open_catalog(walk(path), Columns(), pool)
        assert len(catalog.shards) == 3
        replies = pa.concat_tables(pool.imap(shard.task for shard in catalog.shards))
    assert set(replies["refusal"].to_pylist()) == {"not_an_image"}
