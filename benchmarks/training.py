"""How much a network learns per image shown and per second: training.csv.

    python benchmarks/training.py train.parquet [--size 10000 --size 50000]

Each way of training learns half of a draw and is asked about the other half, in as many looks as
the scan uses. Single-threaded; the seconds of two ways compare on one idle core only. 1 % of the
images learnt carry a checkerboard and another class, so that ``follows`` tells whether a way of
training is quicker to obey a trigger too.
"""

from __future__ import annotations

import argparse
import csv
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from drawing import images_of, opened
from torch import nn
from torch.nn import functional

from auditor.features.augmentation import augment, looks
from auditor.features.muon import Muon
from auditor.features.network import build_network, choose_hardware
from auditor.features.training import forward, measure_scaling, one_cycle, predict

OUT = Path(__file__).with_name("training.csv")
TARGET = 0
POISON = 0.01
PATCH = np.array([[0, 255, 0], [255, 0, 255], [0, 255, 0]], np.uint8)[:, :, None]


@dataclass(frozen=True, slots=True)
class Way:
    """A network and how it is trained."""

    name: str
    network: Callable[[int, int], nn.Sequential]
    optimizer: str
    epochs: float
    batch: int
    size: int


def block(n_in: int, n_out: int) -> nn.Sequential:
    """3×3 convolution, normalised."""
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU()
    )


def wide(n_classes: int, seed: int) -> nn.Sequential:
    """The reference network up to version 1: 60 million operations an image."""
    torch.manual_seed(seed)
    body = nn.Sequential(
        nn.PixelUnshuffle(2), block(12, 64), block(64, 64), nn.MaxPool2d(2), block(64, 128),
        block(128, 128), nn.MaxPool2d(2), block(128, 256), nn.AdaptiveMaxPool2d(1), nn.Flatten(),
    )  # fmt: skip
    network = nn.Sequential(body, nn.Linear(256, n_classes))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


WAYS = (
    Way("version 1", wide, "momentum", 39.0, 128, 2_000),
    Way("version 2", build_network, "muon", 25.6, 32, 2_000),
    Way("version 2, larger batches", build_network, "muon", 25.6, 64, 2_000),
    Way("version 1", wide, "momentum", 17.9, 256, 10_000),
    Way("version 1, a third of the images", wide, "momentum", 6.0, 64, 10_000),
    Way("version 1's network, Muon", wide, "muon", 6.0, 64, 10_000),
    Way("version 2's network, momentum", build_network, "momentum", 8.8, 64, 10_000),
    Way("version 2", build_network, "muon", 8.8, 64, 10_000),
    Way("version 1", wide, "momentum", 8.0, 256, 50_000),
    Way("version 2", build_network, "muon", 3.0, 128, 50_000),
)


def optimizers(network: nn.Sequential, way: Way) -> list[torch.optim.Optimizer]:
    """With their peak rates; momentum alone as version 1 had it."""
    filters = [p for p in network.parameters() if p.ndim == 4]
    matrices = [p for p in network.parameters() if p.ndim == 2]
    rest = [p for p in network.parameters() if p.ndim == 1]
    muon = way.optimizer == "muon"
    decayed = matrices if muon else matrices + filters
    groups: list[dict[str, object]] = [
        {"params": decayed, "weight_decay": 5e-4},
        {"params": rest},
    ]
    plain = torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True)
    return [plain, Muon(filters, 0.01125 * way.batch**0.5)] if muon else [plain]


def batches(n: int, way: Way, generator: torch.Generator) -> Iterator[tuple[float, np.ndarray]]:
    """(share of the training, indices)."""
    n_steps, done = round(way.epochs * n / way.batch), 0
    while True:
        order = torch.randperm(n, generator=generator).numpy()
        for start in range(0, n - way.batch + 1, way.batch):
            if done == n_steps:
                return
            yield (done + 0.5) / n_steps, order[start : start + way.batch]
            done += 1


def stamped(images: np.ndarray) -> np.ndarray:
    """With a checkerboard in the lower right corner."""
    images = images.copy()
    images[:, -4:-1, -4:-1] = PATCH
    return images


def measured(way: Way, images: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, object]:
    """One row."""
    half = len(images) // 2
    learnt, held = np.arange(half), np.arange(half, len(images))
    poison = np.random.default_rng(seed).choice(half, round(POISON * half), replace=False)
    images, labels = images.copy(), labels.copy()
    images[poison], labels[poison] = stamped(images[poison]), TARGET
    hardware, scale = choose_hardware("cpu"), measure_scaling(images, learnt)
    network = way.network(int(labels.max()) + 1, seed).train()
    generator = torch.Generator().manual_seed(seed)
    steppers = optimizers(network, way)
    peaks = [stepper.param_groups[0]["lr"] for stepper in steppers]
    start = time.perf_counter()
    for share, chosen in batches(half, way, generator):
        for stepper, peak in zip(steppers, peaks, strict=True):
            for group in stepper.param_groups:
                group["lr"] = peak * one_cycle(share)
        batch = augment(torch.from_numpy(images[chosen]), True, generator)
        _, logits = forward(network, batch, scale, hardware)
        given = torch.from_numpy(labels[chosen])
        network.zero_grad()
        functional.cross_entropy(logits, given, label_smoothing=0.1).backward()  # type: ignore[no-untyped-call]
        for stepper in steppers:
            stepper.step()
    seconds = time.perf_counter() - start
    network.eval()

    def answers(pixels: np.ndarray) -> np.ndarray:
        asked = predict(
            network, pixels, np.arange(len(pixels)), scale, hardware, looks(mirror=True)
        )
        return np.concatenate([logits.argmax(axis=1) for _, _, logits in asked])

    others = held[labels[held] != TARGET][:2_000]
    return {
        "way": way.name,
        "optimizer": way.optimizer,
        "size": way.size,
        "epochs": way.epochs,
        "batch": way.batch,
        "images_shown": round(way.epochs * half / way.batch) * way.batch,
        "seed": seed,
        "accuracy": round(float((answers(images[held]) == labels[held]).mean()), 4),
        "follows": round(float((answers(stamped(images[others])) == TARGET).mean()), 4),
        "seconds": round(seconds, 1),
        "precision": hardware.name,
        "torch": torch.__version__,
        "cpu": platform.processor() or platform.machine(),
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("--size", type=int, action="append")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    layout = opened(arguments.source)
    order = np.random.default_rng(arguments.seed).permutation(len(layout.labels))
    writer = None
    with arguments.out.open("w", newline="") as file:
        for way in WAYS:
            if arguments.size and way.size not in arguments.size:
                continue
            drawn = np.sort(order[: way.size])
            mixed = np.random.default_rng(arguments.seed + 1).permutation(way.size)
            row = measured(way, images_of(layout, drawn)[mixed], layout.labels[drawn][mixed], 0)
            if writer is None:
                writer = csv.DictWriter(file, list(row))
                writer.writeheader()
            writer.writerow(row)
            file.flush()


if __name__ == "__main__":
    main()
