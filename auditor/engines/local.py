"""A pool of persistent, isolated worker processes on this machine.

Hostile files are read and decoded there, never in the scanning process. A worker has a limit on
its memory, on the CPU time of one sample and on the wall time of one sample; when it dies, the
shared progress page names the sample it had in hand, and only that sample is lost.
"""

from __future__ import annotations

import mmap
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import pyarrow as pa

from auditor.engines.wire import LENGTH, MAX_REPLY, PROGRESS, encode_task, parse_reply
from auditor.errors import InternalError

MAX_CULPRITS = 16
"""Samples that may kill a worker within one shard before the rest of the shard is refused: each
death repeats the shard, and a shard full of killers must not take hours."""

TICK = 0.5
"""Seconds between two looks at a busy worker's progress."""

CIRCUMSTANTIAL = frozenset({"time_limit", "memory_limit"})
"""Ways to die that a stalled or overcommitted machine brings about as well as a sample does: such
a sample gets a second chance, so that the same dataset gives the same report."""

WORKER_PROGRAM = ("-P", "-m", "auditor.engines.worker")
"""-P: never import from the current folder, which may be the dataset."""

WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # Arrow's other allocators and glibc's arenas reserve a gigabyte of address space at once,
    # which the limit on address space would take for use.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "2",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one worker may use.

    Attributes:
        memory: bytes of address space above what the started worker has.
        cpu_seconds: CPU time of one sample.
        wall_seconds: wall time of one sample.
        pixels: width × height that a header may announce.
    """

    memory: int = 1 << 30
    cpu_seconds: int = 20
    wall_seconds: float = 60.0
    pixels: int = 64_000_000


class WorkerDiedError(Exception):
    """A worker ended in the middle of a task; ``index`` is the sample in hand, or −1."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(f"worker ended at sample {index}: {reason}")
        self.index = index
        self.reason = reason


class Worker:
    """One isolated process: started on first use, restarted after a death."""

    def __init__(self, limits: Limits, known: str | None) -> None:
        self._limits = limits
        self._known = known
        self._process: subprocess.Popen[bytes] | None = None
        self._page_file = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `stop`
        self._page_file.truncate(mmap.PAGESIZE)
        self._page = mmap.mmap(self._page_file.fileno(), mmap.PAGESIZE)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `stop`

    def call(self, task: Mapping[str, object]) -> pa.Table:
        """Run one task and return its table.

        Raises:
            WorkerDiedError: the process ended, hung, or sent something that is no reply.
        """
        process = self._start()
        self._page[: PROGRESS.size] = PROGRESS.pack(-1, 0)
        assert process.stdin is not None
        try:
            process.stdin.write(encode_task(task))
            process.stdin.flush()
        except BrokenPipeError:
            raise self._dead("worker_crashed") from None
        try:
            return parse_reply(self._receive(process))
        except (pa.ArrowException, OSError, ValueError, KeyError):
            raise self._dead("worker_crashed") from None

    def stop(self) -> None:
        """End the process and free the page."""
        self._kill()
        self._page.close()
        self._page_file.close()
        self._log.close()

    def last_words(self) -> str:
        """The last line the process wrote to its standard error."""
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - 2000))
        lines = self._log.read().decode("utf-8", "backslashreplace").strip().splitlines()
        return lines[-1] if lines else "no message"

    def _start(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            limits = self._limits
            command = [sys.executable, *WORKER_PROGRAM]
            command += [str(self._page_file.fileno()), str(limits.memory)]
            command += [str(limits.cpu_seconds), str(limits.pixels), self._known or ""]
            environment = {**os.environ, **WORKER_ENVIRONMENT}
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                pass_fds=(self._page_file.fileno(),),
                env=environment,
                start_new_session=True,
            )
        return self._process

    def _receive(self, process: subprocess.Popen[bytes]) -> bytearray:
        (length,) = LENGTH.unpack(self._read(process, LENGTH.size))
        if length > MAX_REPLY:
            raise self._dead("worker_crashed")
        return self._read(process, length)

    def _read(self, process: subprocess.Popen[bytes], size: int) -> bytearray:
        assert process.stdout is not None
        descriptor = process.stdout.fileno()
        received = bytearray()
        steps, waited = -1, 0.0
        while len(received) < size:
            started = time.monotonic()
            ready, _, _ = select.select([descriptor], [], [], TICK)
            # Time in which this process did not run either is the machine's, not the sample's.
            waited += min(time.monotonic() - started, 2 * TICK)
            if ready:
                chunk = os.read(descriptor, min(1 << 20, size - len(received)))
                if not chunk:
                    raise self._dead("worker_crashed")
                received += chunk
                waited = 0.0
                continue
            current = PROGRESS.unpack_from(self._page)[1]
            if current != steps:
                steps, waited = current, 0.0
            elif waited > self._limits.wall_seconds:
                raise self._dead("time_limit")
        return received

    def _dead(self, reason: str) -> WorkerDiedError:
        """Reap the process; what it had in hand and how it ended make the error."""
        process = self._process
        assert process is not None
        if reason == "worker_crashed":
            try:
                code = process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                code = 0
            if code == -signal.SIGXCPU:
                reason = "cpu_limit"
            elif code == -signal.SIGKILL:
                reason = "memory_limit"
        index = PROGRESS.unpack_from(self._page)[0]
        self._kill()
        return WorkerDiedError(index, reason)

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    # Flushing what a dead worker never read; there is nothing to save.
                    continue
        process.wait()


class WorkerPool:
    """Runs tasks on isolated workers and yields their tables in the order of the tasks."""

    def __init__(self, n_workers: int, limits: Limits | None = None, known: str | None = None):
        self._limits = limits or Limits()
        self._known = known
        self._n_workers = max(1, n_workers)
        self._threads = ThreadPoolExecutor(self._n_workers, thread_name_prefix="auditor-worker")
        self._workers: list[Worker] = []
        self._lock = threading.Lock()
        self._local = threading.local()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            for worker in self._workers:
                worker.stop()

    def run(self, task: Mapping[str, object]) -> pa.Table:
        """Run one task; a sample or file that kills its worker comes back as refused."""
        return self._threads.submit(self._run, task).result()

    def imap(self, tasks: Iterable[Mapping[str, object]]) -> Iterator[pa.Table]:
        """Yield each task's table in order, with two tasks a worker under way at most."""
        pending: deque[Future[pa.Table]] = deque()
        for task in tasks:
            pending.append(self._threads.submit(self._run, task))
            if len(pending) > 2 * self._n_workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()

    def _run(self, task: Mapping[str, object]) -> pa.Table:
        worker = self._worker()
        refused: dict[str, str] = {}
        suspected: set[int] = set()
        while True:
            try:
                return worker.call({**task, "refused": refused})
            except WorkerDiedError as death:
                if "*" in refused:
                    raise InternalError(
                        f"worker for task {task.get('kind')!r}: ended twice ({death.reason}: "
                        f"{worker.last_words()}) while refusing it whole; please report it"
                    ) from death
                if death.reason in CIRCUMSTANTIAL and death.index not in suspected:
                    suspected.add(death.index)
                    continue
                too_many = len(refused) >= MAX_CULPRITS
                key = str(death.index)
                # A sample that is refused already and still kills is none that can be left out.
                whole = death.index < 0 or too_many or key in refused
                refused["*" if whole else key] = "too_many_crashes" if too_many else death.reason

    def _worker(self) -> Worker:
        worker: Worker | None = getattr(self._local, "worker", None)
        if worker is None:
            worker = Worker(self._limits, self._known)
            self._local.worker = worker
            with self._lock:
                self._workers.append(worker)
        return worker
