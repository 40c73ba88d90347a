"""Independent jobs side by side in threads, while the main thread listens for signals."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ALL_COMPLETED, FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TypeVar

Result = TypeVar("Result")

Proceed = Callable[[], None]
"""A job calls it often; it raises `StoppedError` once the job is to end."""

HEARTBEAT = 0.5
"""Seconds between the main thread's looks at its signals: Ctrl-C may reach another thread first."""


class StoppedError(Exception):
    """Another job failed, or the user wants to stop."""


def side_by_side(
    jobs: Sequence[Callable[[Proceed], Result]],
    n_threads: int,
    *,
    all_or_none: bool,
    prepare: Callable[[], None] = lambda: None,
) -> list[Future[Result]]:
    """Run jobs in threads and wait for them.

    Args:
        jobs: begun in their order; each gets its `Proceed`.
        n_threads: jobs at a time.
        all_or_none: the first that fails stops the others.
        prepare: called in each thread before its first job.

    Returns:
        What became of each, in the order of ``jobs``.

    Raises:
        KeyboardInterrupt: or what else a signal raised in the main thread; the jobs have ended.
    """
    stop = threading.Event()

    def proceed() -> None:
        if stop.is_set():
            raise StoppedError

    until = FIRST_EXCEPTION if all_or_none else ALL_COMPLETED
    with ThreadPoolExecutor(n_threads, initializer=prepare) as pool:
        futures = [pool.submit(job, proceed) for job in jobs]
        try:
            pending = {*futures}
            while pending:
                ended, pending = wait(pending, HEARTBEAT, return_when=until)
                if all_or_none and any(future.exception() for future in ended):
                    break
        finally:
            stop.set()
            for future in futures:
                future.cancel()
    return futures
