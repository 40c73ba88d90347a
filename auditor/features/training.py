"""Training the reference network on one half of the data, and asking it about the other.

The budget is counted in images shown, never in seconds, so that the result depends on the data
alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from auditor.features.augmentation import STRAIGHT, Look, augment, show
from auditor.features.muon import Muon
from auditor.features.network import Hardware, build_network

TOTAL_PASSES = 150_000
"""Images shown by both folds together at 50,000 samples and above: 140 s on two cores with AVX2."""

FULL_SIZE = 50_000
GROWTH = 1 / 3
"""How the images shown grow with the samples: 10,000 are shown 9 times, 2,000 26 times."""

MAX_EPOCHS = 39.0

MIN_STEPS = 500
BATCH_SIZES = (32, 64, 128)
"""The largest that leaves 500 steps: on 10,000 samples 64 was 1.8 points more right than 128, 32 no
more than 64."""

TURN_RATE = 0.01125
"""Peak of the filters' learning rate for a batch of one; it grows with the batch's root. Two thirds
more was 0.7 points worse (10,000 samples)."""

PEAK_RATE = 0.1
MOMENTUM = 0.9
WEIGHT_DECAY = 5e-4
WARM_SHARE = 0.25
LABEL_SMOOTHING = 0.1
PREDICT_BATCH = 250
"""Stays in the cache: a third faster than 1,000."""
REPORT_STEPS = 25
COPY_BYTES = 200_000_000
"""Largest half that is copied into memory; a larger one is indexed where it lies."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How one fold is trained."""

    n_steps: int
    batch_size: int

    @property
    def passes(self) -> int:
        """Images shown."""
        return self.n_steps * self.batch_size


@dataclass(frozen=True, slots=True)
class Scaling:
    """Mean and deviation of each colour, 0–255: (3,) float32."""

    mean: np.ndarray
    deviation: np.ndarray


def plan_training(n_samples: int, n_training: int) -> Plan:
    """Set steps and batch size of one fold from the sizes alone.

    Args:
        n_samples: N of the whole dataset.
        n_training: samples that the fold's network learns from.
    """
    epochs = TOTAL_PASSES / FULL_SIZE * (FULL_SIZE / n_samples) ** (1 - GROWTH)
    passes = min(min(MAX_EPOCHS, epochs) * n_training, TOTAL_PASSES / 2)
    passes = max(passes, float(n_training))
    fitting = [size for size in BATCH_SIZES if size * MIN_STEPS <= passes]
    batch_size = min(fitting[-1] if fitting else BATCH_SIZES[0], n_training)
    return Plan(max(1, round(passes / batch_size)), batch_size)


def measure_scaling(pixels: np.ndarray, rows: np.ndarray) -> Scaling:
    """Mean and deviation of each colour over at most 2,000 of the rows."""
    some = pixels[np.sort(rows[:: -(-rows.size // 2_000)])].reshape(-1, 3)
    deviation = np.maximum(some.std(axis=0, dtype=np.float64), 1.0)
    return Scaling(
        some.mean(axis=0, dtype=np.float64).astype(np.float32), deviation.astype(np.float32)
    )


def train_fold(
    pixels: np.ndarray,
    labels: np.ndarray,
    rows: np.ndarray,
    n_classes: int,
    plan: Plan,
    mirror: bool,
    seed: int,
    hardware: Hardware,
    advance: Callable[[int], None],
    smoothing: float = LABEL_SMOOTHING,
) -> nn.Sequential:
    """Train a network on some rows.

    Args:
        pixels: (N, 32, 32, 3) uint8, may be memory-mapped.
        labels: (N,) int64.
        rows: (M,) indices to learn from; their order counts.
        n_classes: K.
        plan: steps and batch size.
        mirror: whether mirrored images are shown too.
        seed: of the weights, the order and the augmentation.
        hardware: device and precision.
        advance: called with the number of images shown since the last call.
        smoothing: of the labels, 0–1.

    Filters are moved by Muon, all else by Nesterov momentum.

    Source: one-cycle learning rate, Smith & Topin 2019, §3, with linear ramps.
    """
    network = build_network(n_classes, seed).to(hardware.device).train()
    images = pixels[rows] if rows.size * pixels[0].nbytes <= COPY_BYTES else None
    scale = measure_scaling(pixels, rows)
    targets = torch.from_numpy(labels[rows])
    optimizers, peaks = _optimizers(network, plan.batch_size)
    generator = torch.Generator().manual_seed(seed)
    for step, chosen in enumerate(_batches(rows.size, plan, generator)):
        share = one_cycle((step + 0.5) / plan.n_steps)
        for optimizer, peak in zip(optimizers, peaks, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = peak * share
        raw = pixels[rows[chosen]] if images is None else images[chosen]
        batch = augment(torch.from_numpy(raw).to(hardware.device), mirror, generator)
        _, logits = forward(network, batch, scale, hardware)
        given = targets[torch.from_numpy(chosen)].to(hardware.device)
        loss = functional.cross_entropy(logits, given, label_smoothing=smoothing)
        network.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer in optimizers:
            optimizer.step()
        if (step + 1) % REPORT_STEPS == 0:
            advance(REPORT_STEPS * plan.batch_size)
    advance(plan.n_steps % REPORT_STEPS * plan.batch_size)
    return network.eval()


def one_cycle(share: float) -> float:
    """Learning rate as a fraction of its peak at a share (0–1) of the training."""
    if share < WARM_SHARE:
        return share / WARM_SHARE
    return (1.0 - share) / (1.0 - WARM_SHARE)


def forward(
    network: nn.Sequential, images: torch.Tensor, scale: Scaling, hardware: Hardware
) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, 32, 32, 3) uint8 → penultimate (B, D) float32, logits (B, K) float32.

    The head runs in float32: bfloat16 logits have three digits, too few to rank confident samples.
    """
    body, head = network
    mean = torch.from_numpy(scale.mean).to(images.device)
    deviation = torch.from_numpy(scale.deviation).to(images.device)
    scaled = ((images - mean) / deviation).to(hardware.dtype).permute(0, 3, 1, 2)
    low = hardware.dtype != torch.float32
    with torch.autocast(hardware.device, dtype=hardware.dtype if low else None, enabled=low):
        penultimate = body(scaled)
    penultimate = penultimate.float()
    return penultimate, head(penultimate)


@torch.no_grad()
def predict(
    network: nn.Sequential,
    pixels: np.ndarray,
    rows: np.ndarray,
    scale: Scaling,
    hardware: Hardware,
    ways: Sequence[Look] = STRAIGHT,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield (rows, penultimate (B, D) float16, logits (B, K) float32), 250 rows at a time.

    Logits are the mean over ``ways`` of showing the images. The penultimate layer is that of the
    first: a mean would blur what samples share, which is asked of it.
    """
    for start in range(0, rows.size, PREDICT_BATCH):
        part = rows[start : start + PREDICT_BATCH]
        images = torch.from_numpy(np.ascontiguousarray(pixels[part])).to(hardware.device)
        penultimate, logits = forward(network, show(images, ways[0]), scale, hardware)
        for way in ways[1:]:
            logits = logits + forward(network, show(images, way), scale, hardware)[1]
        logits = logits / len(ways)
        yield part, penultimate.half().cpu().numpy(), logits.cpu().numpy()


def _batches(n_rows: int, plan: Plan, generator: torch.Generator) -> Iterator[np.ndarray]:
    """Index batches: every row once an epoch, the ragged rest of an epoch left out."""
    done = 0
    while done < plan.n_steps:
        order = torch.randperm(n_rows, generator=generator).numpy()
        for start in range(0, n_rows - plan.batch_size + 1, plan.batch_size):
            if done == plan.n_steps:
                return
            yield order[start : start + plan.batch_size]
            done += 1


def _optimizers(
    network: nn.Sequential, batch_size: int
) -> tuple[list[torch.optim.Optimizer], list[float]]:
    """Muon for filters, momentum for the rest; and the peak of each one's learning rate.

    Weight decay for the head's matrix alone: filters have a fixed length, and biases and
    batch-norm parameters are few.
    """
    parameters = list(network.parameters())
    filters = [p for p in parameters if p.ndim == 4]
    groups: list[dict[str, object]] = [
        {"params": [p for p in parameters if p.ndim == 2], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
    ]
    turn = TURN_RATE * batch_size**0.5
    momentum = torch.optim.SGD(groups, lr=PEAK_RATE, momentum=MOMENTUM, nesterov=True)
    return [Muon(filters, turn), momentum], [turn, PEAK_RATE]
