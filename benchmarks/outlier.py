"""Which foreign, noisy and meaningless images are found, and what clean data give: outlier.csv.

    python benchmarks/outlier.py

with the evaluation data at ``AUDITOR_TEST_DATA``. Images are stamped in memory at 32×32 by the
bundled attacks; clean draws of the role ``tuning`` are those from which the tails were read. Five
minutes of one core.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from auditor.attacks import ATTACKS
from auditor.attacks.copies.folder_copy import open_folder
from auditor.attacks.copies.parquet_copy import open_parquet
from auditor.attacks.copies.rewriting import thumbnails
from auditor.attacks.requests.planning import typed_params
from auditor.detectors.outlier import measure
from auditor.interfaces import Material, Victim

ROOT = Path(__file__).parent.parent
DATA = ROOT / os.environ.get("AUDITOR_TEST_DATA", "../shared/data")
OUT = Path(__file__).with_name("outlier.csv")
SOURCES = {
    "cifar10": DATA / "cifar10" / "train.parquet",
    "fashion": DATA / "fashion-mnist" / "train.parquet",
    "imagenette": DATA / "imagenette" / "train",
}
SIDE = 32
CLEAN = (
    ("tuning", "imagenette", 500, 8), ("tuning", "imagenette", 1_000, 8),
    ("tuning", "imagenette", 2_000, 1), ("tuning", "cifar10", 500, 6),
    ("tuning", "cifar10", 1_000, 6), ("tuning", "cifar10", 2_000, 5),
    ("tuning", "cifar10", 5_000, 3), ("tuning", "cifar10", 10_000, 2),
    ("tuning", "cifar10", 50_000, 1), ("tuning", "fashion", 500, 4),
    ("tuning", "fashion", 1_000, 4), ("tuning", "fashion", 5_000, 2),
    ("tuning", "fashion", 60_000, 1), ("report", "imagenette", 700, 4),
    ("report", "imagenette", 1_500, 3), ("report", "cifar10", 700, 4),
    ("report", "cifar10", 3_000, 3), ("report", "cifar10", 20_000, 1),
    ("report", "fashion", 700, 3), ("report", "fashion", 20_000, 1),
)  # fmt: skip
POISONED = (("cifar10", 10_000), ("fashion", 10_000), ("imagenette", 2_000))
FOREIGN = ("foreign_injection", "noise_injection", "outlier_injection")
RATES = (0.003, 0.01, 0.03)
FIRST_REPORTED = 20


def pictures(dataset: str) -> np.ndarray:
    """(N, 32, 32, 3) uint8 of a whole dataset."""
    source = SOURCES[dataset]
    opened = open_folder(source, None, None) if source.is_dir() else None
    layout = opened or open_parquet(source, None, None, None)
    return thumbnails(layout, np.arange(len(layout.labels)), SIDE, 1)


def drawn(pool: np.ndarray, n: int, seed: int) -> np.ndarray:
    """N of the pictures."""
    rng = np.random.default_rng(seed)
    return pool[np.sort(rng.choice(len(pool), min(n, len(pool)), replace=False))]


def stamped(images: np.ndarray, name: str, rate: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The pictures with round(rate·N) of them stamped, and which (N,) bool."""
    attack = next(attack for attack in ATTACKS if attack.id == name)
    assert attack.stamp is not None
    rng = np.random.default_rng([seed, 1])
    chosen = np.zeros(len(images), bool)
    chosen[rng.choice(len(images), round(rate * len(images)), replace=False)] = True
    victim = Victim("poison", 0, 0, typed_params(attack, {}), {}, None, rng)
    copy = images.copy()
    for row in np.flatnonzero(chosen):
        copy[row] = attack.stamp(images[row], victim)
    return copy, chosen


def flagged(images: np.ndarray) -> tuple[np.ndarray, float, float]:
    """What OUT001 reports (N,) bool, and the largest ``apart`` and score."""
    n = len(images)
    none = np.full(n, -1)
    rng = np.random.default_rng(0)
    material = Material(
        np.arange(n, dtype=np.uint64), none, 0, {"pixels": images}, none, rng, lambda *_: None
    )
    sample = measure(material)["sample"]
    surely, score = sample["outlier_apart"].to_numpy(), sample["outlier_score"].to_numpy()
    return (surely > 0.9) | (score >= 7), float(surely.max()), float(score.max())


def rows() -> Iterator[Mapping[str, object]]:
    """One row a draw."""
    for dataset in SOURCES:
        pool = pictures(dataset)
        cases = [
            (role, n, "clean", 0.0, seed + (FIRST_REPORTED if role == "report" else 0))
            for role, of, n, seeds in CLEAN
            for seed in range(seeds)
            if of == dataset
        ]
        for of, n in POISONED:
            if of == dataset:
                cases += [("report", n, name, rate, 5) for name in FOREIGN for rate in RATES]
        for role, n, name, rate, seed in cases:
            images, foreign = drawn(pool, n, seed), np.zeros(n, bool)
            if name != "clean":
                images, foreign = stamped(images, name, rate, seed)
            found, surely, score = flagged(images)
            yield {
                "role": role, "dataset": dataset, "n": len(images), "attack": name, "rate": rate,
                "seed": seed, "flagged": int(found.sum()),
                "tpr": round(float(found[foreign].mean()), 4) if foreign.any() else None,
                "fpr": round(float(found[~foreign].mean()), 6),
                "largest_apart": round(surely, 3), "largest_score": round(score, 2),
            }  # fmt: skip


def main() -> None:
    """Measure and write the table."""
    found = list(rows())
    with OUT.open("w", newline="") as file:
        writer = csv.DictWriter(file, found[0])
        writer.writeheader()
        writer.writerows(found)
    sys.stdout.write(OUT.read_text())


if __name__ == "__main__":
    main()
