"""What both formats tell of a dataset: digests, files, classes, and what a scan said."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditor.manifests import Manifest

MAX_FILES = 1_000
"""Files that are listed one by one. Tools that read these formats hold a graph node for each; a
larger dataset is described by kind, and bound by its root digest."""

MEDIA_TYPES = {
    ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp",
    ".gif": "image/gif", ".bmp": "image/bmp", ".tif": "image/tiff", ".tiff": "image/tiff",
    ".parquet": "application/vnd.apache.parquet", ".csv": "text/csv",
    ".json": "application/json", ".jsonl": "application/jsonlines", ".txt": "text/plain",
    ".md": "text/markdown",
}  # fmt: skip
"""As the IANA registers them; anything else is application/octet-stream."""


@dataclass(frozen=True, slots=True)
class File:
    """One regular file of the dataset; ``sha256`` in hex."""

    path: str
    size: int
    sha256: str

    @property
    def media_type(self) -> str:
        """What its name promises."""
        suffix = posixpath.splitext(self.path)[1].lower()
        return MEDIA_TYPES.get(suffix, "application/octet-stream")


@dataclass(frozen=True, slots=True)
class Contents:
    """A dataset in figures.

    Attributes:
        name: the name of its folder or file.
        root: root digest of its manifest, in hex.
        row_root: digest of its rows whatever their order, or None.
        files: every file, or the first `MAX_FILES` by path.
        n_files: how many there are.
        n_bytes: bytes of all files.
        suffixes: lower-case file name extension → number of files.
        classes: class name → number of samples.
        splits: split → number of samples.
        n_samples: samples.
        report: what ``report.json`` holds, or None.
    """

    name: str
    root: str
    row_root: str | None
    files: tuple[File, ...]
    n_files: int
    n_bytes: int
    suffixes: Mapping[str, int]
    classes: Mapping[str, int]
    splits: Mapping[str, int]
    n_samples: int
    report: Mapping[str, Any] | None

    @property
    def listed(self) -> bool:
        """Whether every file is listed."""
        return len(self.files) == self.n_files


def read_contents(
    dataset: Path, manifest: Manifest, report: Mapping[str, Any] | None = None
) -> Contents:
    """Add up a manifest's entries.

    Raises:
        UsageError: the manifest is damaged.
    """
    files: list[File] = []
    n_files = n_bytes = n_samples = 0
    suffixes: Counter[str] = Counter()
    classes: Counter[str] = Counter()
    splits: Counter[str] = Counter()
    for entry in manifest.entries():
        if entry.kind in {"sample", "row"}:
            n_samples += 1
            if entry.label is not None:
                classes[entry.label] += 1
            if entry.split is not None:
                splits[entry.split] += 1
        if entry.kind in {"sample", "file"} and entry.sha256 is not None:
            n_files += 1
            n_bytes += entry.size or 0
            suffixes[posixpath.splitext(entry.path)[1].lower()] += 1
            if len(files) < MAX_FILES:
                files.append(File(entry.path, entry.size or 0, entry.sha256))
    return Contents(
        name=dataset.resolve().name or "dataset",
        root=manifest.root,
        row_root=manifest.row_root,
        files=tuple(files),
        n_files=n_files,
        n_bytes=n_bytes,
        suffixes=dict(sorted(suffixes.items())),
        classes=dict(sorted(classes.items())),
        splits=dict(sorted(splits.items())),
        n_samples=n_samples,
        report=report,
    )
