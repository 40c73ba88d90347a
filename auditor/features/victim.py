"""The victim: a network trained on a whole dataset until it fits, as whoever trusts it would.

The scan's own networks see half of the data each, for a few epochs, so that a scan is quick and no
sample is judged by a network that learnt from it. Whether an attack works is another question, and
this network answers it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from auditor.features.training import Plan

BATCH_SIZE = 128
"""As most papers on poisoning train."""

MIN_STEPS = 500
"""On 800 bundled digits 125 steps gave 10 % right and 500 gave 94 %."""


def victim_plan(n_rows: int, epochs: int) -> Plan:
    """Steps and batch size for a victim that sees ``n_rows`` samples ``epochs`` times."""
    from auditor.features.training import Plan

    batch = min(BATCH_SIZE, n_rows)
    return Plan(max(MIN_STEPS, epochs * n_rows // batch), batch)


def train_victim(
    pixels: np.ndarray,
    labels: np.ndarray,
    n_classes: int,
    epochs: int,
    seed: int,
    device: str,
) -> Callable[[np.ndarray], np.ndarray]:
    """Train the reference architecture on every labelled sample.

    Args:
        pixels: (N, 32, 32, 3) uint8.
        labels: (N,) int64 in 0…K−1, or −1: such a sample is left out.
        n_classes: K.
        epochs: how often each sample is shown; more where that is under 500 steps.
        seed: of the weights, the order and the augmentation.
        device: ``auto``, ``cpu`` or ``cuda``.

    Returns:
        A function of (M, 32, 32, 3) uint8 images that gives (M, K) float32 logits.

    Raises:
        UsageError: the device is unknown or absent.
    """
    from auditor.features.augmentation import mirroring_is_harmless
    from auditor.features.network import choose_hardware
    from auditor.features.training import measure_scaling, predict, train_fold

    hardware = choose_hardware(device)
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(labels >= 0))
    plan = victim_plan(rows.size, epochs)
    mirror = mirroring_is_harmless(pixels, labels, np.sort(rows))
    network = train_fold(
        pixels, labels, rows, n_classes, plan, mirror, seed, hardware, lambda n_images: None
    )
    scale = measure_scaling(pixels, rows)

    def logits(images: np.ndarray) -> np.ndarray:
        out = np.empty((len(images), n_classes), np.float32)
        for part, _, values in predict(network, images, np.arange(len(images)), scale, hardware):
            out[part] = values
        return out

    return logits
