"""Samples of a dataset in memory, and what the shipped rules say of a probe's figures of them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from auditor.attacks.copies.copying import Layout
from auditor.attacks.copies.folder_copy import open_folder
from auditor.attacks.copies.parquet_copy import open_parquet
from auditor.features.pixels import pixel_view
from auditor.features.texture import texture_view
from auditor.judging.ruleset import load_rules
from auditor.readers.decode import Decoded, decode
from auditor.records import Rule
from auditor.reference import linear_opinion

SIDE = 32
DATASETS = ("cifar10", "fashion", "imagenette")
BLOCK = 1024


def opened(source: Path) -> Layout:
    """A dataset: an image folder or a Parquet file."""
    return open_folder(source) if source.is_dir() else open_parquet(source)


def images_of(layout: Layout, rows: np.ndarray) -> np.ndarray:
    """(n, 32, 32, 3) uint8 of some rows of a dataset: the view that a scan has of them."""
    views = np.empty((len(rows), SIDE, SIDE, 3), np.uint8)
    for start in range(0, len(rows), BLOCK):
        for at, data in enumerate(layout.fetch(rows[start : start + BLOCK]), start):
            seen = decode(data) if data is not None else None
            if not isinstance(seen, Decoded):
                raise ValueError(f"row {rows[at]}: {seen}, expected an image")
            views[at] = pixel_view(seen.pixels[None])[0]
    return views


def textures_of(images: np.ndarray) -> np.ndarray:
    """(n, D) float32 texture view."""
    return np.concatenate(
        [texture_view(images[i : i + BLOCK]) for i in range(0, len(images), BLOCK)]
    )


def plain_of(images: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """(n, K) float32 probabilities of the linear classifier; labels: (n,) int64, −1 not learnt."""
    with tempfile.TemporaryDirectory() as folder:
        return linear_opinion(images, labels, int(labels.max()) + 1, seed, Path(folder))


def flip(labels: np.ndarray, rate: float, rng: np.random.Generator) -> None:
    """Give round(rate·N) samples another of ten labels, in place."""
    wrong = rng.choice(len(labels), round(rate * len(labels)), replace=False)
    labels[wrong] = (labels[wrong] + rng.integers(1, 10, len(wrong))) % 10


def backdoor_rules(probe: str, scope: str) -> list[Rule]:
    """The shipped backdoor rules that judge this probe alone, in this scope."""
    return [
        rule
        for rule in load_rules()
        if rule.id.startswith("BKD")
        and rule.scope == scope
        and all(name.startswith(f"{probe}_") for name in pl.sql_expr(rule.when).meta.root_names())
    ]


def fires(rules: Sequence[Rule]) -> list[pl.Expr]:
    """One boolean column a rule, named by its id."""
    return [pl.sql_expr(f"({rule.when})").fill_null(False).alias(rule.id) for rule in rules]
