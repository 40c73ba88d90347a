"""What isolation costs: the same shards ingested in this process and by one isolated worker.

Usage: ``python benchmarks/decode_overhead.py [ROWS] [ROUNDS]``, with the evaluation data at
``AUDITOR_TEST_DATA``. Both sides do the worker's whole work (read, hash, decode, views, reply) on
one thread; the isolated side also pays for sending, receiving and checking the reply. Rounds
alternate, the medians of their CPU times are compared, and the worker's start is reported apart.
"""

from __future__ import annotations

import csv
import mmap
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import PIL
import pyarrow as pa

from auditor.engines import WorkerPool
from auditor.engines.local import WORKER_ENVIRONMENT
from auditor.engines.worker import Clock, Station
from auditor.ingest import open_catalog
from auditor.readers import Columns, walk
from auditor.readers.decode import prepare

ROOT = Path(__file__).parent.parent
DATA = ROOT / os.environ.get("AUDITOR_TEST_DATA", "../shared/data") / "cifar10" / "train.parquet"
RESULT = ROOT / "benchmarks" / "decode-overhead.csv"

Task = Mapping[str, object]


def cpu_seconds() -> float:
    """CPU time of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system


def measure(
    run: Callable[[Task], pa.Table], tasks: list[Task], worker: int | None
) -> tuple[float, float]:
    """(wall seconds, CPU seconds of both processes) of all tasks."""
    wall, cpu = time.perf_counter(), cpu_seconds() + process_cpu(worker)
    for task in tasks:
        reply = run(task)
        refused = reply["refusal"].drop_null()
        if len(refused):
            raise RuntimeError(f"refused: {refused.value_counts().to_pylist()}")
    return time.perf_counter() - wall, cpu_seconds() + process_cpu(worker) - cpu


def process_cpu(pid: int | None) -> float:
    """CPU seconds of a living process (``/proc/PID/stat``, fields 14 and 15)."""
    if pid is None:
        return 0.0
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def main(rows: int = 20_000, rounds: int = 5) -> None:
    """Measure, print the ratio and write the CSV."""
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        os.environ.update(WORKER_ENVIRONMENT)
        os.execv(sys.executable, [sys.executable, *sys.argv])  # libraries read it when they load
    pa.set_cpu_count(1)
    prepare(64_000_000)
    station = Station(Clock(mmap.mmap(-1, mmap.PAGESIZE), 10_000), None)
    with WorkerPool(1) as pool:
        started = time.perf_counter()
        catalog = open_catalog(walk(DATA), Columns(), pool)
        start = time.perf_counter() - started
        shards = catalog.shards[: -(-rows // catalog.shards[0].known.height)]
        tasks: list[Task] = [{**shard.task, "refused": {}} for shard in shards]
        n = sum(shard.known.height for shard in shards)
        process = pool._workers[0]._process
        assert process is not None
        inside: list[tuple[float, float]] = []
        isolated: list[tuple[float, float]] = []
        for _ in range(rounds):
            inside.append(measure(station.ingest, tasks, None))
            isolated.append(measure(pool.run, tasks, process.pid))
    write(n, rounds, start, inside, isolated)


def write(
    n: int, rounds: int, start: float, inside: list[tuple[float, float]],
    isolated: list[tuple[float, float]],
) -> None:  # fmt: skip
    """One line a run; ratios are isolated ÷ in-process."""
    wall = [statistics.median(w for w, _ in side) for side in (inside, isolated)]
    cpu = [statistics.median(c for _, c in side) for side in (inside, isolated)]
    line = {
        "images": n, "rounds": rounds, "inside_wall": round(wall[0], 3),
        "isolated_wall": round(wall[1], 3), "wall_ratio": round(wall[1] / wall[0], 3),
        "inside_cpu": round(cpu[0], 3), "isolated_cpu": round(cpu[1], 3),
        "cpu_ratio": round(cpu[1] / cpu[0], 3), "worker_start_wall": round(start, 3),
        "cpus": len(os.sched_getaffinity(0)), "python": platform.python_version(),
        "pillow": PIL.__version__, "pyarrow": pa.__version__, "date": time.strftime("%Y-%m-%d"),
    }  # fmt: skip
    with RESULT.open("w", newline="") as file:
        writer = csv.DictWriter(file, line)
        writer.writeheader()
        writer.writerow(line)
    sys.stdout.write("".join(f"{name}: {value}\n" for name, value in line.items()))


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:3]))
