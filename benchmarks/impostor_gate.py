"""How near clean and mislabelled data come to the gates of the impostor detector.

    python benchmarks/impostor_gate.py --cifar10 train.parquet --fashion train.parquet \
        --cache FOLDER

Draws samples at 32×32, relabels some (``gate_null``) and runs the detector with the activations of
a reference trained once on the whole dataset with its own labels. Writes impostor-gate.csv, a row
per draw and class with a second population; ``fired`` names the rules that fire on it. The draws
were made after the bounds of BKD006 and BKD018, which were set on other draws of the same kind.
"""

from __future__ import annotations

import argparse
import csv
import sys
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from drawing import backdoor_rules, fires
from gate_null import Pool, pool, relabel

from auditor.detectors.impostor import IMPOSTOR, NOTHING
from auditor.features.pixels import perceptual_hash
from auditor.interfaces import Material

OUT = Path(__file__).with_name("impostor-gate.csv")

SIZES = {"cifar10": (5_000, 20_000, 50_000), "fashion": (5_000, 20_000)}
SEEDS = (200, 201, 202, 203)
NOISES = ("none", "flip-0.05", "flip-0.2", "pair-0.1", "targeted-0.3")
COLUMNS = ("dataset", "size", "seed", "noise", "label", *NOTHING, "fired")
DIGITS = 4


def draw(whole: Pool, cache: Path, size: int, seed: int, noise: str) -> Material:
    """What the detector gets to see of a draw."""
    rng = np.random.default_rng([seed, size, zlib.crc32(noise.encode())])
    rows = np.sort(rng.choice(len(whole.labels), size, replace=False))
    labels = whole.labels[rows].copy()
    relabel(labels, noise, rng)
    pixels = np.ascontiguousarray(whole.pixels[rows])
    _, first, same = np.unique(perceptual_hash(pixels), return_index=True, return_inverse=True)
    original = first[same]
    views = {"pixels": pixels, "probabilities": np.asarray(whole.probabilities[rows])}
    views |= {name: np.load(cache / f"{name}.npy")[rows] for name in ("penultimate", "fold")}
    return Material(
        np.arange(size, dtype=np.uint64), labels, int(whole.labels.max()) + 1, views,
        np.where(original == np.arange(size), -1, original),
        np.random.default_rng(seed), lambda done, total: None,
    )  # fmt: skip


def measure(material: Material) -> Iterator[Mapping[str, object]]:
    """A row for each class in which a second population stands apart."""
    rules = backdoor_rules("impostor", "class")
    table = IMPOSTOR.run(material)["class"].with_columns(fires(rules))
    for row in table.to_dicts():
        if row["impostor_share"]:
            seen = {name: round(row[f"impostor_{name}"], DIGITS) for name in NOTHING}
            fired = " ".join(rule.id for rule in rules if row[rule.id])
            yield {"label": row["label"], **seen, "fired": fired}


def main() -> None:
    """Measure every draw and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    for dataset in SIZES:
        parser.add_argument(f"--{dataset}", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=OUT)
    asked = vars(parser.parse_args())
    with asked["out"].open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        for dataset in [name for name in SIZES if asked[name] is not None]:
            cache = asked["cache"] / dataset
            whole = pool(asked[dataset], cache)
            for seed in SEEDS:
                for size in SIZES[dataset]:
                    for noise in NOISES:
                        case = {"dataset": dataset, "size": size, "seed": seed, "noise": noise}
                        for row in measure(draw(whole, cache, size, seed, noise)):
                            table.writerow(case | row)
                        file.flush()
                        sys.stderr.write(f"{case}\n")


if __name__ == "__main__":
    main()
