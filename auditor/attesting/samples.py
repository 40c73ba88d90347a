"""The attested samples, compact enough to be handed to every loading process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from auditor.ingest import class_order
from auditor.manifests import Entry, Manifest

NO_RECORD = -1
NO_LABEL = -1


@dataclass(frozen=True, slots=True)
class Samples:
    """N attested samples in the manifest's order: by path, then by row.

    Attributes:
        paths: the distinct paths.
        place: (N,) int64, index into ``paths``, ascending.
        record: (N,) int64, the row inside a Parquet file, or −1.
        digest: (N, 32) uint8, sha256 of the encoded image.
        size: (N,) int64, bytes of the encoded image.
        label: (N,) int64 in 0…K−1, or −1 without a label.
        split: (N,) int64, index into ``splits``, or −1.
        refused: (N,) bool, True where the scan could not read the sample.
        classes: the K class names, in the order in which a scan numbers them.
        splits: the names of the splits, sorted.
        files: every other regular file, Parquet files included: path → (size, sha256 in hex).
        others: links and special files: path → kind.
    """

    paths: pa.StringArray
    place: np.ndarray
    record: np.ndarray
    digest: np.ndarray
    size: np.ndarray
    label: np.ndarray
    split: np.ndarray
    refused: np.ndarray
    classes: tuple[str, ...]
    splits: tuple[str, ...]
    files: Mapping[str, tuple[int, str]]
    others: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.place)

    def path(self, index: int) -> str:
        """The path of one sample."""
        return str(self.paths[int(self.place[index])].as_py())

    def name(self, index: int) -> str:
        """One sample in words, safe to show."""
        record = int(self.record[index])
        path = repr(self.path(index))
        return path if record == NO_RECORD else f"{path} row {record}"

    def class_name(self, index: int) -> str | None:
        """The attested class of one sample."""
        label = int(self.label[index])
        return None if label == NO_LABEL else self.classes[label]

    def by_path(self) -> dict[str, int]:
        """Path → index of the samples that are files of their own."""
        whole = np.flatnonzero(self.record == NO_RECORD)
        names = self.paths.take(self.place[whole]).to_pylist()
        return dict(zip(names, whole.tolist(), strict=True))

    def with_digest(self, digest: bytes) -> int | None:
        """The first sample that has these bytes, or None; looks at all of them."""
        wanted = np.frombuffer(digest, np.uint8)
        found = np.flatnonzero((self.digest == wanted).all(axis=1))
        return int(found[0]) if len(found) else None


def load_samples(manifest: Manifest, refused: Iterable[Mapping[str, object]]) -> Samples:
    """Read a manifest's entries; its root is checked on the way.

    Args:
        manifest: an opened manifest.
        refused: ``uri, record`` of the samples that the scan could not read.

    Raises:
        UsageError: the manifest is damaged: it does not have the root that its header names.
    """
    unread = {(item["uri"], item.get("record")) for item in refused}
    paths: list[str] = []
    columns: list[list[int]] = [[], [], []]
    digests: list[bytes] = []
    labels: list[str | None] = []
    splits: list[str | None] = []
    flags: list[bool] = []
    files: dict[str, tuple[int, str]] = {}
    others: dict[str, str] = {}
    for entry in manifest.entries():
        if entry.kind in {"sample", "row"} and entry.sha256 is not None:
            if not paths or paths[-1] != entry.path:
                paths.append(entry.path)
            record = NO_RECORD if entry.record is None else entry.record
            values = (len(paths) - 1, record, entry.size or 0)
            for column, value in zip(columns, values, strict=True):
                column.append(value)
            digests.append(bytes.fromhex(entry.sha256))
            labels.append(entry.label)
            splits.append(entry.split)
            flags.append((entry.path, entry.record) in unread)
        else:
            _note(entry, files, others)
    classes = _classes(labels, manifest.class_names)
    named = tuple(sorted({name for name in splits if name is not None}))
    return Samples(
        paths=pa.array(paths, pa.string()),
        place=np.array(columns[0], np.int64),
        record=np.array(columns[1], np.int64),
        digest=np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32),
        size=np.array(columns[2], np.int64),
        label=_numbers(labels, classes),
        split=_numbers(splits, named),
        refused=np.array(flags, bool),
        classes=classes,
        splits=named,
        files=files,
        others=others,
    )


def _note(entry: Entry, files: dict[str, tuple[int, str]], others: dict[str, str]) -> None:
    if entry.record is not None:
        return  # a row that could not be read when the manifest was made: never attested
    if entry.kind == "file" and entry.sha256 is not None:
        files[entry.path] = (entry.size or 0, entry.sha256)
    else:
        others[entry.path] = entry.kind


def _classes(labels: list[str | None], declared: tuple[str, ...]) -> tuple[str, ...]:
    found = {name for name in labels if name is not None}
    return (*declared, *sorted(found - set(declared), key=class_order))


def _numbers(values: list[str | None], names: tuple[str, ...]) -> np.ndarray:
    number = {name: i for i, name in enumerate(names)}
    return np.array([NO_LABEL if v is None else number[v] for v in values], np.int64)
