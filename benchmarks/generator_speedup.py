"""How many times faster the generative attack makes poisons than the direct one (Yang et al. 2017).

    python benchmarks/generator_speedup.py train.parquet [--size 10000] [--rate 0.03] [--seed 0 1 2]

Both make the same number of poisons for the same dataset against the same surrogate; the training
of the generator, which is paid once, is not counted, as in the paper. Writes generator-speedup.csv.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from auditor.attacks.copies.parquet_copy import open_parquet
from auditor.attacks.copies.rewriting import thumbnails
from auditor.attacks.generative import ATTACK, speed_up
from auditor.attacks.requests.planning import typed_params
from auditor.benching.running import machine
from auditor.interfaces import AttackRequest
from auditor.poisoning import train_surrogate

OUT = Path(__file__).with_name("generator-speedup.csv")


def measure(dataset: Path, size: int, rate: float, seed: int) -> Mapping[str, object]:
    """One seed: draw samples, choose victims, train the surrogate, time both ways."""
    layout = open_parquet(dataset, None, None, None)
    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.choice(len(layout.labels), min(size, len(layout.labels)), replace=False))
    request = AttackRequest(
        labels=layout.labels[drawn],
        n_classes=len(layout.class_names),
        rate=rate,
        target=None,
        source_class=None,
        params=typed_params(ATTACK, {}),
        sources=None,
        images=lambda rows, side: thumbnails(layout, drawn[rows], side, 1),
        train=lambda pixels, given, own: train_surrogate(
            pixels, given, len(layout.class_names), own
        ),
    )
    selection = ATTACK.choose(request, rng)
    ratio = speed_up(request, selection, rng)
    return {"n_samples": len(drawn), "n_poisoned": len(selection.rows), "rate": rate, "seed": seed,
            "times_faster": round(ratio, 1)}  # fmt: skip


def main() -> None:
    """Measure every seed and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--size", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=0.03)
    parser.add_argument("--seed", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    rows = []
    for seed in args.seed:
        row = measure(args.dataset, args.size, args.rate, seed)
        rows.append({**row, "date": datetime.now(UTC).date().isoformat(), **machine()})
        print({k: row[k] for k in ("seed", "n_poisoned", "times_faster")})  # noqa: T201
    with OUT.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
