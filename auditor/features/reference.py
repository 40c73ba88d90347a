"""The reference network's views: what a network trained on the other half says of each sample.

Two networks, each trained on one half and asked about the other (cross-fitting), so that no sample
is judged by a network that has seen its label. The two have different feature spaces: compare
penultimate activations within a fold only.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from auditor.features.calibration import fit_temperature, softmax
from auditor.features.folds import N_FOLDS, assign_folds, content_keys, training_rows
from auditor.features.store import write_atomically
from auditor.interfaces import InapplicableError, Progress
from auditor.records import Reference

if TYPE_CHECKING:
    from torch import nn

    from auditor.features.network import Hardware
    from auditor.features.training import Plan

VERSION = "2"
"""Raise it with anything that changes the training: stored networks are then trained anew."""

OUTPUTS_VERSION = "2"
"""Raise it with anything that changes what trained networks are asked: they are asked anew."""

MIN_LABELLED = 20
"""Fewer labelled samples leave under ten a fold: no network can be judged on that."""

OUTPUTS = ("probabilities", "penultimate", "fold")


@dataclass(frozen=True, slots=True)
class _Job:
    """All that decides the outputs."""

    pixels: np.ndarray
    labels: np.ndarray
    n_classes: int
    seed: int
    hardware: Hardware
    keys: np.ndarray
    folds: np.ndarray

    @property
    def digest(self) -> str:
        """Hex digest of everything that the networks depend on."""
        settings = (VERSION, self.n_classes, self.seed, self.hardware.name, self.pixels.shape)
        plans = [self.plan(fold) for fold in range(N_FOLDS)]
        digest = hashlib.sha256(repr((settings, plans)).encode())
        digest.update(self.keys.tobytes())
        digest.update(np.ascontiguousarray(self.labels, np.int64).tobytes())
        return digest.hexdigest()

    def rows(self, fold: int) -> np.ndarray:
        """What the network of ``fold`` learns from."""
        return training_rows(self.keys, self.labels, self.folds, fold)

    def plan(self, fold: int) -> Plan:
        """Its budget."""
        from auditor.features.training import plan_training

        return plan_training(len(self.labels), self.rows(fold).size)

    def mirrors(self, fold: int) -> bool:
        """Whether it learns from mirrored images too, and is shown them."""
        from auditor.features.augmentation import mirroring_is_harmless

        return mirroring_is_harmless(self.pixels, self.labels, self.rows(fold))


def train_reference(
    pixels: np.ndarray,
    labels: np.ndarray,
    n_classes: int,
    out: Path,
    seed: int,
    device: str,
    progress: Progress,
) -> Reference:
    """Train the reference network on the dataset and write its out-of-fold views.

    Writes into ``out``: ``probabilities.npy`` (N, K) float32, temperature-calibrated;
    ``penultimate.npy`` (N, D) float16; ``fold.npy`` (N,) int8. Each finished fold's weights are
    kept there too, so that a killed run goes on with the next fold; a finished run is returned
    as it is.

    Args:
        pixels: (N, 32, 32, 3) uint8, may be memory-mapped.
        labels: (N,) int64 in 0…K−1, or −1: such a sample is predicted, never learnt from.
        n_classes: K.
        out: an existing folder, for this dataset alone.
        seed: the result depends on it, the data and the hardware's precision only.
        device: ``auto``, ``cpu`` or ``cuda``.
        progress: called with (done, total), in images.

    Raises:
        InapplicableError: fewer than two classes or 20 labelled samples.
        UsageError: the device is unknown or absent.
    """
    from auditor.features.network import choose_hardware
    from auditor.features.parallel import for_each_fold

    _require_enough(labels)
    keys = content_keys(pixels, seed)
    folds = assign_folds(keys, labels)
    job = _Job(pixels, labels, n_classes, seed, choose_hardware(device), keys, folds)
    _require_different(job)
    key = job.digest
    done = _finished(out, key)
    if done is not None:
        return done
    total = sum(job.plan(fold).passes for fold in range(N_FOLDS)) + len(labels)
    views = _created(job, out)

    def judged(fold: int, advance: Callable[[int], None]) -> tuple[nn.Sequential, int]:
        network = _trained(job, fold, out, key, advance)
        return network, _judge(job, fold, network, views, advance)

    judgements = for_each_fold(judged, job.hardware.device, total, progress)
    networks, correct = zip(*judgements, strict=True)
    for name, view in views.items():
        view.flush()
        _temporary(out, name).replace(out / f"{name}.npy")
    accuracy = sum(correct) / int((labels >= 0).sum())
    reference = Reference("self", _weights_digest(networks), job.hardware.name, accuracy)
    _record(out, key, reference)
    return reference


def _require_enough(labels: np.ndarray) -> None:
    n_labelled = int((labels >= 0).sum())
    n_classes = np.unique(labels[labels >= 0]).size
    if n_classes < 2:
        raise InapplicableError(
            f"the reference network needs at least 2 classes, the labels name {n_classes}"
        )
    if n_labelled < MIN_LABELLED:
        raise InapplicableError(
            f"the reference network needs at least {MIN_LABELLED} labelled samples, "
            f"there are {n_labelled}"
        )


def _require_different(job: _Job) -> None:
    """Equal images share a fold, so a set of copies may leave the other fold without lessons."""
    for fold in range(N_FOLDS):
        rows = job.rows(fold)
        if rows.size < MIN_LABELLED // 4 or np.unique(job.labels[rows]).size < 2:
            raise InapplicableError(
                "the reference network needs different images of two classes in each half of "
                f"the data, one half has {rows.size} samples of "
                f"{np.unique(job.labels[rows]).size} classes"
            )


def _trained(
    job: _Job, fold: int, out: Path, key: str, advance: Callable[[int], None]
) -> nn.Sequential:
    """The network of a fold: loaded if an earlier run finished it, else trained and stored."""
    import torch

    from auditor.features.network import load_network
    from auditor.features.training import train_fold

    path = out / f"fold{fold}-{key[:16]}.pt"
    plan = job.plan(fold)
    if path.exists():
        advance(plan.passes)
        return load_network(path, job.n_classes, job.hardware)
    network = train_fold(
        job.pixels,
        job.labels,
        job.rows(fold),
        job.n_classes,
        plan,
        job.mirrors(fold),
        job.seed * N_FOLDS + fold,
        job.hardware,
        advance,
    )
    buffer = io.BytesIO()
    torch.save({name: value.cpu() for name, value in network.state_dict().items()}, buffer)
    write_atomically(path, buffer.getvalue())
    return network


def _created(job: _Job, out: Path) -> dict[str, np.memmap]:
    """The files of the views, empty."""
    from auditor.features.network import N_PENULTIMATE

    n = len(job.labels)
    views = {
        "probabilities": _create(out, "probabilities", (n, job.n_classes), np.float32),
        "penultimate": _create(out, "penultimate", (n, N_PENULTIMATE), np.float16),
        "fold": _create(out, "fold", (n,), np.int8),
    }
    views["fold"][:] = job.folds
    return views


def _judge(
    job: _Job,
    fold: int,
    network: nn.Sequential,
    views: dict[str, np.memmap],
    advance: Callable[[int], None],
) -> int:
    """Ask a network about the samples of its fold, which it has not seen; count what is right."""
    from auditor.features.augmentation import looks
    from auditor.features.training import measure_scaling, predict

    correct = 0
    rows = np.flatnonzero(job.folds == fold)
    scale = measure_scaling(job.pixels, job.rows(fold))
    ways = looks(job.mirrors(fold))
    for part, penultimate, logits in predict(network, job.pixels, rows, scale, job.hardware, ways):
        views["penultimate"][part] = penultimate
        views["probabilities"][part] = logits
        correct += int((logits.argmax(axis=1) == job.labels[part]).sum())
        advance(part.size)
    temperature = fit_temperature(views["probabilities"][rows], job.labels[rows])
    for start in range(0, rows.size, 65_536):
        part = rows[start : start + 65_536]
        views["probabilities"][part] = softmax(views["probabilities"][part] / temperature)
    return correct


def _create(out: Path, name: str, shape: tuple[int, ...], dtype: type) -> np.memmap:
    return np.lib.format.open_memmap(_temporary(out, name), mode="w+", dtype=dtype, shape=shape)


def _temporary(out: Path, name: str) -> Path:
    return out / f".{name}.npy.partial"


def _weights_digest(networks: Sequence[nn.Sequential]) -> str:
    """sha256 of how they are asked and of all weights, fold by fold in the state's order."""
    digest = hashlib.sha256(OUTPUTS_VERSION.encode())
    for network in networks:
        for name, value in network.state_dict().items():
            digest.update(name.encode())
            digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _record(out: Path, key: str, reference: Reference) -> None:
    payload = {
        "key": key,
        "outputs": OUTPUTS_VERSION,
        "name": reference.name,
        "digest": reference.digest,
        "device": reference.device,
        "accuracy": reference.accuracy,
    }
    write_atomically(out / "reference.json", json.dumps(payload, indent=1).encode())


def _finished(out: Path, key: str) -> Reference | None:
    """What an earlier run of the same job recorded as its last act, if there was one."""
    path = out / "reference.json"
    if not path.exists() or not all((out / f"{name}.npy").exists() for name in OUTPUTS):
        return None
    record = json.loads(path.read_text())
    if record["key"] != key or record.get("outputs") != OUTPUTS_VERSION:
        return None
    return Reference(record["name"], record["digest"], record["device"], record["accuracy"])
