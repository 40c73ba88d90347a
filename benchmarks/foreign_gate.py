"""How near clean and mislabelled data come to the gate on processing groups of foreign pictures.

    python benchmarks/foreign_gate.py --cifar10 train.parquet --fashion train.parquet \
        --imagenette train/ --cache FOLDER [--split tune|report|later|last]

The draws of ``gate_null``, and later ones of other seeds and sizes; of each, the texture probe and
how foreign the pictures of its groups are, which asks no network. Writes foreign-gate.csv: a row
per draw and class that was asked (groups of 20 and contrast 1.5). ``near`` is how near BKD023 is:
the factor by which contrast, separation, foreignness and its z may be worse, and excess higher.
Draws that the table has are kept, and judged anew by the shipped rule.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import gate_null
import numpy as np
import polars as pl
from drawing import DATASETS
from gate_null import Case, Pool, cases, draw, kept_pixels
from gate_tails import Gate, nearness

from auditor.detectors.texture import TEXTURE

OUT = Path(__file__).with_name("foreign-gate.csv")
GATE = Gate("processing of other classes", "texture", "class", ("BKD023",))
DRAW = ("split", "dataset", "size", "seed", "noise")
FIGURES = ("n", "contrast", "separation", "gap", "shoulder", "excess", "foreign", "foreign_z")
DIGITS = 5

gate_null.SEEDS["later"] = (20, 21, 22, 23)
gate_null.SIZES["later"] = {
    "cifar10": (3000, 8000, 16000), "fashion": (3000, 12000), "imagenette": (700, 1800),
}  # fmt: skip
gate_null.NOISES["later"] = ("none", "flip-0.2", "targeted-0.2")
gate_null.SEEDS["last"] = (30, 31, 32, 33)
gate_null.SIZES["last"] = {
    "cifar10": (6000, 12000, 25000), "fashion": (6000, 25000), "imagenette": (500, 1200),
}  # fmt: skip
gate_null.NOISES["last"] = ("none", "flip-0.1", "pair-0.2")


def pool(source: Path, cache: Path) -> Pool:
    """A dataset's pixels, kept in ``cache``, and its labels; its probabilities say nothing."""
    pixels, labels = kept_pixels(source, cache)
    n_classes = int(labels.max()) + 1
    even = np.broadcast_to(np.float32(1 / n_classes), (len(labels), n_classes))
    return Pool(pixels, labels, even)


def measure(case: Case, whole: Pool) -> pl.DataFrame:
    """The rows of a draw; one of nulls where no group was asked, so that the draw counts."""
    found = TEXTURE.run(draw(case, whole, linear=False))["class"]
    asked = found.filter(pl.col("texture_foreign").is_not_null())
    figures = asked.select("label", *(pl.col(f"texture_{name}").alias(name) for name in FIGURES))
    figures = figures.with_columns(pl.col(pl.Float64).round_sig_figs(DIGITS))
    if figures.is_empty():
        figures = pl.DataFrame({"label": [None]}, schema={"label": pl.Int64})
    drawn = [pl.lit(getattr(case, name)).alias(name) for name in DRAW]
    return figures.select(*drawn, pl.all()).cast(SCHEMA if asked.height else KEY_SCHEMA)


KEY_SCHEMA = {name: pl.Int64 if name in ("size", "seed") else pl.String for name in DRAW} | {
    "label": pl.Int64
}
SCHEMA = KEY_SCHEMA | {name: pl.Int64 if name == "n" else pl.Float64 for name in FIGURES}


def judged(table: pl.DataFrame) -> pl.DataFrame:
    """The table with ``near``: at 1 and above BKD023 fires."""
    named = {name: f"texture_{name}" for name in FIGURES}
    near = nearness(table.rename(named), GATE)
    return table.with_columns(near=pl.Series(near).round_sig_figs(DIGITS))


def main() -> None:
    """Measure every draw that the table lacks."""
    parser = argparse.ArgumentParser(description=__doc__)
    for dataset in DATASETS:
        parser.add_argument(f"--{dataset}", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--split", action="append", choices=tuple(gate_null.SEEDS))
    asked = vars(parser.parse_args())
    table = pl.DataFrame(schema=SCHEMA)
    if OUT.exists():
        table = pl.read_csv(OUT, schema_overrides=SCHEMA).select(*SCHEMA)
    for dataset in DATASETS:
        if asked[dataset] is None:
            continue
        whole = pool(asked[dataset], asked["cache"] / dataset)
        splits = asked["split"] or gate_null.SEEDS
        for case in [one for split in splits for one in cases(split, dataset)]:
            same = pl.all_horizontal(pl.col(name) == getattr(case, name) for name in DRAW)
            if table.filter(same).height:
                continue
            table = pl.concat([table, measure(case, whole)], how="diagonal")
            judged(table.sort(*DRAW, maintain_order=True)).write_csv(OUT)
            sys.stderr.write(f"{case}\n")
    judged(table.sort(*DRAW, maintain_order=True)).write_csv(OUT)


if __name__ == "__main__":
    main()
