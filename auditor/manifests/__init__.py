"""Manifests: every byte, label and split of a dataset, written down and compared again.

`create_manifest` writes one, `read_manifest` opens one, `verify_manifest` compares a dataset with
one, or with a Croissant description, a ``sha256sum`` list or a model-signing signature.
Importing this package loads neither torch nor polars; the functions load what they use.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from auditor.manifests.records import (
    MAX_KEPT,
    Difference,
    DifferenceKind,
    Entry,
    Kind,
    Manifest,
    Verification,
)

if TYPE_CHECKING:
    from auditor.interfaces import Progress
    from auditor.manifests.signature import Trust
    from auditor.readers import Columns

__all__ = [
    "MAX_KEPT",
    "Difference",
    "DifferenceKind",
    "Entry",
    "Kind",
    "Manifest",
    "Verification",
    "create_manifest",
    "quick_verify",
    "read_manifest",
    "verify_manifest",
]


def create_manifest(
    dataset: str | Path,
    out: str | Path,
    *,
    columns: Columns | None = None,
    cache_root: Path | None = None,
    workers: int = 0,
    progress: Progress | None = None,
) -> Manifest:
    """Write the manifest of a dataset and return it.

    The file appears whole or not at all. The dataset is only read.

    Args:
        dataset: a folder, or one Parquet file.
        out: the manifest file; must not lie inside the dataset.
        columns: the image, label and source columns, where detection would choose others.
        cache_root: folder of the index that makes an interrupted run resume and an unchanged file
            cost no read; None reads every byte.
        workers: hashing threads and isolated reading processes; 0 means one for each CPU.
        progress: called with (done, total) files and rows.

    Returns:
        The manifest; ``complete`` is false where something could not be read.

    Raises:
        UsageError: the dataset does not exist, ``out`` lies inside it or can not be written.
        NothingToScanError: the dataset holds no file at all.
    """
    from auditor.manifests.creation import create

    return create(Path(dataset), Path(out), columns, cache_root, workers, progress)


def read_manifest(path: str | Path) -> Manifest:
    """Open a manifest: its header now, its entries by `Manifest.entries`.

    Raises:
        UsageError: the file can not be read or is no manifest of this tool.
    """
    from auditor.manifests.document import read_header

    return read_header(Path(path))


def verify_manifest(
    dataset: str | Path,
    path: str | Path,
    *,
    cache_root: Path | None = None,
    workers: int = 0,
    trust: Trust | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Compare a dataset with a file that describes it, told by its content. Nothing is fetched.

    Args:
        dataset: a folder, or one Parquet file.
        path: a manifest, a Croissant JSON-LD, a ``sha256sum`` list or a model-signing signature.
        cache_root: folder of the index of unchanged files, as in `create_manifest`. None (the
            default) reads every byte again, which also finds what a failing disk changed.
        workers: as in `create_manifest`.
        trust: whom to believe; needed for a signature only.
        progress: called with (done, total) files and rows.

    Raises:
        UsageError: ``path`` is none of these formats, or is damaged; the dataset does not exist.
    """
    from auditor.manifests.verification import verify

    return verify(Path(dataset), Path(path), cache_root, workers, trust, progress)


def quick_verify(dataset: str | Path, path: str | Path, *, cache_root: Path) -> Verification:
    """Compare a dataset with its manifest, reading only files whose size, times or inode changed.

    Opens no table and needs no worker while nothing has changed: labels and splits are read off
    paths and bytes, so where those are the same, so are they. Anything else goes the full way.

    Args:
        dataset: a folder, or one Parquet file.
        path: a manifest of this tool.
        cache_root: folder of the index of unchanged files, which decides the speed.

    Raises:
        UsageError: as `verify_manifest`.
    """
    from auditor.manifests.quick import quick

    return quick(Path(dataset), Path(path), cache_root)
