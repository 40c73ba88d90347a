"""Whole kinds of pictures filed under another class: which gates of the low-level probes fire?

    python benchmarks/misfiled_kinds.py --cifar10 train.parquet --fashion train.parquet [--size N]

Wrong labels at random share nothing. A kind of picture that somebody took for another class shares
what pictures of that kind share, and no other class shows it: the hardest honest data for gates
that ask for a group with disputed labels. Each class of a draw is cut into eight kinds (k-means of
8×8 thumbnails, or of a network's activations), and one of them at a time gets the label of another
class, in all classes at once. The network saw the right labels, so that it disputes nearly all of
them. Writes misfiled-kinds.csv: a row per probe and class, with the rules that fire.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from drawing import backdoor_rules, fires, images_of, opened, plain_of, textures_of
from sklearn.cluster import KMeans

from auditor.detectors.edges import EDGES
from auditor.detectors.shortcut import look, tables
from auditor.detectors.texture import TEXTURE
from auditor.features.reference import train_reference
from auditor.interfaces import Evidence, Material

OUT = Path(__file__).with_name("misfiled-kinds.csv")

SEED = 1
N_KINDS = 8
PROBES = ("shortcut", "texture", "edges")
FIGURES = (
    "n", "contrast", "separation", "gap", "shoulder", "excess", "disputed", "disputed_rest",
    "spread",
)  # fmt: skip
DIGITS = 5


def drawn(source: Path, size: int) -> tuple[Material, np.ndarray]:
    """A draw with its right labels and all views, and (N, D) float32 activations."""
    layout = opened(source)
    every = np.asarray(layout.labels, np.int64)
    rows = np.sort(np.random.default_rng(SEED).choice(len(every), size, replace=False))
    pixels, labels = images_of(layout, rows), every[rows]
    n_classes = int(labels.max()) + 1
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        train_reference(pixels, labels, n_classes, made, SEED, "cpu", lambda *_: None)
        probabilities = np.load(made / "probabilities.npy")
        activations = np.load(made / "penultimate.npy").astype(np.float32)
    views = {
        "pixels": pixels,
        "texture": textures_of(pixels),
        "probabilities": probabilities,
        "plain": plain_of(pixels, labels, SEED),
    }
    return of(labels, n_classes, views), activations


def of(labels: np.ndarray, n_classes: int, views: dict[str, np.ndarray]) -> Material:
    """What detectors get to see."""
    rows = np.arange(len(labels), dtype=np.uint64)
    copies = np.full(len(labels), -1)
    generator = np.random.default_rng(SEED)
    return Material(rows, labels, n_classes, views, copies, generator, lambda done, total: None)


def kinds(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) int64: which of the kinds of its class each sample is."""
    kind = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        own = labels == label
        kind[own] = KMeans(N_KINDS, n_init=2, random_state=SEED).fit_predict(features[own])
    return kind


def evidence_of(probe: str, material: Material) -> Evidence:
    """The tables of one probe."""
    if probe == "shortcut":
        return tables(look(material), material)
    return {"texture": TEXTURE, "edges": EDGES}[probe].run(material)


def measure(dataset: str, right: Material, how: str, kind: np.ndarray) -> Iterator[pl.DataFrame]:
    """The rows of every draw in which one kind of each class is misfiled."""
    for which in range(N_KINDS):
        moved = kind == which
        step = 1 + which % (right.n_classes - 1)
        labels = np.where(moved, (right.labels + step) % right.n_classes, right.labels)
        material = of(labels, right.n_classes, dict(right.views))
        arrived = pl.DataFrame({"label": labels[moved]}).group_by("label").agg(moved=pl.len())
        for probe in PROBES:
            draw = {"dataset": dataset, "how": how, "kind": which, "probe": probe}
            told = judged(probe, material).join(arrived, on="label", how="left")
            yield told.select(
                *(pl.lit(value).alias(name) for name, value in draw.items()), pl.all()
            )
        sys.stderr.write(f"{dataset} {how} {which}\n")


def judged(probe: str, material: Material) -> pl.DataFrame:
    """Label and figures of each class by one probe, and the rules that fire on it alone."""
    table = evidence_of(probe, material)["class"]
    known = {*table.columns}
    rules = [rule for rule in backdoor_rules(probe, "class") if {*rule.requires} <= known]
    names = [pl.when(rule.id).then(pl.lit(rule.id)) for rule in rules]
    figures = [pl.col(f"{probe}_{name}").cast(pl.Float64).alias(name) for name in FIGURES]
    return table.with_columns(fires(rules)).select(
        "label",
        *(figure.round_sig_figs(DIGITS) for figure in figures),
        fired=pl.concat_str(names, separator=" ", ignore_nulls=True),
    )


def main() -> None:
    """Measure both datasets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cifar10", type=Path, required=True)
    parser.add_argument("--fashion", type=Path, required=True)
    parser.add_argument("--size", type=int, default=10_000)
    asked = parser.parse_args()
    found: list[pl.DataFrame] = []
    for dataset in ("cifar10", "fashion"):
        right, activations = drawn(getattr(asked, dataset), asked.size)
        small = right.views["pixels"].reshape(asked.size, 8, 4, 8, 4, 3).mean(axis=(2, 4))
        ways = {"thumbnails": small.reshape(asked.size, -1), "activations": activations}
        for how, features in ways.items():
            found += measure(dataset, right, how, kinds(features, right.labels))
            pl.concat(found).write_csv(OUT)


if __name__ == "__main__":
    main()
