"""The isolated worker: reads, hashes, decodes and measures one shard at a time.

Run as ``python -P -m auditor.engines.worker``. It imports neither torch nor polars, takes tasks
from standard input, answers on standard output, and keeps no state that matters.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import mmap
import os
import resource
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePath
from typing import Any, BinaryIO

import pyarrow as pa

from auditor.engines.replies import blank_row, refused_reply, shard_reply, utf8
from auditor.engines.wire import PROGRESS, decode_task, write_reply
from auditor.features.digests import DigestIndex
from auditor.readers import credentials, decoders, image_folder, metadata, parquet_rows, row_digests
from auditor.readers.decode import Decoded, Refusal, decode, prepare, square, thumbnail
from auditor.readers.inventory import examine
from auditor.readers.sample import EncodedSample

READ_ERRORS = (pa.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError)
"""What pyarrow raises on malformed files, beside ending the process."""


STRUCTURE: Mapping[str, Callable[[Mapping[str, Any]], pa.Table]] = {
    "inspect": parquet_rows.describe,
    "paths": parquet_rows.paths,
    "metadata": metadata.load,
}
"""Tasks that look into one file's structure."""


class Clock:
    """Tells the parent what is in hand, and gives each sample its own CPU time."""

    def __init__(self, page: mmap.mmap, cpu_seconds: int) -> None:
        self._page = page
        self._cpu_seconds = cpu_seconds
        self._steps = 0

    def mark(self, index: int) -> None:
        """Begin sample ``index``; −1 is work that belongs to no single sample."""
        self._steps += 1
        PROGRESS.pack_into(self._page, 0, index, self._steps)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        spent = int(usage.ru_utime + usage.ru_stime)
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (spent + self._cpu_seconds + 1, hard))


class Station:
    """The worker's tools: its clock, the index of stored samples, the open row group."""

    def __init__(self, clock: Clock, index: DigestIndex | None) -> None:
        self.clock = clock
        self.index = index
        self.groups = parquet_rows.GroupReader()

    def ingest(self, task: Mapping[str, Any]) -> pa.Table:
        """Read a shard once: hash every sample, decode those not stored yet, make their views."""
        refused: Mapping[str, str] = task["refused"]
        size = _n_samples(task)
        if "*" in refused:
            return refused_reply(size, refused["*"], "the worker ended while reading the shard")
        self.clock.mark(-1)
        try:
            rows, fresh = self._rows(self._samples(task), refused)
        except READ_ERRORS as error:
            return refused_reply(size, "unreadable_pages", f"{type(error).__name__}: {error}"[:200])
        except MemoryError:
            return refused_reply(size, "memory_limit", "reading the rows asked for too much memory")
        self.clock.mark(-1)
        return shard_reply(rows, fresh)

    def _samples(self, task: Mapping[str, Any]) -> Iterator[EncodedSample]:
        if task["reader"] == "parquet":
            return parquet_rows.read(task, self.groups)
        return image_folder.read(task)

    def _rows(
        self, samples: Iterator[EncodedSample], refused: Mapping[str, str]
    ) -> tuple[list[dict[str, Any]], list[tuple[bytes, Decoded]]]:
        rows: list[dict[str, Any]] = []
        fresh: list[tuple[bytes, Decoded]] = []
        places: dict[bytes, int] = {}
        for index, sample in self._each(samples):
            row = blank_row(sample)
            rows.append(row)
            if sample.data is None:
                continue
            digest = hashlib.sha256(sample.data).digest()
            row.update(sha256=digest, n_bytes=len(sample.data))
            if str(index) in refused:
                row.update(refusal=refused[str(index)], detail="ended its decoding process")
                continue
            row["known"] = -1 if self.index is None else self.index.find(digest)
            if row["known"] >= 0:
                continue
            if digest not in places:
                decoded = decode(sample.data)
                if isinstance(decoded, Refusal):
                    row.update(refusal=decoded.reason, detail=decoded.detail)
                    continue
                places[digest] = len(fresh)
                fresh.append((digest, decoded))
            row["decoded"] = places[digest]
        return rows, fresh

    def _each(self, samples: Iterator[EncodedSample]) -> Iterator[tuple[int, EncodedSample]]:
        """Number the samples, each marked before its bytes are read: reading can hang too."""
        for index in itertools.count():
            self.clock.mark(index)
            sample = next(samples, None)
            if sample is None:
                return
            yield index, sample

    def row_digests(self, task: Mapping[str, Any]) -> pa.Table:
        """Hash the rows of a Parquet shard with all their columns, decoding nothing."""
        return row_digests.digest_rows(task, self.groups, functools.partial(self.clock.mark, -1))

    def pictures(self, task: Mapping[str, Any]) -> pa.Table:
        """Decode the positions ``picks`` of a shard anew; null where that fails.

        Small JPEGs, or with ``side`` the raw pixels of squares.
        """
        side = task.get("side")
        draw = thumbnail if side is None else functools.partial(square, side=int(side))
        picks = set(task["picks"])
        pictures: list[bytes | None] = []
        if "*" not in task["refused"]:
            self.clock.mark(-1)
            for index, sample in self._each(self._samples(task)):
                if index in picks and str(index) not in task["refused"] and sample.data:
                    pictures.append(draw(sample.data))
                elif index in picks:
                    pictures.append(None)
        else:
            pictures = [None] * len(picks)
        return pa.table({"picture": pa.array(pictures, pa.large_binary())})

    def credentials(self, task: Mapping[str, Any]) -> pa.Table:
        """Validate the content credentials of the positions ``picks`` of a shard."""
        refused, picks = task["refused"], set(task["picks"])
        rows: list[Mapping[str, object]] = []
        if "*" not in refused:
            self.clock.mark(-1)
            for index, sample in self._each(self._samples(task)):
                if index in picks:
                    readable = sample.data and str(index) not in refused
                    rows.append(credentials.check(sample.data) if readable else {})  # type: ignore[arg-type]
        else:
            rows = [{}] * len(picks)
        return pa.Table.from_pylist(rows, schema=credentials.FINDINGS)

    def decoders(self, task: Mapping[str, Any]) -> pa.Table:
        """Decode all samples of a shard with two decoders, and say how much they differ."""
        refused = task["refused"]
        found: list[float | None] = [None] * _n_samples(task)
        if "*" not in refused:
            self.clock.mark(-1)
            for index, sample in self._each(self._samples(task)):
                if sample.data and str(index) not in refused:
                    found[index] = decoders.difference(sample.data)
        return pa.table({"difference": pa.array(found, pa.float32())})


def _n_samples(task: Mapping[str, Any]) -> int:
    """How many samples a shard's task stands for."""
    listed = task.get("paths") or task.get("rows")
    return int(task["size"]) if listed is None else len(listed)


def _structure(load: Callable[[Mapping[str, Any]], pa.Table], task: Mapping[str, Any]) -> pa.Table:
    """Run a task that looks into one file's structure; a malformed file comes back refused."""
    if "*" in task["refused"]:
        return _refusal(task["refused"]["*"], "ended the process that read it")
    try:
        return load(task)
    except READ_ERRORS as error:
        return _refusal("unreadable_file", f"{type(error).__name__}: {error}"[:200])
    except MemoryError:
        return _refusal("memory_limit", "reading its structure asked for too much memory")


def _refusal(reason: str, detail: str) -> pa.Table:
    return pa.table({"refusal": [reason], "detail": [utf8(detail)]})


def serve(tasks: BinaryIO, replies: BinaryIO, station: Station) -> None:
    """Answer tasks until the parent closes its end."""
    for line in tasks:
        task = decode_task(line)
        station.clock.mark(-1)
        kind = str(task["kind"])
        if kind == "ingest":
            reply = station.ingest(task)
        elif kind == "pictures":
            reply = station.pictures(task)
        elif kind == "credentials":
            reply = station.credentials(task)
        elif kind == "decoders":
            reply = station.decoders(task)
        elif kind == "examine":
            reply = examine(task["files"], task["refused"], station.clock.mark)  # type: ignore[arg-type]
        elif kind == "row_digests":
            reply = _structure(station.row_digests, task)
        else:
            reply = _structure(STRUCTURE[kind], task)
        write_reply(replies, reply)


def limit_memory(headroom: int) -> None:
    """Let the address space grow by ``headroom`` bytes beyond what it is now."""
    with open("/proc/self/statm") as file:  # noqa: PTH123
        pages = int(file.read().split()[0])
    limit = pages * resource.getpagesize() + headroom
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Set the limits up, then serve."""
    page_fd, memory, cpu_seconds, pixels = (int(value) for value in sys.argv[1:5])
    known = sys.argv[5]
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not run into the replies
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    prepare(pixels)
    index = DigestIndex.open(PurePath(known)) if known else None
    page = mmap.mmap(page_fd, mmap.PAGESIZE)
    limit_memory(memory)
    serve(sys.stdin.buffer, replies, Station(Clock(page, cpu_seconds), index))


if __name__ == "__main__":
    main()
