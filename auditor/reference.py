"""Opinions on the content: a reference network, a victim, and a linear classifier."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import polars as pl

from auditor.config import Config
from auditor.detectors.labels.second_opinion import ridge_scores
from auditor.engines import WorkerPool
from auditor.errors import AuditorError
from auditor.features.calibration import fit_temperature, softmax
from auditor.features.store import write_atomically
from auditor.ingest import Ledger
from auditor.interfaces import InapplicableError, Progress
from auditor.readers import Catalog
from auditor.records import Reference

MAX_VOTES = 100_000_000
"""Samples × classes of which a linear classifier is asked (100,000 samples of a thousand classes):
its probabilities lie in memory a few times over. A quarter of that takes 0.46 GB."""

BATCH = 256
"""Pictures handed to a pretrained backbone at once."""


def make_reference(
    settings: Config,
    ledger: Ledger,
    catalog: Catalog,
    pool: WorkerPool,
    home: Path,
    progress: Progress,
) -> tuple[Reference, Mapping[str, np.ndarray]]:
    """Train or load the reference and map its views of the scanned rows, in row order.

    Raises:
        InapplicableError: too few classes or samples.
        UsageError: ``--model`` or ``--device`` can not be had.
    """
    from auditor.features.reference import OUTPUTS, train_reference

    labels = ledger.scanned["label"].fill_null(-1).to_numpy()
    n_classes = len(ledger.class_names)
    if settings.model == "self":
        folder = reference_folder(home, settings)
        folder.mkdir(exist_ok=True)
        reference = train_reference(
            ledger.views["pixels"], labels, n_classes, folder,
            settings.seed, settings.device, progress,
        )  # fmt: skip
    else:
        from auditor.features.backbone import load_backbone
        from auditor.features.pretrained import pretrained_views

        backbone = load_backbone(settings.model, settings.device)
        folder = home / f"backbone-{backbone.digest[:16]}-{settings.seed}"
        folder.mkdir(exist_ok=True)
        batches = squares(catalog, ledger.samples, pool, backbone.input_size)
        reference = pretrained_views(
            batches, labels, n_classes, folder, settings.seed, backbone, progress
        )
    views = {
        name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in OUTPUTS
    }
    return reference, views


def make_victim(
    settings: Config, ledger: Ledger, home: Path, progress: Progress
) -> tuple[str, Mapping[str, np.ndarray]]:
    """Train a network on the whole dataset; the digest of its weights, and its views in row order.

    Raises:
        InapplicableError: too few classes or samples.
        UsageError: ``--device`` can not be had.
    """
    from auditor.features.suspect import VERSION, load_views, make_suspect

    labels = ledger.scanned["label"].fill_null(-1).to_numpy()
    folder = home / f"victim-{VERSION}-{settings.seed}-{settings.device}"
    folder.mkdir(exist_ok=True)
    digest = make_suspect(
        ledger.views["pixels"], labels, len(ledger.class_names), folder,
        settings.seed, settings.device, progress,
    )  # fmt: skip
    return digest, load_views(folder)


def make_plain(
    settings: Config, ledger: Ledger, copies: np.ndarray, home: Path
) -> Mapping[str, np.ndarray]:
    """A linear classifier's opinion on the content: a trigger can not move it between all classes.

    Args:
        settings: for the seed.
        ledger: what was read.
        copies: (N,) int64, the position of each scanned row's first copy, or −1. A copy is judged,
            never learnt from: it would vote for itself.
        home: where the opinion is kept.

    Returns:
        ``plain``: (N, K) float32 probabilities, leave-one-out; see `auditor.features.patches`.

    Raises:
        InapplicableError: fewer than two classes, too many for the memory, or images that are flat.
    """
    from auditor.features.patches import VERSION

    path = home / f"plain-{VERSION}-{settings.seed}.npy"
    if not path.exists():
        labels = ledger.scanned["label"].fill_null(-1).to_numpy()
        _require_memory(len(labels), len(ledger.class_names))
        learnt = np.where(copies < 0, labels, -1)
        if len(np.unique(learnt[learnt >= 0])) < 2:
            raise InapplicableError("needs labels of at least two classes")
        plain = linear_opinion(
            ledger.views["pixels"], learnt, len(ledger.class_names), settings.seed, home,
            settings.n_workers,
        )  # fmt: skip
        buffer = io.BytesIO()
        np.save(buffer, plain, allow_pickle=False)
        write_atomically(path, buffer.getvalue())
    return {"plain": np.load(path, mmap_mode="r", allow_pickle=False)}


def _require_memory(n_samples: int, n_classes: int) -> None:
    if n_samples * n_classes > MAX_VOTES:
        raise InapplicableError(
            f"{n_samples:,} samples of {n_classes:,} classes: the linear classifier keeps a "
            f"probability of each in memory, at most {MAX_VOTES:,}"
        )


def linear_opinion(
    pixels: np.ndarray,
    labels: np.ndarray,
    n_classes: int,
    seed: int,
    home: Path,
    workers: int = 1,
) -> np.ndarray:
    """Class probabilities by ridge regression on patch statistics, leave-one-out.

    Args:
        pixels: (N, 32, 32, 3) uint8, may be memory-mapped.
        labels: (N,) int64 in 0…K−1, or −1: such a sample is judged, never learnt from.
        n_classes: K.
        seed: of the filters.
        home: where statistics lie while they are needed, 0.8 kB an image.
        workers: threads that take the statistics; the result does not depend on them.

    Returns:
        (N, K) float32.

    Raises:
        InapplicableError: the images are flat.
    """
    from auditor.features.patches import WIDTH, draw_filters, patch_statistics

    filters = draw_filters(pixels, seed)
    if filters is None:
        raise InapplicableError("the images are flat")
    with tempfile.TemporaryFile(dir=home) as file:
        # On disk, so that memory does not grow with the dataset.
        features = np.memmap(file, np.float16, "w+", shape=(len(pixels), WIDTH))
        for part, statistics in patch_statistics(pixels, filters, workers):
            features[part] = statistics
        scores = ridge_scores(features, labels, n_classes)
    return softmax(scores / fit_temperature(scores, labels))


def reference_folder(home: Path, settings: Config) -> Path:
    """Where `make_reference` keeps the networks that it trains on a dataset."""
    from auditor.features.reference import VERSION

    return home / f"reference-{VERSION}-{settings.seed}-{settings.device}"


def squares(
    catalog: Catalog, samples: pl.DataFrame, pool: WorkerPool, side: int
) -> Iterator[np.ndarray]:
    """(B, side, side, 3) uint8 batches of all scanned rows, decoded anew in isolated workers.

    Raises:
        AuditorError: a sample that could be read before can not be read any more.
    """
    scanned = (samples["status"] == "scanned").to_numpy()
    tasks = []
    start = 0
    for shard in catalog.shards:
        picks = np.flatnonzero(scanned[start : start + shard.known.height])
        for first in range(0, len(picks), BATCH):
            part = picks[first : first + BATCH].tolist()
            tasks.append({**shard.task, "kind": "pictures", "picks": part, "side": side})
        start += shard.known.height
    for table in pool.imap(tasks):
        pictures = table["picture"].to_pylist()
        if any(picture is None for picture in pictures):
            raise AuditorError(
                "a sample changed during the scan: it was read before and can not be read now; "
                "scan again when nothing writes to the dataset"
            )
        yield np.stack([np.frombuffer(p, np.uint8).reshape(side, side, 3) for p in pictures])
