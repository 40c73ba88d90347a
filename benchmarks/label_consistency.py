"""Which wrong labels are found, and how many right ones are doubted: label-consistency.csv.

    python benchmarks/label_consistency.py [--cache FOLDER] [--only tuning|report|given] [--trained]

with the evaluation data at ``AUDITOR_TEST_DATA``. Each case draws a cut, lays label noise over it,
trains the reference network on the noisy labels, as a scan does (a minute and a half of one core
for 10,000 images), and compares the judgement with the truth. ``best_f1`` is that of the best
threshold on the probability of the given label that anyone who knew the truth could choose;
``argmax_f1`` flags every label that the network disputes. Trained references stay in the cache.

Rows of the role ``tuning`` are those on which constants were chosen.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from auditor.attacks import ATTACKS
from auditor.attacks.copies.folder_copy import open_folder
from auditor.attacks.copies.parquet_copy import open_parquet
from auditor.attacks.copies.rewriting import thumbnails
from auditor.attacks.requests.planning import typed_params
from auditor.detectors.label_consistency import WRONG
from auditor.detectors.labels.noise import judge_labels
from auditor.detectors.labels.second_opinion import both_opinions
from auditor.features.reference import OUTPUTS, train_reference
from auditor.interfaces import AttackRequest, Material

ROOT = Path(__file__).parent.parent
DATA = ROOT / os.environ.get("AUDITOR_TEST_DATA", "../shared/data")
OUT = Path(__file__).with_name("label-consistency.csv")
SOURCES = {
    "cifar10": DATA / "cifar10" / "train.parquet",
    "fashion": DATA / "fashion-mnist" / "train.parquet",
    "imagenette": DATA / "imagenette" / "train",
}
HUMAN = {"human": "aggre_label", "human1": "random_label1"}
GIVEN = ("cifar10n-aggre_resnet18", "cifar10-synthetic-noise20-sparsity40_resnet18")
SIDE = 32


@dataclass(frozen=True, slots=True)
class Draw:
    """A cut of a dataset and the noise laid over its labels; ``n`` 0 takes the whole dataset."""

    role: str
    dataset: str
    noise: str
    rate: float
    seed: int
    n: int

    @property
    def name(self) -> str:
        """What its trained reference is kept under."""
        return f"{self.dataset}-{self.noise}-{self.rate:g}-{self.seed}-{self.n}"


NOISES = (
    ("clean", 0.0), ("label_flip", 0.02), ("label_flip", 0.05), ("label_flip", 0.1),
    ("label_flip", 0.2), ("pair_flip", 0.1), ("instance_flip", 0.1), ("one_to_other", 0.016),
    ("human", 0.0), ("human1", 0.0),
)  # fmt: skip
FEW = (("clean", 0.0), ("label_flip", 0.1), ("label_flip", 0.2))
DRAWS = (
    *(Draw("tuning", "cifar10", noise, rate, 0, 10_000) for noise, rate in NOISES),
    *(Draw("tuning", "cifar10", noise, rate, 1, 5_000) for noise, rate in FEW),
    *(Draw("report", "cifar10", noise, rate, 2, 10_000) for noise, rate in NOISES),
    *(Draw("report", "fashion", noise, rate, 2, 10_000) for noise, rate in NOISES[:8]),
    *(Draw("report", "imagenette", noise, rate, 2, 2_000) for noise, rate in FEW),
    *(Draw("tuning", dataset, "clean", 0.0, 0, 0) for dataset in SOURCES),
    *(Draw("report", dataset, "label_flip", 0.1, 0, 0) for dataset in ("cifar10", "fashion")),
)


def draw(case: Draw) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Pixels (N, 32, 32, 3) uint8, given and true labels (N,) int64, and the number of classes."""
    source = SOURCES[case.dataset]
    opened = open_folder(source, None, None) if source.is_dir() else None
    layout = opened or open_parquet(source, None, None, None)
    rng = np.random.default_rng(case.seed)
    n = min(case.n or len(layout.labels), len(layout.labels))
    rows = np.sort(rng.choice(len(layout.labels), n, replace=False))
    pixels = thumbnails(layout, rows, SIDE, 1)
    true = layout.labels[rows]
    if case.noise in HUMAN:
        table = pl.read_parquet(DATA / "labels" / "cifar10n_labels.parquet")
        return pixels, table[HUMAN[case.noise]].to_numpy()[rows].astype(np.int64), true, 10
    k = len(layout.class_names)
    return pixels, noisy(case, true, pixels, k), true, k


def noisy(case: Draw, true: np.ndarray, pixels: np.ndarray, n_classes: int) -> np.ndarray:
    """(N,) labels with the noise that the bundled attack of that name makes."""
    labels = true.copy()
    if case.noise == "clean":
        return labels
    one = case.noise == "one_to_other"
    attack = next(a for a in ATTACKS if a.id == ("label_flip" if one else case.noise))
    request = AttackRequest(
        labels=true,
        n_classes=n_classes,
        rate=case.rate,
        target=0 if one else None,
        source_class=1 if one else None,
        params=typed_params(attack, {}),
        sources=None,
        images=lambda rows, side: shrunk(pixels[rows], side),
        train=lambda *_: (_ for _ in ()).throw(NotImplementedError),
    )
    chosen = attack.choose(request, np.random.default_rng([case.seed, 1]))
    labels[chosen.rows] = chosen.labels
    return labels


def shrunk(pixels: np.ndarray, side: int) -> np.ndarray:
    """(M, 32, 32, 3) → (M, side, side, 3) uint8 means of blocks."""
    cell = SIDE // side
    blocks = pixels.reshape(len(pixels), side, cell, side, cell, 3)
    return blocks.mean(axis=(2, 4)).astype(np.uint8)


def material(case: Draw, cache: Path) -> tuple[Material, np.ndarray]:
    """What the detector sees of a case, trained if it was not before, and the true labels."""
    folder = cache / case.name
    folder.mkdir(parents=True, exist_ok=True)
    pixels, labels, true, k = draw(case)
    train_reference(pixels, labels, k, folder, 0, "cpu", lambda done, total: None)
    views = {name: np.load(folder / f"{name}.npy") for name in OUTPUTS}
    return seen(labels, k, views), true


def seen(labels: np.ndarray, n_classes: int, views: Mapping[str, np.ndarray]) -> Material:
    """The detector's material."""
    n = len(labels)
    none = np.full(n, -1, np.int64)
    rng = np.random.default_rng(0)
    rows = np.arange(n, dtype=np.uint64)
    return Material(rows, labels, n_classes, views, none, rng, lambda done, total: None)


def given(name: str) -> tuple[Draw, np.ndarray, np.ndarray, np.ndarray]:
    """Published out-of-fold probabilities: the case, the table, given and true labels."""
    with np.load(DATA / "labels" / f"{name}.npz", allow_pickle=False) as data:
        table = data["pred_probs"].astype(np.float32)
        labels, true = data["noisy_label"].astype(np.int64), data["true_label"].astype(np.int64)
    rate = round(float((labels != true).mean()), 4)
    return Draw("given", "cifar10", name, rate, 0, len(labels)), table, labels, true


def line(
    case: Draw, table: np.ndarray, posterior: np.ndarray, labels: np.ndarray, true: np.ndarray
) -> Mapping[str, object]:
    """One row of the table."""
    wrong, flagged = labels != true, np.nan_to_num(posterior) > WRONG
    own = table[np.arange(len(labels)), labels]
    order = np.argsort(own, kind="stable")
    found = np.cumsum(wrong[order])
    best = 2 * found / (np.arange(1, len(own) + 1) + wrong.sum())
    disputed = table.argmax(axis=1) != labels
    some = bool(wrong.any())
    sure, unsure = posterior > 0.7, (posterior > WRONG) & (posterior <= 0.7)
    return {
        "role": case.role, "dataset": case.dataset, "noise": case.noise,
        "rate": round(float(wrong.mean()), 4), "seed": case.seed, "n": len(labels),
        "accuracy": round(float((table.argmax(axis=1) == true).mean()), 4),
        "judged": not np.isnan(posterior).all(), "flagged": int(flagged.sum()),
        "precision": share(wrong, flagged), "recall": share(flagged, wrong),
        "f1": round(f1(flagged, wrong), 4) if some else None,
        "clean_fpr": round(float(flagged[~wrong].mean()), 5),
        "estimated_rate": round(float(np.nan_to_num(posterior).mean()), 4),
        "wrong_at_50_to_70": share(wrong, unsure), "wrong_above_70": share(wrong, sure),
        "best_f1": round(float(best.max()), 4) if some else None,
        "argmax_f1": round(f1(disputed, wrong), 4) if some else None,
    }  # fmt: skip


def share(which: np.ndarray, among: np.ndarray) -> float | None:
    """Share of ``among`` that is ``which``; None of nothing."""
    return round(float(which[among].mean()), 4) if among.any() else None


def f1(flagged: np.ndarray, wrong: np.ndarray) -> float:
    """Harmonic mean of precision and recall; (N,) bool each."""
    return float(2 * (flagged & wrong).sum() / max(flagged.sum() + wrong.sum(), 1))


def rows(cache: Path, only: str | None, trained: bool) -> Iterator[Mapping[str, object]]:
    """Every case's row; with ``trained`` only those whose reference is in the cache."""
    if only in (None, "given"):
        for name in GIVEN:
            case, table, labels, true = given(name)
            yield line(case, table, judge_labels(table, labels).posterior, labels, true)
    for case in DRAWS:
        if only not in (None, case.role) or (
            trained and not (cache / case.name / "reference.json").exists()
        ):
            continue
        data, true = material(case, cache)
        views = data.views
        table = both_opinions(
            views["probabilities"], views["penultimate"], views["fold"], data.labels
        )
        yield line(case, table, judge_labels(table, data.labels).posterior, data.labels, true)


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path(".label-consistency"))
    parser.add_argument("--only", choices=("tuning", "report", "given"))
    parser.add_argument("--trained", action="store_true", help="only what the cache holds")
    parser.add_argument("--out", type=Path, default=OUT)
    chosen = parser.parse_args()
    found = list(rows(chosen.cache, chosen.only, chosen.trained))
    with chosen.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, found[0])
        writer.writeheader()
        writer.writerows(found)
    sys.stdout.write(chosen.out.read_text())


if __name__ == "__main__":
    main()
