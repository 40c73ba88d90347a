"""What a copy of a dataset is made of: blocks of encoded images that are read, altered, written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

UNLABELLED = -1

LABEL_COLUMNS = ("label", "labels", "class", "class_name", "category", "target", "y", "fine_label")
IMAGE_COLUMNS = ("image", "img", "picture", "photo", "bytes", "jpg", "png")
SOURCE_COLUMNS = ("source", "contributor", "annotator", "uploader", "author", "host", "url")
"""Tried in this order where no column is named."""

BLOCK_BYTES = 4_000_000
BLOCK_SAMPLES = 500
"""A block is re-encoded by one worker: big enough to hide the hand-over, small enough to hold."""


@dataclass(frozen=True, slots=True)
class Edits:
    """What changes in the copy.

    Attributes:
        labels: (N,) int64, the label of every source row in the copy.
        entry: (N,) int64, the selection entry that alters a row, or −1.
        added: source row → selection entries of new samples built from it.
        added_labels: selection entry → label of a new sample.
        seed: for the names and places of what moves or is new.
    """

    labels: np.ndarray
    entry: np.ndarray
    added: dict[int, list[int]]
    added_labels: dict[int, int]
    seed: int


@dataclass(frozen=True, slots=True)
class Block:
    """Some consecutive samples: encoded bytes (None where the source has none), in copy order.

    ``rows`` are the source rows, ``entries`` the selection entries (−1: leave alone), ``added``
    whether a sample is new; ``context`` is for the layout that wrote the block.
    """

    data: list[bytes | None]
    rows: list[int]
    entries: list[int]
    added: list[bool]
    context: object = None


@dataclass(slots=True)
class Placed:
    """Where the samples went, one entry a sample of the copy."""

    uris: list[str] = field(default_factory=list)
    records: list[int | None] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    entries: list[int] = field(default_factory=list)
    moved: dict[str, str] = field(default_factory=dict)
    """New path → old path of files whose folder or name changed."""


Written = Iterable[tuple[Block, list[bytes | None]]]


@dataclass(frozen=True, slots=True)
class Layout:
    """A dataset that can be read and copied.

    Attributes:
        kind: ``parquet`` or ``image-folder``.
        labels: (N,) int64 in 0…K−1, or −1.
        class_names: K names.
        sources: (N,) int64 index of the supplier, or None.
        fetch: (rows) → their encoded bytes, in the order asked.
        read: (edits) → blocks that cover every sample of the copy.
        write: (folder or file to make, uri of a single file, edits, altered blocks) → where
            everything went.
    """

    kind: str
    labels: np.ndarray
    class_names: tuple[str, ...]
    sources: np.ndarray | None
    fetch: Callable[[np.ndarray], list[bytes | None]]
    read: Callable[[Edits], Iterator[Block]]
    write: Callable[[Path, str, Edits, Written], Placed]


def encode_labels(
    values: list[object], names: tuple[str, ...] | None
) -> tuple[np.ndarray, tuple[str, ...], list[object]]:
    """Turn raw labels into 0…K−1.

    Args:
        values: N raw labels: ints or strings; None and negative ints mean no label.
        names: the class names of integer labels, or None.

    Returns:
        (N,) int64 labels, K class names, K raw values to write for them.
    """
    if names is not None:
        inside = [v if isinstance(v, int) and 0 <= v < len(names) else UNLABELLED for v in values]
        return np.array(inside, dtype=np.int64), names, list(range(len(names)))
    raw = sorted(
        {v for v in values if v is not None and not (isinstance(v, int) and v < 0)},
        key=lambda v: (isinstance(v, str), v),
    )
    index = {value: i for i, value in enumerate(raw)}
    labels = np.array([index.get(v, UNLABELLED) for v in values], dtype=np.int64)
    return labels, tuple(str(v) for v in raw), list(raw)


def sample_generator(seed: int, *keys: int) -> np.random.Generator:
    """A generator of its own for one sample or purpose; the same whatever the worker count."""
    return np.random.default_rng(np.random.SeedSequence([seed, *keys]))


def copy_order(rows: range, edits: Edits) -> tuple[list[int], list[int], list[bool]]:
    """The samples of some consecutive source rows in the copy: rows, entries, whether new.

    New samples take random places among the rows, so that position gives nothing away.
    """
    order = [(float(i), row, int(edits.entry[row]), False) for i, row in enumerate(rows)]
    for row in rows:
        for entry in edits.added.get(row, ()):
            place = sample_generator(edits.seed, 11, entry).uniform(-1, len(rows))
            order.append((place, row, entry, True))
    order.sort()
    return [o[1] for o in order], [o[2] for o in order], [o[3] for o in order]


WRITTEN_AT = 315_532_800
"""1980-01-01, the earliest time a zip archive can hold: every file of a copy gets it, since the
order of writing would otherwise tell moved files from the rest."""


def save_file(path: Path, data: bytes) -> None:
    """Write one file of the copy, its folders included, with the time every file gets."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (WRITTEN_AT, WRITTEN_AT))


def files_below(root: Path) -> list[str]:
    """POSIX paths, relative to the root, of the regular files below it, sorted.

    Links are left out, since what they point to may lie outside the dataset, and so is what is
    hidden (``.git``, ``.DS_Store``).
    """
    found = []
    for folder, folders, names in os.walk(root, followlinks=False):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in (n for n in names if not n.startswith(".")):
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink():
                found.append(path.relative_to(root).as_posix())
    return sorted(found)


def copy_others(root: Path, out: Path, samples: set[str]) -> None:
    """Copy what holds no samples (README, licences, manifests) as it is."""
    for uri in files_below(root):
        if uri not in samples:
            (out / uri).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / uri, out / uri)
            os.utime(out / uri, (WRITTEN_AT, WRITTEN_AT))
