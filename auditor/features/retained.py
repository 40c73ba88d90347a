"""Asks the networks that a scan trained and kept about images that it never saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from auditor.features.folds import N_FOLDS, content_keys, training_rows
from auditor.features.store import view_columns


def stored_pixels(root: Path, digests: list[str]) -> np.ndarray:
    """The pixel views that a scan stored below the cache folder ``root``.

    Args:
        root: the cache folder.
        digests: N hex sha256 of encoded samples.

    Returns:
        (N, 32, 32, 3) uint8, in the order asked.

    Raises:
        KeyError: a digest is not stored.
    """
    place: dict[str, tuple[int, int]] = {}
    blocks: list[np.ndarray] = []
    for path in sorted((root / "packs").glob("*/*.arrow")):
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all().combine_chunks()
        for row, digest in enumerate(table["sha256"].to_pylist()):
            place[digest.hex()] = (len(blocks), row)
        blocks.append(view_columns(table)[0])
    out = np.empty((len(digests), 32, 32, 3), np.uint8)
    for row, digest in enumerate(digests):
        block, inside = place[digest]
        out[row] = blocks[block][inside]
    return out


def retained_logits(
    folder: Path,
    pixels: np.ndarray,
    labels: np.ndarray,
    n_classes: int,
    seed: int,
    device: str,
    images: np.ndarray,
) -> np.ndarray:
    """What each fold's network says of new images.

    Args:
        folder: where `train_reference` wrote, with its networks in it.
        pixels: (N, 32, 32, 3) uint8, what they were trained on: their input scaling comes from it.
        labels: (N,) int64, the labels they were trained on.
        n_classes: K.
        seed: that of the training.
        device: ``auto``, ``cpu`` or ``cuda``.
        images: (M, 32, 32, 3) uint8.

    Returns:
        (F, M, K) float32 logits of the F folds.

    Raises:
        FileNotFoundError: a fold's network is not there.
    """
    from auditor.features.network import choose_hardware, load_network
    from auditor.features.training import measure_scaling, predict

    hardware = choose_hardware(device)
    keys = content_keys(pixels, seed)
    folds = np.load(folder / "fold.npy", allow_pickle=False)
    out = np.empty((N_FOLDS, len(images), n_classes), np.float32)
    for fold in range(N_FOLDS):
        found = sorted(folder.glob(f"fold{fold}-*.pt"))
        if not found:
            raise FileNotFoundError(f"{folder}: no network of fold {fold}")
        network = load_network(found[-1], n_classes, hardware)
        scale = measure_scaling(pixels, training_rows(keys, labels, folds, fold))
        everything = np.arange(len(images))
        for part, _, logits in predict(network, images, everything, scale, hardware):
            out[fold, part] = logits
    return out
