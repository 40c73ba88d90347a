"""The stages of a scan: who hears of them, and how long each of them took."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from auditor.interfaces import Progress


class Observer(Protocol):
    """Hears of a scan's stages."""

    def stage(self, title: str) -> AbstractContextManager[Progress]:
        """Begin a stage; the progress it yields takes (done, total)."""


class Silent:
    """The observer of a scan that nobody watches."""

    @contextmanager
    def stage(self, title: str) -> Iterator[Progress]:
        """Begin a stage that nobody hears of."""
        yield lambda done, total: None


class Watch:
    """Tells an observer of each stage, and adds up its seconds."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._started = time.perf_counter()
        self._seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, title: str, key: str) -> Iterator[Progress]:
        """Run a stage: ``title`` for the observer, ``key`` in `seconds` once it is done."""
        with self._observer.stage(title) as progress:
            started = time.perf_counter()
            yield progress
            self._seconds[key] = time.perf_counter() - started

    def seconds(self) -> Mapping[str, float]:
        """Seconds by stage, and ``total`` since the beginning."""
        total = time.perf_counter() - self._started
        return {name: round(value, 3) for name, value in {**self._seconds, "total": total}.items()}
