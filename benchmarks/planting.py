"""What scans of clean data say they would have missed: poison planted in their own images.

    python benchmarks/planting.py --cifar10 train.parquet --fashion train.parquet \
        --imagenette train/ --cache FOLDER

Draws clean samples as ``gate_null.py`` does, plants what ``auditor.trials.planting`` plants, and
writes planting.csv: a row per draw and pattern. Labels are not planted: a draw has no network of
its own here.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
from drawing import DATASETS, backdoor_rules
from gate_null import Case, Pool, draw, pool

from auditor.tables import SAMPLES
from auditor.trials.planting import found_of, plan

OUT = Path(__file__).with_name("planting.csv")
SIZES = {"cifar10": (3000, 10000, 30000), "fashion": (3000, 10000, 30000), "imagenette": (2000,)}
SEEDS = (0, 1, 2)
COLUMNS = ("dataset", "size", "seed", "pattern", "strength", "n", "found", "seconds")


def measure(case: Case, whole: Pool) -> Iterator[tuple[object, ...]]:
    """The rows of a draw; seconds are of the processor."""
    started = time.process_time()
    material = draw(case, whole)
    planted = tuple(plan(material))
    ledger = pl.DataFrame({"row": material.rows}).with_columns(
        pl.lit(None, kind).alias(name) for name, kind in SAMPLES.items() if name != "row"
    )
    rules = [rule for scope in ("class", "dataset") for rule in backdoor_rules("shortcut", scope)]
    names = [str(label) for label in range(material.n_classes)]
    found = found_of(material, planted, ledger, rules, names)
    seconds = round(time.process_time() - started, 1)
    head = (case.dataset, case.size, case.seed)
    for one, hit in zip(planted, found, strict=True):
        yield (*head, one.pattern, one.strength, len(one.rows), int(hit), seconds)


def main() -> None:
    """Measure every draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    for dataset in DATASETS:
        parser.add_argument(f"--{dataset}", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    asked = vars(parser.parse_args())
    with OUT.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for dataset in DATASETS:
            whole = pool(asked[dataset], asked["cache"] / dataset)
            for size in SIZES[dataset]:
                for seed in SEEDS:
                    rows = list(measure(Case("report", dataset, size, seed, "none"), whole))
                    writer.writerows(rows)
                    file.flush()
                    sys.stderr.write(f"{dataset} {size} {seed}: {len(rows)} rows\n")


if __name__ == "__main__":
    main()
