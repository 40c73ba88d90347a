"""How near clean and mislabelled data come to the gates of the probes of pixels, texture and edges.

    python benchmarks/gate_null.py --cifar10 train.parquet --fashion train.parquet \
        --imagenette train/ --cache FOLDER [--split tune|report]

Draws samples at 32×32, relabels some, and runs the probes with out-of-fold probabilities, so that
the gates on disputed labels are asked too. The probabilities come from a reference trained once on
the whole dataset with its own labels (a draw's labels do not reach it: it disputes relabelled
samples better than one trained on them would); pixels and reference stay under ``--cache``.
Writes gate-null.csv: a row per draw, probe and class, and one (``any``) for all disputed samples.
Probes of a draw that the table already has are kept, and judged anew by the shipped rules.
"""

from __future__ import annotations

import argparse
import sys
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from drawing import (
    DATASETS,
    backdoor_rules,
    fires,
    flip,
    images_of,
    opened,
    plain_of,
    textures_of,
)

from auditor.detectors.edges import EDGES
from auditor.detectors.shortcut import look, tables
from auditor.detectors.texture import TEXTURE
from auditor.features.pixels import perceptual_hash
from auditor.features.reference import train_reference
from auditor.interfaces import Evidence, Material

OUT = Path(__file__).with_name("gate-null.csv")

PROBES = ("shortcut", "texture", "edges")
SEEDS = {"tune": (0, 1, 2), "report": (10, 11, 12, 13, 14)}
SIZES = {
    "tune": {"cifar10": (2000, 5000), "fashion": (2000, 5000), "imagenette": (1000, 1500)},
    "report": {"cifar10": (2000, 4000), "fashion": (2000, 4000, 8000), "imagenette": (1000, 1500)},
}
NOISES = {
    "tune": ("none", "flip-0.1", "targeted-0.3", "pair-0.1"),
    "report": ("none", "flip-0.1", "targeted-0.3", "pair-0.1", "none2"),
}
"""Kind and rate. ``none2`` is a second draw without noise: every noise draws samples of its own."""

FIGURES = (
    "n", "share", "contrast", "separation", "gap", "shoulder", "excess", "edge", "disputed",
    "disputed_rest", "spread",
)  # fmt: skip
KEY = ("made", "split", "dataset", "size", "seed", "noise")
DIGITS = 5
"""Significant digits of the figures in the table, and of those that are judged."""


@dataclass(frozen=True, slots=True)
class Case:
    """One draw."""

    split: str
    dataset: str
    size: int
    seed: int
    noise: str


@dataclass(frozen=True, slots=True)
class Pool:
    """A whole dataset: (N, 32, 32, 3) uint8, (N,) int64 and (N, K) float32 out of fold."""

    pixels: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray


def cases(split: str, dataset: str) -> list[Case]:
    """The draws of a split from one dataset."""
    return [
        Case(split, dataset, size, seed, noise)
        for size in SIZES[split][dataset]
        for seed in SEEDS[split]
        for noise in NOISES[split]
    ]


def kept_pixels(source: Path, cache: Path) -> tuple[np.ndarray, np.ndarray]:
    """(N, 32, 32, 3) uint8 of a dataset, made once and kept in ``cache``, and (N,) int64 labels."""
    cache.mkdir(parents=True, exist_ok=True)
    stored = cache / "pixels.npy"
    layout = opened(source)
    labels = np.asarray(layout.labels, np.int64)
    if not stored.exists():
        np.save(stored, images_of(layout, np.arange(len(labels))))
    return np.load(stored, mmap_mode="r"), labels


def pool(source: Path, cache: Path) -> Pool:
    """A dataset with its reference; both are made once and kept in ``cache``."""
    pixels, labels = kept_pixels(source, cache)
    train_reference(pixels, labels, int(labels.max()) + 1, cache, 0, "cpu", lambda *_: None)
    return Pool(pixels, labels, np.load(cache / "probabilities.npy", mmap_mode="r"))


def relabel(labels: np.ndarray, noise: str, rng: np.random.Generator) -> None:
    """Give samples wrong labels, in place.

    ``flip``: any other class; ``pair``: the next class; ``targeted``: one class to one other.
    """
    kind, _, share = noise.partition("-")
    n_classes = int(labels.max()) + 1
    if kind == "flip":
        flip(labels, float(share), rng)
    elif kind == "pair":
        wrong = rng.choice(len(labels), round(float(share) * len(labels)), replace=False)
        labels[wrong] = (labels[wrong] + 1) % n_classes
    elif kind == "targeted":
        source, target = rng.choice(n_classes, 2, replace=False)
        own = np.flatnonzero(labels == source)
        labels[rng.choice(own, round(float(share) * len(own)), replace=False)] = target


def draw(case: Case, whole: Pool, linear: bool = True) -> Material:
    """What the probes get to see of a draw, with the opinion of a linear classifier or without."""
    rng = np.random.default_rng([case.seed, case.size, zlib.crc32(case.noise.encode())])
    rows = np.sort(rng.choice(len(whole.labels), case.size, replace=False))
    labels = whole.labels[rows].copy()
    relabel(labels, case.noise, rng)
    pixels = np.ascontiguousarray(whole.pixels[rows])
    _, first, same = np.unique(perceptual_hash(pixels), return_index=True, return_inverse=True)
    original = first[same]
    copies = np.where(original == np.arange(case.size), -1, original)
    views = {
        "pixels": pixels,
        "texture": textures_of(pixels),
        "probabilities": whole.probabilities[rows],
    }
    if linear:
        views["plain"] = plain_of(pixels, np.where(copies < 0, labels, -1), case.seed)
    return Material(
        np.arange(case.size, dtype=np.uint64), labels, int(whole.labels.max()) + 1, views, copies,
        np.random.default_rng(case.seed), lambda done, total: None,
    )  # fmt: skip


def measure(case: Case, whole: Pool, probes: Sequence[str]) -> Iterator[Mapping[str, object]]:
    """The rows of a draw by some of `PROBES`."""
    material = draw(case, whole)
    for probe in probes:
        evidence = _shortcut(material) if probe == "shortcut" else DETECTORS[probe].run(material)
        for scope in ("class", "dataset"):
            yield from _rows(case, probe, evidence[scope].to_dicts())


DETECTORS = {"texture": TEXTURE, "edges": EDGES}


def _shortcut(material: Material) -> Evidence:
    """The shortcut probe without stamping, which no gate needs."""
    return tables(look(material), material)


def _rows(case: Case, probe: str, found: list[dict[str, object]]) -> Iterator[Mapping[str, object]]:
    for one in found:
        prefix = probe if "label" in one else f"{probe}_any"
        key = ("command", case.split, case.dataset, case.size, case.seed, case.noise)
        row: dict[str, object] = dict(zip(KEY, key, strict=True))
        row |= {"probe": probe, "label": str(one.get("label", "any"))}
        for name in FIGURES:
            value = one.get(f"{prefix}_{name}")
            row[name] = float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
        yield row


def as_evidence(table: pl.DataFrame, probe: str, scope: str) -> pl.DataFrame:
    """The table's rows of one probe and scope, with the names that rules know."""
    anywhere = pl.col("label") == "any"
    prefix = probe if scope == "class" else f"{probe}_any"
    part = table.filter(pl.col("probe") == probe, ~anywhere if scope == "class" else anywhere)
    return part.rename({name: f"{prefix}_{name}" for name in FIGURES})


def judge(table: pl.DataFrame) -> pl.DataFrame:
    """The table in its own order, with the ids of the shipped rules that fire on each row."""
    table = table.with_row_index("row")
    parts = []
    for probe in PROBES:
        for scope in ("class", "dataset"):
            figures = as_evidence(table, probe, scope)
            # What pictures look like is measured on draws of its own: foreign_gate.py
            rules = [r for r in backdoor_rules(probe, scope) if {*r.requires} <= {*figures.columns}]
            hits = figures.with_columns(fires(rules))
            names = [pl.when(rule.id).then(pl.lit(rule.id)) for rule in rules]
            fired = pl.concat_str(names, separator=" ", ignore_nulls=True)
            parts.append(hits.select("row", fired=fired))
    return table.join(pl.concat(parts), on="row", how="left", maintain_order="left").drop("row")


SCHEMA = (
    {name: pl.Int64 if name in ("size", "seed") else pl.String for name in KEY}
    | {"probe": pl.String, "label": pl.String}
    | {name: pl.Int64 if name == "n" else pl.Float64 for name in FIGURES}
)


def held() -> pl.DataFrame:
    """The table as it is, without its judgement."""
    if not OUT.exists():
        return pl.DataFrame(schema=SCHEMA)
    kept = pl.read_csv(OUT, schema_overrides=SCHEMA | {"fired": pl.String})
    return kept.select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())


def save(table: pl.DataFrame) -> None:
    """Write the table, judged by the shipped rules."""
    judge(table.sort(*KEY, maintain_order=True)).write_csv(OUT)


def main() -> None:
    """Measure every draw that the table lacks."""
    parser = argparse.ArgumentParser(description=__doc__)
    for dataset in DATASETS:
        parser.add_argument(f"--{dataset}", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--split", action="append", choices=tuple(SEEDS))
    asked = vars(parser.parse_args())
    table = held()
    for dataset in DATASETS:
        if asked[dataset] is None:
            continue
        whole = pool(asked[dataset], asked["cache"] / dataset)
        for case in [one for split in asked["split"] or SEEDS for one in cases(split, dataset)]:
            names = ("split", "dataset", "size", "seed", "noise")
            same = pl.all_horizontal(pl.col(name) == getattr(case, name) for name in names)
            there = table.filter(same, pl.col("made") == "command")["probe"].unique().to_list()
            lacking = [probe for probe in PROBES if probe not in there]
            if not lacking:
                continue
            started = time.process_time()
            rows = pl.DataFrame(list(measure(case, whole, lacking)), schema=SCHEMA)
            kept = table.filter(~same | pl.col("probe").is_in(there))
            table = pl.concat([kept, rows])
            save(table)
            sys.stderr.write(f"{case} {time.process_time() - started:.1f} s\n")
    save(table)


if __name__ == "__main__":
    main()
