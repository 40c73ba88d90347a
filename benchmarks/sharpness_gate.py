"""What the sharpness detector measures on clean, mislabelled and poisoned data: its gate.

    python benchmarks/sharpness_gate.py --cifar10 train.parquet --fashion train.parquet \
        --imagenette train/ --cache FOLDER [--split tune|report|later] [--anywhere]

Draws samples at 32×32, relabels some (``gate_null``) or poisons them in memory and encodes every
image again alike (``probe_gate``), and runs the detector. Content probabilities come from a
reference trained once on the whole clean dataset, which is better than a scan's: poisoned samples
get those of the image that they were made of. Writes sharpness-gate.csv, a row per draw, class that
is measured and view; ``fired`` names the rules that fire on it. With ``--anywhere`` it writes
sharpness-any-gate.csv instead, a row per draw and view: the implausible samples of all classes.
"""

from __future__ import annotations

import argparse
import csv
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import probe_gate
from drawing import DATASETS, backdoor_rules, fires
from gate_null import Pool, pool, relabel

from auditor.detectors.probing.shared_trait import ANYWHERE, COUNTS, RANKS
from auditor.detectors.sharpness import SHARPNESS, VIEWS
from auditor.features.pixels import perceptual_hash
from auditor.interfaces import Material

OUT = Path(__file__).with_name("sharpness-gate.csv")

SEEDS = {"tune": (0, 1), "report": (2, 3, 4), "later": (5, 6)}
"""``later``, without poison, was drawn after the bounds of tint were tightened on ``report``."""

SIZES = {"imagenette": (1000, 2000), "fashion": (2000, 5000, 10000), "cifar10": (2000, 5000, 10000)}
NULLS = (
    "none", "flip-0.02", "flip-0.1", "flip-0.2", "into-0.01", "into-0.05", "targeted-0.3",
    "pair-0.1",
)  # fmt: skip
ATTACKS = (
    ("wanet", 0.05), ("wanet", 0.02), ("wanet", 0.01), ("bpp", 0.05), ("ssba", 0.02),
    ("ssba", 0.01), ("ctrl", 0.05), ("adaptive_blend", 0.003), ("adaptive_patch", 0.003),
)  # fmt: skip
COLUMNS = (
    "split", "dataset", "size", "seed", "kind", "rate", "label", "poison", *COUNTS, "view", *RANKS,
    "found", "false", "fired",
)  # fmt: skip
LEAST = 30
"""Poisoned samples of a draw: of fewer, too few are implausible for the gate."""

DIGITS = 4

ANYWHERE_OUT = Path(__file__).with_name("sharpness-any-gate.csv")
EVERYWHERE = (("all_to_all", 0.01), ("untargeted", 0.02))
"""Further poison of the draws with ``--anywhere``: every class moved to the next, with SSBA's
residual; a patch with random wrong labels."""

PARAMS: Mapping[str, Mapping[str, object]] = {"all_to_all": {"with": "ssba"}}
ANYWHERE_COLUMNS = (
    "split", "dataset", "size", "seed", "kind", "rate", "poison", "n", "view", *ANYWHERE,
    "found", "false", "fired",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """One draw; ``kind`` is an attack, or a kind of label noise with its rate."""

    split: str
    dataset: str
    size: int
    seed: int
    kind: str
    rate: float

    @property
    def target(self) -> int:
        """The class that poison, and wrong labels into one class, are given."""
        return (3 * self.seed + len(self.dataset)) % 10


def cases(split: str, dataset: str, attacks: Sequence[tuple[str, float]]) -> Iterator[Case]:
    """The draws of a split from one dataset."""
    for seed in SEEDS[split]:
        for size in SIZES[dataset]:
            for kind in NULLS:
                yield Case(split, dataset, size, seed, kind, 0.0)
        for kind, rate in attacks:
            if split != "later" and rate * SIZES[dataset][-1] >= LEAST:
                yield Case(split, dataset, SIZES[dataset][-1], seed, kind, rate)


def draw(case: Case, whole: Pool) -> tuple[Material, np.ndarray]:
    """What the detector gets to see of a draw, and (N,) bool: which samples are poisoned."""
    rng = np.random.default_rng([case.seed, case.size, zlib.crc32(case.kind.encode())])
    rows = np.sort(rng.choice(len(whole.labels), case.size, replace=False))
    pixels, labels = np.ascontiguousarray(whole.pixels[rows]), whole.labels[rows].copy()
    truth = np.zeros(case.size, bool)
    kind, _, share = case.kind.partition("-")
    if case.rate:
        poisoning = probe_gate.Case(
            case.split, case.dataset, case.size, kind, PARAMS.get(kind, {}), case.rate, case.target,
            case.seed,
        )  # fmt: skip
        pixels, labels, truth = probe_gate.poison(poisoning, pixels, labels)
    elif kind == "into":
        others = np.flatnonzero(labels != case.target)
        labels[rng.choice(others, round(float(share) * case.size), replace=False)] = case.target
    else:
        relabel(labels, case.kind, rng)
    _, first, same = np.unique(perceptual_hash(pixels), return_index=True, return_inverse=True)
    original = first[same]
    material = Material(
        np.arange(case.size, dtype=np.uint64), labels, int(whole.labels.max()) + 1,
        {"pixels": pixels, "probabilities": np.asarray(whole.probabilities[rows])},
        np.where(original == np.arange(case.size), -1, original),
        np.random.default_rng(case.seed), lambda done, total: None,
    )  # fmt: skip
    return material, truth


def measure(case: Case, whole: Pool) -> Iterator[Mapping[str, object]]:
    """The rows of a draw: one a class that is measured."""
    material, truth = draw(case, whole)
    evidence = SHARPNESS.run(material)
    rules = backdoor_rules("sharpness", "class")
    for row in evidence["class"].with_columns(fires(rules)).to_dicts():
        own = material.labels == row["label"]
        for name, view in VIEWS.items():
            named = own & evidence["sample"][f"{view.prefix}_member"].fill_null(False).to_numpy()
            seen = {one: row[f"sharpness_{one}"] for one in COUNTS} | {"view": name}
            seen |= {one: row[f"{view.prefix}_{one}"] for one in RANKS}
            judged = [rule for rule in rules if rule.members == f"{view.prefix}_member"]
            yield {
                "split": case.split, "dataset": case.dataset, "size": case.size, "seed": case.seed,
                "kind": case.kind, "rate": case.rate, "label": row["label"],
                "poison": int((truth & own).sum()),
                **{k: round(v, DIGITS) if isinstance(v, float) else v for k, v in seen.items()},
                "found": int((named & truth).sum()), "false": int((named & ~truth).sum()),
                "fired": " ".join(rule.id for rule in judged if row[rule.id]),
            }  # fmt: skip


def measure_anywhere(case: Case, whole: Pool) -> Iterator[Mapping[str, object]]:
    """The rows of a draw, all classes together: one a view in which it was measured."""
    material, truth = draw(case, whole)
    evidence = SHARPNESS.run(material)
    rules = backdoor_rules("sharpness", "dataset")
    row = evidence["dataset"].with_columns(fires(rules)).row(0, named=True)
    for name, view in VIEWS.items():
        prefix = f"{view.prefix}_any"
        if row[f"{prefix}_excess"] is None:
            continue
        named = evidence["sample"][f"{prefix}_member"].fill_null(False).to_numpy()
        judged = [rule for rule in rules if rule.members == f"{prefix}_member"]
        yield {
            "split": case.split, "dataset": case.dataset, "size": case.size, "seed": case.seed,
            "kind": case.kind, "rate": case.rate, "poison": int(truth.sum()),
            "n": row["sharpness_any_n"], "view": name,
            **{one: round(row[f"{prefix}_{one}"], DIGITS) for one in ANYWHERE},
            "found": int((named & truth).sum()), "false": int((named & ~truth).sum()),
            "fired": " ".join(rule.id for rule in judged if row[rule.id]),
        }  # fmt: skip


def main() -> None:
    """Measure every draw of the splits asked for and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    for dataset in DATASETS:
        parser.add_argument(f"--{dataset}", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--split", action="append", choices=tuple(SEEDS))
    parser.add_argument("--anywhere", action="store_true")
    parser.add_argument("--out", type=Path)
    asked = vars(parser.parse_args())
    one = asked["anywhere"]
    out = asked["out"] or (ANYWHERE_OUT if one else OUT)
    attacks = (*ATTACKS, *EVERYWHERE) if one else ATTACKS
    rows: list[Mapping[str, object]] = []
    for dataset in [name for name in SIZES if asked[name] is not None]:
        whole = pool(asked[dataset], asked["cache"] / dataset)
        splits = asked["split"] or SEEDS
        for case in [case for split in splits for case in cases(split, dataset, attacks)]:
            rows += (measure_anywhere if one else measure)(case, whole)
            sys.stderr.write(f"{case}\n")
            with out.open("w", newline="") as file:
                columns = ANYWHERE_COLUMNS if one else COLUMNS
                table = csv.DictWriter(file, columns, lineterminator="\n")
                table.writeheader()
                table.writerows(rows)


if __name__ == "__main__":
    main()
