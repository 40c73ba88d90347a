"""Cuts of a dataset: some samples in the same format, and others held out to try a trigger on."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from auditor.attacks.copies.copying import Layout, files_below
from auditor.attacks.copies.folder_copy import SUFFIXES as IMAGE_SUFFIXES
from auditor.attacks.copies.folder_copy import open_folder
from auditor.attacks.copies.metadata_copy import METADATA
from auditor.attacks.copies.parquet_copy import open_parquet, parquet_files
from auditor.errors import NothingToScanError, UsageError
from auditor.readers import Columns

HELD_OUT = 1_000
"""Samples to see an attack's success on: its standard error is then at most 1.6 %."""

HELD_OUT_SHARE = 0.1
"""Of a dataset too small for a thousand."""

ROW_GROUP = 1_000


@dataclass(frozen=True, slots=True)
class Cut:
    """What was cut.

    Attributes:
        path: the samples, as a dataset of the source's format.
        n_samples: how many.
        class_names: K names, in the order that attacks number them.
        images: encoded held-out images.
        labels: (H,) int64 their labels, in 0…K−1.
    """

    path: Path
    n_samples: int
    class_names: tuple[str, ...]
    images: tuple[bytes, ...]
    labels: np.ndarray


def cut(dataset: Path, size: int | None, seed: int, out: Path, columns: Columns) -> Cut:
    """Write ``size`` samples below ``out``, drawn by the seed with every class in proportion.

    Draws are nested: a smaller cut of the same seed lies within a larger one.

    Raises:
        UsageError: the dataset has fewer samples.
        NothingToScanError: it has none.
    """
    layout = open_layout(dataset, columns)
    chosen, held = draw(layout.labels, size, seed)
    out.mkdir(parents=True, exist_ok=True)
    path = out / "cut"
    if layout.kind == "parquet":
        if dataset.is_file():
            path = path.with_suffix(".parquet")
        _cut_parquet(dataset, path, chosen)
    else:
        _cut_folder(dataset, path, chosen)
    pairs = zip(held.tolist(), layout.fetch(held), strict=True)
    found = [(data, int(layout.labels[row])) for row, data in pairs if data is not None]
    labels = np.array([label for _, label in found], dtype=np.int64)
    return Cut(path, len(chosen), layout.class_names, tuple(data for data, _ in found), labels)


def open_layout(dataset: Path, columns: Columns) -> Layout:
    """The dataset as attacks see it."""
    if not dataset.exists():
        raise UsageError(f"{dataset}: no such file or folder; expected a dataset")
    if parquet_files(dataset):
        layout = open_parquet(dataset, columns.image, columns.label, columns.source)
    elif dataset.is_dir():
        layout = open_folder(dataset, columns.label, columns.source)
    else:
        raise NothingToScanError(f"{dataset}: expected a Parquet file or a folder with images")
    if not len(layout.labels):
        raise NothingToScanError(f"{dataset}: found no images to cut a sample from")
    return layout


def count_held_out(n_samples: int) -> int:
    """How many of a dataset's samples are held out."""
    return min(HELD_OUT, int(HELD_OUT_SHARE * n_samples))


def draw(labels: np.ndarray, size: int | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the cut and rows held out, each sorted and in proportion to the classes.

    Args:
        labels: (N,) int64; −1 is a class of its own for the cut and is never held out.
        size: rows of the cut, which leave as many held out as they can; None takes all but those.
        seed: of the draw.

    Raises:
        UsageError: ``size`` is not in 1…N.
    """
    n = len(labels)
    size = n - count_held_out(n) if size is None else size
    if not 0 < size <= n:
        raise UsageError(f"--size: got {size}, expected 1 to {n}, the samples of the dataset")
    n_held = min(count_held_out(n), n - size)
    generator = np.random.default_rng([seed, 101])
    order = generator.permutation(n)
    held_quota = _quotas(labels[labels >= 0], min(n_held, int((labels >= 0).sum())))
    chosen, held = [], []
    for k, quota in _quotas(labels, size).items():
        mine = order[labels[order] == k]
        reserved = min(held_quota.get(k, 0), len(mine) - quota)
        held.append(mine[len(mine) - reserved :])
        chosen.append(mine[:quota])
    return np.sort(np.concatenate(chosen)), np.sort(np.concatenate(held))


def _quotas(labels: np.ndarray, size: int) -> dict[int, int]:
    """Class → rows, in proportion, by largest remainders; they sum to ``size``."""
    classes, counts = np.unique(labels, return_counts=True)
    exact = counts * (size / max(1, counts.sum()))
    quotas = np.floor(exact).astype(np.int64)
    order = np.argsort(quotas - exact, kind="stable")
    quotas[order[: size - int(quotas.sum())]] += 1
    return dict(zip(classes.tolist(), quotas.tolist(), strict=True))


def _cut_parquet(dataset: Path, out: Path, rows: np.ndarray) -> None:
    start = 0
    for path in parquet_files(dataset):
        with pq.ParquetFile(path) as file:
            parts = []
            for index in range(file.metadata.num_row_groups):
                stop = start + file.metadata.row_group(index).num_rows
                inside = rows[(rows >= start) & (rows < stop)]
                if len(inside):
                    parts.append(file.read_row_group(index).take(pa.array(inside - start)))
                start = stop
            target = out if dataset.is_file() else out / path.relative_to(dataset)
            if parts:
                target.parent.mkdir(parents=True, exist_ok=True)
                # A part's schema may lack the file's metadata, which holds the class names.
                table = pa.concat_tables(parts).cast(file.schema_arrow)
                pq.write_table(table, target, row_group_size=ROW_GROUP)


def _cut_folder(dataset: Path, out: Path, rows: np.ndarray) -> None:
    files = files_below(dataset)
    uris = [uri for uri in files if PurePosixPath(uri).suffix.lower() in IMAGE_SUFFIXES]
    kept = {uris[row] for row in rows.tolist()}
    for uri in sorted(kept):
        (out / uri).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(dataset / uri, out / uri)
    for uri in (u for u in files if PurePosixPath(u).name in METADATA):
        (out / uri).parent.mkdir(parents=True, exist_ok=True)
        base = PurePosixPath(uri).parent
        names = {PurePosixPath(k).relative_to(base).as_posix() for k in kept
                 if base == PurePosixPath() or PurePosixPath(k).is_relative_to(base)}  # fmt: skip
        _cut_table(dataset / uri, out / uri, names)


def _cut_table(path: Path, out: Path, names: set[str]) -> None:
    """A metadata file with the lines of the kept files alone."""
    if path.suffix == ".parquet":
        table = pq.read_table(path, partitioning=None)
        mask = [name in names for name in table["file_name"].to_pylist()]
        pq.write_table(table.filter(pa.array(mask)), out)
    elif path.suffix == ".csv":
        reader = csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline=""))
        with out.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(reader.fieldnames or []), extrasaction="ignore")
            writer.writeheader()
            writer.writerows(row for row in reader if row.get("file_name") in names)
    else:
        lines = [line for line in path.read_text("utf-8-sig").split("\n") if line.strip()]
        kept = [line for line in lines if str(json.loads(line).get("file_name")) in names]
        out.write_text("".join(line + "\n" for line in kept), encoding="utf-8")


EDGE = 1 << 16
"""Bytes at either end of a file that tell it from another of its name and size: all of a small
image, and of a Parquet file the footer, with the sizes and statistics of every column chunk."""


def dataset_digest(dataset: Path) -> str:
    """What a dataset is known by between runs: name, size and both ends of each file.

    Hashing a large dataset whole would take longer than many cases, and times differ between copies
    of the same files. It serves to find kept results, no more: whoever means to deceive can.
    """
    paths = [dataset] if dataset.is_file() else [dataset / uri for uri in files_below(dataset)]
    digest = hashlib.sha256()
    for path in paths:
        name = path.name if dataset.is_file() else path.relative_to(dataset).as_posix()
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest.update(f"{len(name)}:{name}:{size}\n".encode())
            digest.update(file.read(EDGE))
            file.seek(max(EDGE, size - EDGE))
            digest.update(file.read(EDGE))
    return digest.hexdigest()
