"""Whether files changed while they were scanned."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from auditor.readers.catalog import FileEntry

GONE = (-1, -1, -1)


def take_stamps(files: Sequence[FileEntry]) -> np.ndarray:
    """(N, 3) int64: size, time of change in nanoseconds and inode of each file; −1 if gone.

    The time is the inode's own (ctime), which a program can not set as it can set mtime.
    """
    stamps = np.empty((len(files), 3), np.int64)
    for place, (_, path) in enumerate(files):
        try:
            status = os.lstat(path)
        except OSError:
            stamps[place] = GONE
            continue
        stamps[place] = status.st_size, status.st_ctime_ns, np.uint64(status.st_ino).astype("i8")
    return stamps


def changed(files: Sequence[FileEntry], before: np.ndarray) -> list[str]:
    """The uris of files whose stamps are others than before."""
    differs = (take_stamps(files) != before).any(axis=1)
    return [files[place][0] for place in np.flatnonzero(differs).tolist()]
