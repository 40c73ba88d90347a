"""Trains a network on a whole poisoned set and keeps its activations of that very set.

    python run_victim.py SET CACHE EPOCHS OUT

It is the setting in which spectral signatures and activation clustering were published: one
network, trained to the end, that has seen every sample. A scan trains two for a short time and
looks at samples they have not seen.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
from timed import load

from auditor.features.augmentation import mirroring_is_harmless
from auditor.features.network import choose_hardware
from auditor.features.retained import stored_pixels
from auditor.features.training import Plan, measure_scaling, predict, train_fold
from auditor.features.victim import BATCH_SIZE, MIN_STEPS


def main(folder: str, cache: str, epochs: str, out: str) -> None:
    """Train on all rows, write penultimate, probabilities, fold (all 0) and labels."""
    home = Path(out)
    labels = np.array(load(Path(folder), "labels"))
    digests = pl.read_parquet(Path(folder) / "keys.parquet")["sha256"].to_list()
    pixels = stored_pixels(Path(cache), digests)
    n_classes = int(labels.max()) + 1
    hardware = choose_hardware("auto")
    rows = np.random.default_rng(0).permutation(len(labels))
    plan = Plan(max(MIN_STEPS, int(epochs) * len(rows) // BATCH_SIZE), min(BATCH_SIZE, len(rows)))
    mirror = mirroring_is_harmless(pixels, labels, np.sort(rows))
    network = train_fold(
        pixels, labels, rows, n_classes, plan, mirror, 0, hardware, lambda n_images: None
    )
    order = np.arange(len(labels))
    parts = list(predict(network, pixels, order, measure_scaling(pixels, rows), hardware))
    logits = np.concatenate([values for _, _, values in parts])
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.save(home / "penultimate.npy", np.concatenate([values for _, values, _ in parts]))
    np.save(home / "probabilities.npy", odds / odds.sum(axis=1, keepdims=True))
    np.save(home / "fold.npy", np.zeros(len(labels), np.int8))
    np.save(home / "labels.npy", labels)


if __name__ == "__main__":
    main(*sys.argv[1:])
