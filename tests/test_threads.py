"""Jobs in threads: together, in order, and ended when one fails or the user stops."""

from __future__ import annotations

import signal
import threading
from types import FrameType

import pytest

from auditor.threads import Proceed, StoppedError, side_by_side

PATIENCE = 60


def until_stopped(proceed: Proceed) -> None:
    pause = threading.Event()
    for _ in range(PATIENCE * 1000):
        pause.wait(0.001)
        proceed()


def broken(proceed: Proceed) -> None:
    raise OSError("disk full")


def test_jobs_meet_and_are_told_in_their_order() -> None:
    met = threading.Barrier(3, timeout=PATIENCE)
    done = side_by_side([lambda _: met.wait() // 3] * 3, 3, all_or_none=True)
    assert [future.result() for future in done] == [0, 0, 0]
    numbers = [lambda _, n=n: n for n in range(20)]
    assert [one.result() for one in side_by_side(numbers, 2, all_or_none=True)] == list(range(20))


def test_the_first_failure_stops_the_others_and_drops_what_has_not_begun() -> None:
    jobs = [until_stopped, broken, until_stopped]
    first, second, third = side_by_side(jobs, 2, all_or_none=True)
    assert isinstance(first.exception(), StoppedError)
    assert isinstance(second.exception(), OSError)
    assert third.cancelled() or isinstance(third.exception(), StoppedError)


def test_a_failure_stops_nobody_where_each_counts_for_itself() -> None:
    first, second = side_by_side([broken, lambda proceed: proceed()], 1, all_or_none=False)
    assert isinstance(first.exception(), OSError)
    assert second.exception() is None


@pytest.mark.parametrize("all_or_none", [True, False])
def test_a_signal_ends_the_jobs_though_the_main_thread_only_waits(all_or_none: bool) -> None:
    def told(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, told)
    timer = threading.Timer(0.2, signal.raise_signal, [signal.SIGTERM])
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            side_by_side([until_stopped] * 3, 2, all_or_none=all_or_none)
    finally:
        timer.join()
        signal.signal(signal.SIGTERM, before)


def test_each_thread_is_prepared_before_its_first_job() -> None:
    mark = threading.local()

    def prepare() -> None:
        mark.set = True

    ready = [lambda _: getattr(mark, "set", False)] * 4
    done = side_by_side(ready, 2, all_or_none=True, prepare=prepare)
    assert all(future.result() for future in done)
