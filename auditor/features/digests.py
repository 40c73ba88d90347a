"""A sorted, memory-mapped index of the content digests whose views are stored."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Self

import numpy as np


class DigestIndex:
    """Finds a sha256 among M stored ones by binary search; costs no memory of its own.

    ``find`` gives a position in the index, that is, in ascending order of digests.
    """

    def __init__(self, prefixes: np.ndarray, digests: np.ndarray) -> None:
        self._prefixes = prefixes
        self._digests = digests

    @staticmethod
    def write(folder: Path, digests: np.ndarray) -> None:
        """Store (M, 32) uint8 digests, ascending by their first 8 bytes, in ``folder``."""
        np.save(folder / "digests.npy", digests, allow_pickle=False)
        np.save(folder / "prefixes.npy", digest_prefixes(digests), allow_pickle=False)

    @classmethod
    def open(cls, folder: PurePath) -> Self:
        """Map what `write` stored."""
        root = Path(folder)
        prefixes = np.load(root / "prefixes.npy", mmap_mode="r", allow_pickle=False)
        digests = np.load(root / "digests.npy", mmap_mode="r", allow_pickle=False)
        return cls(prefixes, digests)

    def find(self, digest: bytes) -> int:
        """The digest's position, or −1; all 32 bytes are compared, not the prefix alone."""
        prefix = np.uint64(int.from_bytes(digest[:8], "big"))
        place = int(np.searchsorted(self._prefixes, prefix))
        while place < len(self._prefixes) and self._prefixes[place] == prefix:
            if self._digests[place].tobytes() == digest:
                return place
            place += 1
        return -1


def digest_prefixes(digests: np.ndarray) -> np.ndarray:
    """(M, 32) uint8 → (M,) uint64, the first 8 bytes read big-endian."""
    leading = np.ascontiguousarray(digests[:, :8])
    return leading.view(">u8").reshape(-1).astype(np.uint64)
