"""The suspect: a network that learnt the whole dataset, poison included, and what it gives away.

The reference is cross-fitted and trained briefly, so that it hardly learns a trigger. The thorough
profile also trains a victim (`victim.py`) on every sample and keeps what published detectors ask of
such a network: activations, answers, and how they hold under disturbance.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from auditor.features.folds import content_keys
from auditor.features.store import write_atomically
from auditor.interfaces import InapplicableError, Progress

if TYPE_CHECKING:
    from torch import nn

    from auditor.features.network import Hardware
    from auditor.features.training import Plan

VERSION = "1"
"""Raise it with anything that changes the outputs: stored ones are then made anew."""

EPOCHS = 20
"""How often the victim sees each sample."""

MIN_LABELLED = 200
"""With fewer the victim learns nothing that a trigger could be told from."""

OUTPUTS = (
    "victim_penultimate",
    "victim_logits",
    "victim_blended",
    "victim_amplified",
    "victim_extremes",
)


def make_suspect(
    pixels: np.ndarray,
    labels: np.ndarray,
    n_classes: int,
    out: Path,
    seed: int,
    device: str,
    progress: Progress,
) -> str:
    """Train a victim on the whole dataset and write its views.

    Writes into ``out``: ``victim_penultimate.npy`` (N, D) float16; ``victim_logits.npy`` (N, K)
    float32; ``victim_blended.npy`` (N, 2), ``victim_amplified.npy`` (N, L) and
    ``victim_extremes.npy`` (N, L) float32 (see `perturbation`). The weights are kept there too, so
    that a killed run need not train again; a finished run is returned as it is.

    Args:
        pixels: (N, 32, 32, 3) uint8, may be memory-mapped.
        labels: (N,) int64 in 0…K−1, or −1: such a sample is asked about, never learnt from.
        n_classes: K.
        out: an existing folder, for this dataset alone.
        seed: the result depends on it, the data and the hardware's precision only.
        device: ``auto``, ``cpu`` or ``cuda``.
        progress: called with (done, total), in images.

    Returns:
        sha256 of the victim's weights, in hex.

    Raises:
        InapplicableError: fewer than two classes or 200 labelled samples.
        UsageError: the device is unknown or absent.
    """
    from auditor.features.network import choose_hardware
    from auditor.features.victim import victim_plan

    _require_enough(labels)
    hardware = choose_hardware(device)
    keys = content_keys(pixels, seed)
    rows = np.flatnonzero(labels >= 0)
    rows = rows[np.lexsort((labels[rows], keys[rows]))]
    plan = victim_plan(rows.size, EPOCHS)
    key = _key(keys, labels, n_classes, seed, hardware, plan)
    done = _finished(out, key)
    if done is not None:
        return done
    total = plan.passes + _ASKED * len(labels)
    shown = 0

    def advance(n_images: int) -> None:
        nonlocal shown
        shown += n_images
        progress(min(shown, total), total)

    path = out / f"victim-{key[:16]}.pt"
    network = _trained(path, pixels, labels, rows, n_classes, plan, seed, hardware, advance)
    _write_views(network, pixels, labels, rows, keys, n_classes, out, seed, hardware, advance)
    digest = _weights_digest(network)
    record = {"key": key, "digest": digest}
    write_atomically(out / "victim.json", json.dumps(record, indent=1).encode())
    return digest


_ASKED = 16
"""Images that are asked about for each sample: itself, blends, amplified networks, extremes."""


def load_views(folder: Path) -> Mapping[str, np.ndarray]:
    """The views that `make_suspect` wrote, memory-mapped."""
    return {
        name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in OUTPUTS
    }


def _require_enough(labels: np.ndarray) -> None:
    known = labels[labels >= 0]
    if np.unique(known).size < 2 or known.size < MIN_LABELLED:
        raise InapplicableError(
            f"the victim network needs {MIN_LABELLED} labelled samples of 2 classes, there are "
            f"{known.size} of {np.unique(known).size}"
        )


def _key(
    keys: np.ndarray, labels: np.ndarray, n_classes: int, seed: int, hardware: Hardware, plan: Plan
) -> str:
    """Hex digest of everything that the result depends on."""
    settings = (VERSION, n_classes, seed, hardware.name, plan)
    digest = hashlib.sha256(repr(settings).encode())
    digest.update(keys.tobytes())
    digest.update(np.ascontiguousarray(labels, np.int64).tobytes())
    return digest.hexdigest()


def _trained(
    path: Path,
    pixels: np.ndarray,
    labels: np.ndarray,
    rows: np.ndarray,
    n_classes: int,
    plan: Plan,
    seed: int,
    hardware: Hardware,
    advance: Callable[[int], None],
) -> nn.Sequential:
    """The victim: loaded if an earlier run finished training it, else trained and stored."""
    import torch

    from auditor.features.augmentation import mirroring_is_harmless
    from auditor.features.network import load_network
    from auditor.features.training import train_fold

    if path.exists():
        advance(plan.passes)
        return load_network(path, n_classes, hardware)
    mirror = mirroring_is_harmless(pixels, labels, rows)
    network = train_fold(pixels, labels, rows, n_classes, plan, mirror, seed, hardware, advance)
    buffer = io.BytesIO()
    torch.save({name: value.cpu() for name, value in network.state_dict().items()}, buffer)
    write_atomically(path, buffer.getvalue())
    return network


def _write_views(
    network: nn.Sequential,
    pixels: np.ndarray,
    labels: np.ndarray,
    rows: np.ndarray,
    keys: np.ndarray,
    n_classes: int,
    out: Path,
    seed: int,
    hardware: Hardware,
    advance: Callable[[int], None],
) -> None:
    """Ask the victim about every sample; each file appears whole or not at all."""
    from auditor.features.network import N_PENULTIMATE
    from auditor.features.perturbation import (
        amplified_answers,
        blended_answers,
        draw_partners,
        normalised_extremes,
    )
    from auditor.features.training import measure_scaling, predict

    n = len(labels)
    scale = measure_scaling(pixels, rows)
    penultimate = np.empty((n, N_PENULTIMATE), np.float16)
    logits = np.empty((n, n_classes), np.float32)
    for part, features, answers in predict(network, pixels, np.arange(n), scale, hardware):
        penultimate[part], logits[part] = features, answers
        advance(part.size)
    partners = draw_partners(keys, np.random.default_rng(seed))
    views = {
        "victim_penultimate": penultimate,
        "victim_logits": logits,
        "victim_blended": blended_answers(
            network, pixels, labels, partners, scale, hardware, advance
        ),
        "victim_amplified": amplified_answers(network, pixels, scale, hardware, advance),
        "victim_extremes": normalised_extremes(network, pixels, scale, hardware, advance),
    }
    for name in OUTPUTS:
        partial = out / f".{name}.npy.partial"
        with partial.open("wb") as file:
            np.save(file, views[name], allow_pickle=False)
        partial.replace(out / f"{name}.npy")


def _weights_digest(network: nn.Sequential) -> str:
    """sha256 of all weights in the order of the state dictionary."""
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        digest.update(name.encode())
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _finished(out: Path, key: str) -> str | None:
    """What an earlier run of the same job recorded as its last act, if there was one."""
    path = out / "victim.json"
    if not path.exists() or not all((out / f"{name}.npy").exists() for name in OUTPUTS):
        return None
    record = json.loads(path.read_text())
    return str(record["digest"]) if record["key"] == key else None
