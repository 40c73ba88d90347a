"""What the moving and texture probes measure on clean, mislabelled and poisoned data: their gates.

    python benchmarks/probe_gate.py moving|texture --cifar10 train.parquet --fashion train.parquet \
        --imagenette train/ [--split tune|report|later]

Draws samples, poisons them in memory at 32×32 (``auditor.attacks``), encodes every image of a
poisoned draw again as JPEG at quality 75 (grey ones as PNG, as their source is), and runs the
detector. Clean draws get one row: the class that comes closest to the gate. Poisoned draws get one
row: the target class, with the samples found and the number of other classes that fire. Writes
<detector>-gate.csv. ``fired`` names the class rules that fire: BKD010 and BKD011, or BKD014. These
draws have no content probabilities, so BKD012, which asks for disputed labels, never does: for its
null see ``gate_null.py``.
"""

from __future__ import annotations

import argparse
import csv
import io
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from drawing import backdoor_rules, fires, flip, images_of, opened, textures_of
from PIL import Image

from auditor.attacks.requests.planning import find_attack, typed_params
from auditor.detectors.moving import MOVING
from auditor.detectors.texture import TEXTURE
from auditor.interfaces import AttackMaterial, AttackRequest, Material, Victim

PROBES = {"moving": MOVING, "texture": TEXTURE}

SEEDS = {"tune": (0, 1), "report": (2, 3, 4), "later": (5, 6)}
"""``later`` was drawn after the likely rule's bounds were tightened on ``report``."""

SIZES = {"cifar10": (2000, 5000, 10000), "fashion": (2000, 5000, 10000), "imagenette": (1200, 2000)}
LARGE = 20000
"""Clean, once a split, of the datasets that have as many."""

WHOLE = 60000

NULLS = (("clean", 0.0), ("flip", 0.1), ("pair", 0.02))
MOVING_ATTACKS = (
    ("trojan_moving", {}, (0.003, 0.01)),
    ("badnets", {"position": "random"}, (0.003, 0.01)),
    ("badnets", {"position": "random", "pixels": "5"}, (0.003, 0.01)),
    ("badnets", {"position": "random", "pattern": "white"}, (0.01,)),
    ("badnets", {"pattern": "white"}, (0.003, 0.03)),
    ("multi_trigger", {}, (0.01,)),
    ("input_aware", {}, (0.05,)),
)
TEXTURE_ATTACKS = (
    ("bpp", {}, (0.02, 0.05)),
    ("wanet", {}, (0.05,)),
    ("ssba", {}, (0.02,)),
    ("ctrl", {}, (0.05,)),
)
LEAST = 24
"""Poisoned samples of a draw: fewer can not fire."""


@dataclass(frozen=True, slots=True)
class Case:
    """One draw: what is taken from which dataset, and what is done to it."""

    split: str
    dataset: str
    size: int
    attack: str
    params: Mapping[str, object]
    rate: float
    target: int
    seed: int


def cases(name: str, split: str) -> list[Case]:
    """The draws of a split: per dataset and seed the clean and mislabelled ones, then attacks."""
    made = []
    for dataset, sizes in SIZES.items():
        for seed in SEEDS[split] if split != "later" else ():
            target = (3 * seed + len(dataset)) % 10
            plain = [(n, kind, {}, rate) for n in sizes for kind, rate in NULLS]
            if dataset != "imagenette" and seed == SEEDS[split][0]:
                plain.append((LARGE, "clean", {}, 0.0))
            stamped = [
                (sizes[-1], kind, params, rate)
                for kind, params, rates in (MOVING_ATTACKS if name == "moving" else TEXTURE_ATTACKS)
                for rate in rates
                if rate * sizes[-1] >= LEAST and seed in SEEDS[split][:2]
            ]
            made += [
                Case(split, dataset, n, kind, params, rate, target, seed)
                for n, kind, params, rate in plain + stamped
            ]
    return made + (later() if split == "later" else [])


def later() -> list[Case]:
    """Large clean draws, whole datasets, and the attack that the likely rule is for."""
    white = {"pattern": "white"}
    made = []
    for dataset, sizes in SIZES.items():
        for seed in SEEDS["later"]:
            target = (3 * seed + len(dataset)) % 10
            made.append(Case("later", dataset, sizes[-1], "badnets", white, 0.03, target, seed))
            large = (LARGE, WHOLE)[: 1 if dataset == "imagenette" or seed > 5 else 2]
            made += [Case("later", dataset, n, "clean", {}, 0.0, target, seed) for n in large]
    return made


def draw(case: Case, folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, 32, 32, 3) uint8 images, labels and truth of a case."""
    layout = opened(folder)
    rng = np.random.default_rng([case.seed, case.size, zlib.crc32(case.dataset.encode())])
    size = min(case.size, len(layout.labels))
    rows = np.sort(rng.choice(len(layout.labels), size, replace=False))
    images = images_of(layout, rows)
    labels = layout.labels[rows].copy()
    truth = np.zeros(size, dtype=bool)
    if case.attack == "flip":
        flip(labels, case.rate, rng)
    elif case.attack == "pair":
        source = np.flatnonzero(labels == (case.target + 1) % 10)
        labels[rng.choice(source, round(case.rate * size), replace=False)] = case.target
    elif case.attack != "clean":
        images, labels, truth = poison(case, images, labels)
    return images, labels, truth


def poison(
    case: Case, images: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stamp in memory, and encode all images again alike."""
    attack = find_attack(case.attack)
    params = typed_params(attack, case.params)
    request = AttackRequest(
        labels, 10, case.rate, case.target, None, params, None, lambda r, side: images[r], _no_net
    )
    rng = np.random.default_rng([case.seed, 3])
    chosen = attack.choose(request, rng)
    material = attack.prepare(request, chosen, rng) if attack.prepare else AttackMaterial({})
    stamped, given = images.copy(), labels.copy()
    truth = np.zeros(len(labels), dtype=bool)
    for entry, row in enumerate(chosen.rows.tolist()):
        victim = Victim(
            "cover" if chosen.cover[entry] else "poison",
            int(labels[row]),
            int(chosen.labels[entry]),
            params,
            material.shared,
            None if material.own is None else material.own[entry],
            np.random.default_rng([case.seed, row]),
        )
        assert attack.stamp is not None
        stamped[row] = attack.stamp(images[row], victim)
        given[row] = chosen.labels[entry]
        truth[row] = not chosen.cover[entry]
    if case.dataset != "fashion":
        stamped = np.stack([encoded(image) for image in stamped])
    return stamped, given, truth


def _no_net(*_: object) -> tuple[object, np.ndarray, np.ndarray]:
    raise NotImplementedError("no attack here needs a network")


def encoded(image: np.ndarray) -> np.ndarray:
    """An image through JPEG at quality 75."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=75)
    return np.asarray(Image.open(buffer).convert("RGB"))


def measure(name: str, case: Case, folder: Path) -> Mapping[str, object]:
    """One row: the target's figures, or those of the class closest to the gate."""
    images, labels, truth = draw(case, folder)
    n = len(labels)
    probe, textures = PROBES[name], textures_of(images)
    material = Material(
        np.arange(n, dtype=np.uint64), labels, 10, {"pixels": images, "texture": textures},
        np.full(n, -1), np.random.default_rng(case.seed), lambda done, total: None,
    )  # fmt: skip
    started = time.process_time()
    evidence = probe.run(material)
    seconds = time.process_time() - started
    rules = backdoor_rules(name, "class")
    table = evidence["class"].with_columns(fires(rules))
    when = [rule.id for rule in rules]
    hit = pl.any_horizontal(*when)
    poisoned = bool(truth.any())
    if poisoned:
        row = table.filter(pl.col("label") == case.target)
    else:
        merit = pl.col(f"{name}_contrast") / (pl.col(f"{name}_excess") / 0.03).clip(1)
        row = table.sort((pl.col(f"{name}_n") >= 20) * merit, descending=True).head(1)
    found = evidence["sample"][f"{name}_member"].fill_null(False).to_numpy()
    own = labels == row["label"].item()
    fired = [rule for rule in when if row[rule].item()]
    figures = {
        column.removeprefix(f"{name}_"): round(value, 4) if isinstance(value, float) else value
        for column, value in row.row(0, named=True).items()
        if column not in when
    }
    return {
        "dataset": case.dataset, "n_rows": n, "attack": case.attack,
        "params": " ".join(f"{k}={v}" for k, v in case.params.items()), "rate": case.rate,
        "target": case.target if poisoned else "", "seed": case.seed, "split": case.split,
        **figures, "poison": int(truth.sum()), "tp": int((found & own & truth).sum()),
        "fp": int((found & own & ~truth).sum()), "fired": " ".join(fired),
        "wrong_classes": table.filter(hit, pl.col("label") != case.target).height if poisoned
        else table.filter(hit).height,
        "cpu_seconds": round(seconds, 2),
    }  # fmt: skip


def main() -> None:
    """Measure every case of the splits asked for and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("detector", choices=tuple(PROBES))
    for dataset in SIZES:
        parser.add_argument(f"--{dataset}", type=Path)
    parser.add_argument("--split", action="append", choices=tuple(SEEDS))
    parser.add_argument("--out", type=Path)
    asked = vars(parser.parse_args())
    name = asked["detector"]
    out = asked["out"] or Path(__file__).with_name(f"{name}-gate.csv")
    rows: list[Mapping[str, object]] = []
    for split in asked["split"] or SEEDS:
        for case in cases(name, split):
            if asked[case.dataset] is None:
                continue
            rows.append(measure(name, case, asked[case.dataset]))
            with out.open("w", newline="") as file:
                table = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
                table.writeheader()
                table.writerows(rows)


if __name__ == "__main__":
    main()
