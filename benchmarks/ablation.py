"""What each network-based detector finds, published ones beside those that ship, and what it adds.

    python benchmarks/ablation.py train.parquet [--size 10000] [--seed 0] [--attack wanet:0.05 ...]

Each case is poisoned, scanned with ``--profile thorough`` and held against the truth. Published
detectors score the same victim network (`published.py`, `perturbation.py`). Columns: how the score
ranks poison above clean samples (AUROC, recall at 0.1 % and 1 % of clean samples), what the shipped
rule flags, and what it alone adds to all other rules. Writes ablation.csv.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import perturbation
import polars as pl
import published

from auditor.benching.cases import CLEAN, Case
from auditor.benching.cutting import cut, dataset_digest
from auditor.benching.running import Place, machine, poison_plan, scan_copy
from auditor.benching.scoring import auroc, joined_with_truth, recall_at
from auditor.features.folds import content_keys
from auditor.features.network import choose_hardware, load_network
from auditor.features.retained import stored_pixels
from auditor.features.suspect import load_views
from auditor.features.training import measure_scaling
from auditor.poisoning import poison
from auditor.readers import Columns

OUT = Path(__file__).with_name("ablation.csv")

ATTACKS = (
    "clean:0", "label_flip:0.1", "badnets:0.01", "all_to_all:0.05", "corner_square:0.1",
    "wanet:0.05", "ssba:0.02", "input_aware:0.05", "tact:0.003", "adaptive_blend:0.003",
    "adaptive_patch:0.003", "ctrl:0.05", "bpp:0.05", "trojan_moving:0.003",
    "feature_collision:0.01",
)  # fmt: skip

SHIPPED: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "impostor": ("impostor_score", ("BKD006",)),
    "victim_impostor": ("victim_impostor_score", ("BKD008",)),
    "spectral": ("spectral_score", ("BKD003",)),
    "activation_clustering": ("activation_clustering_minority", ("BKD004",)),
    "label_consistency": ("label_consistency_posterior", ("LBL001",)),
    "loss": ("loss_score", ()),
}
"""Detector → the column that ranks, and the rules that judge it."""

Scores = Mapping[str, tuple[np.ndarray, np.ndarray | None, float]]
"""Detector → (N,) score, (N,) bool what its own published rule flags or None, seconds."""


def published_scores(
    pixels: np.ndarray, labels: np.ndarray, views: Mapping[str, np.ndarray], weights: Path,
    n_classes: int, device: str,
) -> Scores:  # fmt: skip
    """Ask a victim what the published detectors ask."""
    features = np.asarray(views["victim_penultimate"], np.float64)
    logits = np.asarray(views["victim_logits"], np.float64)
    hardware = choose_hardware(device)
    network = load_network(weights, n_classes, hardware)
    scale = measure_scaling(pixels, np.arange(len(labels)))
    partners = perturbation.draw_partners(content_keys(pixels, 0), np.random.default_rng(0))

    def silent(n_images: int) -> None:
        del n_images

    def stable() -> tuple[np.ndarray, np.ndarray]:
        answers = perturbation.amplified_answers(network, pixels, scale, hardware, silent)
        mean = answers[:, 1:4].mean(axis=1)
        return mean, mean >= 0.9

    made: dict[str, Callable[[], Any]] = {
        "scan (published)": lambda: published.scan_statistic(features, labels),
        "spectre (published)": lambda: published.spectre(features, labels),
        "deep k-nn (published)": lambda: published.deep_neighbours(features, labels),
        "victim loss (published)": lambda: published.victim_loss(logits, labels),
        "strip (published)": lambda: (
            -perturbation.blended_answers(
                network, pixels, labels, partners, scale, hardware, silent
            )[:, 0]
        ),
        "ibd-psc (published)": stable,
        "flare-like (published)": lambda: published.unlikely_activations(
            perturbation.normalised_extremes(network, pixels, scale, hardware, silent)
        ),
    }
    found = {}
    for name, make in made.items():
        started = time.process_time()
        result = make()
        score, flags = result if isinstance(result, tuple) else (result, None)
        found[name] = (score, flags, time.process_time() - started)
    return found


def shipped_scores(samples: pl.DataFrame, seconds: Mapping[str, float]) -> Scores:
    """The scan's own scores and flags; ``samples`` has a list column ``rules``."""
    rules = samples["rules"].fill_null([])
    found = {}
    for name, (column, judges) in SHIPPED.items():
        if column not in samples.columns:
            continue
        score = samples[column].cast(pl.Float64).fill_null(-np.inf).to_numpy()
        flags = np.array([any(rule in judges for rule in one) for one in rules.to_list()], bool)
        found[name] = (score, flags if judges else None, seconds.get(name, float("nan")))
    return found


def case_rows(
    case: str, samples: pl.DataFrame, scores: Scores, about: Mapping[str, object]
) -> Iterator[dict[str, object]]:
    """One line a detector; ``samples`` has ``poisoned``, ``cover`` and ``rules``."""
    poisoned = samples["poisoned"].to_numpy()
    clean = ~poisoned & ~samples["cover"].to_numpy()
    rules = [set(one or ()) for one in samples["rules"].to_list()]
    for name, (score, flags, seconds) in scores.items():
        row: dict[str, object] = {"case": case, "detector": name}
        judges = SHIPPED.get(name, ("", ()))[1]
        others = np.array([bool(one - set(judges)) for one in rules], bool)
        if poisoned.any():
            inside, outside = score[poisoned], score[clean]
            row |= {
                "auroc": round(auroc(inside, outside), 4),
                "tpr_at_fpr_0.001": round(recall_at(inside, outside, 0.001), 4),
                "tpr_at_fpr_0.01": round(recall_at(inside, outside, 0.01), 4),
            }
        if flags is not None:
            row["gate_fpr"] = round(float(flags[clean].mean()), 5)
            if poisoned.any():
                row["gate_tpr"] = round(float(flags[poisoned].mean()), 4)
                row["adds_tpr"] = round(float((flags & ~others)[poisoned].mean()), 4)
        yield {**row, "seconds": round(seconds, 2), **about}


def run(dataset: Path, spec: str, size: int, seed: int, device: str, work: Path) -> list[dict]:
    """Poison, scan thoroughly, compare."""
    attack, _, rate = spec.partition(":")
    case = Case(attack, float(rate or 0), seed, size=size, profile="thorough")
    columns = Columns()
    place = Place(dataset, dataset_digest(dataset), work, columns, 2, device)
    part = cut(dataset, size, seed, work, columns)
    result = poison(poison_plan(case, part, work, place))
    cache = work / "cache"
    report = scan_copy(result.out, case, place, cache)
    truth = pl.read_parquet(result.truth)
    joined = joined_with_truth(report, truth).sort("row")
    joined = joined.with_columns(
        cover=pl.col("attack").is_not_null() & ~pl.col("poisoned"),
        poisoned=pl.col("poisoned") & (attack != CLEAN),
    )
    if "rules" not in joined.columns:
        flagged = report.flagged.select("row", "rules")
        joined = joined.join(flagged, on="row", how="left", maintain_order="left")
    (folder,) = cache.glob("datasets/*/victim-*")
    (weights,) = folder.glob("victim-*.pt")
    pixels = stored_pixels(cache, joined["sha256"].to_list())
    labels = joined["label"].fill_null(-1).to_numpy()
    scores = {
        **shipped_scores(joined, report.timings),
        **published_scores(
            pixels, labels, load_views(folder), weights, report.dataset.n_classes, device
        ),
    }
    about = {"size": size, "seed": seed, "date": datetime.now(UTC).date().isoformat(), **machine()}
    return list(case_rows(spec, joined, scores, about))


def write(rows: Sequence[Mapping[str, object]], out: Path) -> None:
    """The table, with every column that any row has."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    """Run every case and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--size", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--attack", nargs="+", default=list(ATTACKS), metavar="NAME:RATE")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    rows: list[dict] = []
    for spec in args.attack:
        with tempfile.TemporaryDirectory() as work:
            rows += run(args.dataset, spec, args.size, args.seed, args.device, Path(work))
        write(rows, args.out)
        sys.stderr.write(f"{spec}: {len(rows)} rows\n")


if __name__ == "__main__":
    main()
