"""The suspect: a network that learnt the whole dataset, poison included, and what it gives away.

The reference is cross-fitted: each of its networks meets half of the poison and is asked about the
other half. The thorough profile also trains a victim (`victim.py`) on every sample and keeps its
activations and answers. What else published detectors ask of such a network (answers under blending
or amplified layers, unlikely activations) was measured and adds nothing (`benchmarks/ablation.py`).
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

EPOCHS = 12
"""How often the victim sees each sample, shifted and mirrored. Measured on 10,000 CIFAR-10 images:
without augmentation it fits every label by heart in 12 epochs, a warp at 5 % among them, and its
trigger still works on 11 % of held-out images only; with it, 22 % of that poison is fitted and 72 %
of an input-aware trigger's, which is learnt."""

MIN_LABELLED = 200
"""With fewer the victim learns nothing that a trigger could be told from."""

OUTPUTS = ("victim_penultimate", "victim_logits")


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

    Writes into ``out``: ``victim_penultimate.npy`` (N, D) float16 and ``victim_logits.npy`` (N, K)
    float32. The weights are kept there too, so that a killed run need not train again; a finished
    run is returned as it is.

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
    total = plan.passes + len(labels)
    shown = 0

    def advance(n_images: int) -> None:
        nonlocal shown
        shown += n_images
        progress(min(shown, total), total)

    path = out / f"victim-{key[:16]}.pt"
    network = _trained(path, pixels, labels, rows, n_classes, plan, seed, hardware, advance)
    _write_views(network, pixels, rows, n_classes, out, hardware, advance)
    digest = _weights_digest(network)
    record = {"key": key, "digest": digest}
    write_atomically(out / "victim.json", json.dumps(record, indent=1).encode())
    return digest


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
    network = train_fold(
        pixels, labels, rows, n_classes, plan, mirror, seed, hardware, advance, smoothing=0.0
    )
    buffer = io.BytesIO()
    torch.save({name: value.cpu() for name, value in network.state_dict().items()}, buffer)
    write_atomically(path, buffer.getvalue())
    return network


def _write_views(
    network: nn.Sequential,
    pixels: np.ndarray,
    rows: np.ndarray,
    n_classes: int,
    out: Path,
    hardware: Hardware,
    advance: Callable[[int], None],
) -> None:
    """Ask the victim about every sample; each file appears whole or not at all."""
    from auditor.features.network import N_PENULTIMATE
    from auditor.features.training import measure_scaling, predict

    n = len(pixels)
    scale = measure_scaling(pixels, rows)
    shapes = {
        OUTPUTS[0]: ((n, N_PENULTIMATE), np.float16),
        OUTPUTS[1]: ((n, n_classes), np.float32),
    }
    views = {
        name: np.lib.format.open_memmap(
            out / f".{name}.npy.partial", mode="w+", dtype=dtype, shape=shape
        )
        for name, (shape, dtype) in shapes.items()
    }
    for part, penultimate, logits in predict(network, pixels, np.arange(n), scale, hardware):
        views["victim_penultimate"][part] = penultimate
        views["victim_logits"][part] = logits
        advance(part.size)
    for name, view in views.items():
        view.flush()
        (out / f".{name}.npy.partial").replace(out / f"{name}.npy")


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
