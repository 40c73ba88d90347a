"""Re-encodes the blocks of a copy on worker processes, stamping the samples that were chosen."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

import numpy as np

from auditor.attacks.copies.copying import BLOCK_SAMPLES, Block, Layout, sample_generator
from auditor.attacks.copies.encoding import DECODE_ERRORS, Encoding, rewrite, thumbnail
from auditor.interfaces import Attack, AttackMaterial, Progress, Selection, Victim

ALONE_BELOW = 1500
"""Samples; with fewer, starting workers (0.6 s) costs more than it saves (0.25 ms a 32×32 JPEG)."""

Task = TypeVar("Task")
Done = TypeVar("Done")


class Waitable(Protocol[Done]):  # type: ignore[misc]
    """A future."""

    def result(self) -> Done:
        """Wait for the result."""


@dataclass(frozen=True, slots=True)
class Job:
    """One poisoning, decided and prepared.

    ``original_labels``: (N,) int64; ``donated``: selection entry → encoded image that replaces the
    sample's own; ``unreadable`` collects the source rows whose image could not be decoded.
    """

    attack: Attack
    params: dict[str, object]
    selection: Selection
    material: AttackMaterial
    original_labels: np.ndarray
    encoding: Encoding
    seed: int
    workers: int
    donated: dict[int, bytes]
    unreadable: set[int] = field(default_factory=set)


def attack_key(attack_id: str) -> int:
    """A number for an attack's id, so that each attack has its own random stream of a seed."""
    return int.from_bytes(hashlib.sha256(attack_id.encode()).digest()[:4], "big")


def victim_of(job: Job, entry: int) -> Victim:
    """What the stamp of one selection entry sees; its generator depends on nothing else."""
    chosen, key = job.selection, attack_key(job.attack.id)
    row, added = int(chosen.rows[entry]), bool(chosen.added[entry])
    own = job.material.own
    return Victim(
        role="cover" if chosen.cover[entry] else "poison",
        original_label=int(job.original_labels[row]),
        label=int(chosen.labels[entry]),
        params=job.params,
        shared=job.material.shared,
        own=None if own is None else own[entry],
        generator=sample_generator(job.seed, key, 2 if added else 1, entry if added else row),
    )


def rewritten(
    job: Job, blocks: Iterable[Block], n_samples: int, progress: Progress | None
) -> Iterator[tuple[Block, list[bytes | None]]]:
    """Re-encode blocks in their order; an unreadable image stays as it was, and is noted."""
    tasks = ((block, _task(job, block)) for block in blocks)
    work = partial(rewrite_all, encoding=job.encoding, attack=job.attack)
    workers = job.workers if n_samples >= ALONE_BELOW else 1
    done = 0
    for block, images in in_order(work, tasks, workers):
        result: list[bytes | None] = []
        for row, old, new in zip(block.rows, block.data, images, strict=True):
            if new is None:
                job.unreadable.add(row)
            result.append(old if new is None else new)
        done += len(result)
        if progress is not None:
            progress(done, n_samples)
        yield block, result


Item = tuple[bytes | None, Victim | None]


def _task(job: Job, block: Block) -> list[Item]:
    items: list[Item] = []
    for data, entry in zip(block.data, block.entries, strict=True):
        stamped = entry >= 0 and job.attack.stamp is not None
        items.append((job.donated.get(entry, data), victim_of(job, entry) if stamped else None))
    return items


def rewrite_all(items: list[Item], encoding: Encoding, attack: Attack) -> list[bytes | None]:
    """Re-encode images and stamp those with a victim; None for each that can not be decoded."""
    results: list[bytes | None] = []
    for data, victim in items:
        stamp = None
        if victim is not None and attack.stamp is not None:
            stamp = partial(_stamp, attack.stamp, victim)
        try:
            results.append(None if data is None else rewrite(data, encoding, stamp))
        except DECODE_ERRORS:
            results.append(None)
    return results


def _stamp(
    stamp: Callable[[np.ndarray, Victim], np.ndarray], victim: Victim, image: np.ndarray
) -> np.ndarray:
    return stamp(image, victim)


def thumbnails(layout: Layout, rows: np.ndarray, side: int, workers: int) -> np.ndarray:
    """(M, side, side, 3) uint8 of some rows; an image that can not be decoded is black."""
    starts = range(0, len(rows), BLOCK_SAMPLES)
    parts = ((s, layout.fetch(rows[s : s + BLOCK_SAMPLES])) for s in starts)
    work = partial(thumbnail_all, side=side)
    count = workers if len(rows) >= ALONE_BELOW else 1
    out = np.zeros((len(rows), side, side, 3), dtype=np.uint8)
    for start, images in in_order(work, parts, count):
        out[start : start + len(images)] = images
    return out


def thumbnail_all(files: list[bytes | None], side: int) -> np.ndarray:
    """(B, side, side, 3) uint8 of encoded images."""
    out = np.zeros((len(files), side, side, 3), dtype=np.uint8)
    for i, data in enumerate(files):
        try:
            if data is not None:
                out[i] = thumbnail(data, side)
        except DECODE_ERRORS:
            continue
    return out


Context = TypeVar("Context")


def in_order(
    work: Callable[[Task], Done], tasks: Iterable[tuple[Context, Task]], workers: int
) -> Iterator[tuple[Context, Done]]:
    """Apply ``work`` to every task and yield the results in the tasks' order.

    More than one worker means processes that do not import the caller's main module, so a script
    without a main guard works; two tasks a worker are under way at most.
    """
    if workers <= 1:
        for context, task in tasks:
            yield context, work(task)
        return
    from joblib.externals.loky import get_reusable_executor  # type: ignore[import-untyped]

    executor = get_reusable_executor(max_workers=workers)
    pending: deque[tuple[Context, Waitable[Done]]] = deque()
    for context, task in tasks:
        pending.append((context, executor.submit(work, task)))
        if len(pending) > 2 * workers:
            first, future = pending.popleft()
            yield first, future.result()
    while pending:
        first, future = pending.popleft()
        yield first, future.result()
