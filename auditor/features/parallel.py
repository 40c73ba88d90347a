"""Two folds at a time, each on half of the cores.

A network of this size keeps one core busy and gains little from a second: of two cores, two folds
side by side make 950 images a second, one after the other 640.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

import torch

from auditor.features.folds import N_FOLDS
from auditor.interfaces import Progress

Result = TypeVar("Result")
Advance = Callable[[int], None]


HEARTBEAT = 0.5
"""Seconds between the main thread's looks at its signals: Ctrl-C may reach another thread first."""


class _StoppedError(Exception):
    """The other fold failed, or the user wants to stop."""


def side_by_side(
    work: Callable[[int, Advance], Result], device: str, total: int, progress: Progress
) -> list[Result]:
    """Run ``work(fold, advance)`` for every fold; together where there are cores for it.

    Args:
        work: calls ``advance`` with the number of images done since its last call, often: there it
            is stopped when another fold fails.
        device: ``cpu`` or ``cuda``; a GPU is left to one fold at a time.
        total: images in all.
        progress: called with (done, total), by one thread at a time.

    Returns:
        What ``work`` gave, in the order of the folds.
    """
    n_threads = torch.get_num_threads()
    together = device == "cpu" and n_threads >= N_FOLDS
    done = 0
    lock, stop = threading.Lock(), threading.Event()

    def advance(n_images: int) -> None:
        nonlocal done
        with lock:
            if stop.is_set():
                raise _StoppedError
            done += n_images
            progress(done, total)

    if not together:
        return [work(fold, advance) for fold in range(N_FOLDS)]
    try:
        with ThreadPoolExecutor(N_FOLDS, initializer=_limited, initargs=(n_threads,)) as pool:
            futures = [pool.submit(work, fold, advance) for fold in range(N_FOLDS)]
            try:
                pending = {*futures}
                while pending:
                    done_now, pending = wait(pending, HEARTBEAT, return_when=FIRST_EXCEPTION)
                    if any(future.exception() for future in done_now):
                        break
            finally:
                stop.set()
    finally:
        torch.set_num_threads(n_threads)
    failures = [future.exception() for future in futures]
    for failure in failures:
        if failure is not None and not isinstance(failure, _StoppedError):
            raise failure
    return [future.result() for future in futures]


def _limited(n_threads: int) -> None:
    """Share the cores: the number is the calling thread's own, but for MKL's, which is global."""
    torch.set_num_threads(max(1, n_threads // N_FOLDS))
