"""What stamping says of triggers and of natural groups: draws of datasets, poisoned or not.

    python benchmarks/stamping.py cifar10=train.parquet imagenette=FOLDER [--size 3000]
        [--seed 0 1 2] [--triggers FOLDER] [--only clean label_flip] [--network] [--loose]

Each draw is re-encoded as JPEG 75 after poisoning and measured by the shortcut probe. With
--network the reference network is trained on it and asked, and the group of disputed labels is
measured too (label −1). Every group that could pass a gate becomes a line of stamping.csv: its
figures, how many of it are poisoned, and how far the estimated pattern agrees with the true one,
the mean change that the attack made. Rows are appended; remove the file to start anew.
--loose stamps groups that no gate would pass, too, down to contrast 1.2 and up to excess 0.15.
Label-consistent is measured without its adversarial perturbation: the corner marks alone.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from auditor.attacks.copies.folder_copy import open_folder
from auditor.attacks.copies.parquet_copy import open_parquet, parquet_files
from auditor.attacks.copies.rewriting import thumbnails
from auditor.attacks.requests.planning import find_attack, typed_params
from auditor.detectors.probing import stamping
from auditor.detectors.probing.trigger import channels_of, correlation, estimate
from auditor.detectors.shortcut import SHORTCUT
from auditor.features.reference import train_reference
from auditor.ingest import Ledger
from auditor.interfaces import AttackRequest, Material, Victim
from auditor.measure import Bench, Measurements
from auditor.trials.asking import ask_networks
from auditor.trials.carriers import carriers

OUT = Path(__file__).with_name("stamping.csv")
LEAST = 40
"""Poisoned samples at least: at 1 % of a small draw no group could reach the gates' 25."""

CASES: tuple[tuple[str, Mapping[str, str], float], ...] = (
    ("clean", {}, 0),
    ("label_flip", {}, 0.1),
    ("badnets", {}, 0.01),
    ("badnets", {"alpha": "0.5", "trigger": "firefox_corner_32.png"}, 0.01),
    ("badnets", {"trigger": "phoenix_corner_32.png"}, 0.01),
    ("blended", {}, 0.01),
    ("blended", {"pattern": "picture"}, 0.01),
    ("blended", {"trigger": "hellokitty_32.png"}, 0.01),
    ("trojan", {}, 0.01),
    ("sig", {}, 0.02),
    ("low_frequency", {}, 0.02),
    ("label_consistent", {}, 0.01),
    ("all_to_all", {}, 0.05),
    ("trojan_moving", {}, 0.02),
    ("ssba", {}, 0.02),
    ("wanet", {}, 0.05),
)
FIGURES = ("n", "contrast", "separation", "gap", "shoulder", "excess", "view", "stamped",
           "stamped_control", "stamped_alike", "pattern_agreement", "pattern_amplitude",
           "pattern_opaque", "network_moved", "network_control")  # fmt: skip


def load(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """All images (N, 32, 32, 3) uint8 and labels (N,)."""
    layout = open_parquet(path, None, None, None) if parquet_files(path) else open_folder(
        path, None, None
    )  # fmt: skip
    return thumbnails(layout, np.arange(len(layout.labels)), 32, 1), layout.labels


def reencoded(images: np.ndarray) -> np.ndarray:
    """Every image as JPEG 75 and back."""
    out = np.empty_like(images)
    for row, image in enumerate(images):
        file = BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=75)
        out[row] = np.asarray(Image.open(file))
    return out


def poisoned(
    images: np.ndarray, labels: np.ndarray, name: str, given: Mapping[str, str], rate: float,
    seed: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Poison a draw in memory: images, labels, and which carry the trigger (M,) bool."""
    if name == "clean":
        return images, labels, np.zeros(len(labels), bool)
    attack = find_attack(name)
    params = typed_params(attack, given)
    n_classes = int(labels.max()) + 1
    rng = np.random.default_rng([seed, 7])
    target = None if name == "label_flip" else int(rng.integers(n_classes))

    def untrained(*_: object) -> tuple[None, np.ndarray, np.ndarray]:
        raise NotImplementedError

    request = AttackRequest(labels, n_classes, max(rate, LEAST / len(labels)), target, None, params,
                            None, lambda rows, side: images[rows], untrained)  # fmt: skip
    chosen = attack.choose(request, rng)
    alone = name == "label_consistent" or attack.prepare is None
    made = None if alone or attack.prepare is None else attack.prepare(request, chosen, rng)
    images, labels, marked = images.copy(), labels.copy(), np.zeros(len(labels), bool)
    for i, (row, label, donor, cover) in enumerate(
        zip(chosen.rows, chosen.labels, chosen.donors, chosen.cover, strict=True)
    ):
        own = None if made is None or made.own is None else made.own[i]
        victim = Victim("cover" if cover else "poison", int(labels[row]), int(label), params,
                        {} if made is None else made.shared, own, rng)  # fmt: skip
        if attack.stamp is not None:
            images[row] = attack.stamp(images[donor], victim)
            marked[row] = not cover
        labels[row] = label
    return images, labels, marked


def evidence_of(
    images: np.ndarray, labels: np.ndarray, seed: int, network: bool
) -> tuple[pl.DataFrame, list[dict[str, Any]]]:
    """The sample evidence, and a line for each class and for the disputed labels (label −1)."""
    rows, n_classes = np.arange(len(labels), dtype=np.uint64), int(labels.max()) + 1
    views = {"pixels": images}
    with TemporaryDirectory() as name:
        folder, digest = Path(name), ""
        if network:
            digest = train_reference(images, labels, n_classes, folder, seed, "cpu",
                                     lambda done, total: None).digest  # fmt: skip
            views |= {name: np.load(folder / f"{name}.npy") for name in ("probabilities", "fold")}
        evidence = SHORTCUT.run(
            Material(rows, labels, n_classes, views, np.full(len(labels), -1),
                     np.random.default_rng(seed), lambda done, total: None)
        )  # fmt: skip
        samples = evidence["sample"].with_columns(label=pl.Series(labels), status=pl.lit("scanned"))
        taken = Measurements(samples)
        taken.absorb({scope: frame for scope, frame in evidence.items() if scope != "sample"})
        if network and carriers(taken):
            names = tuple(map(str, range(n_classes)))
            bench = Bench(Ledger(samples, views, names, ""), views, "", folder, digest, seed)
            taken.absorb(ask_networks(bench, taken, folder, "cpu"))
    disputed = taken.evidence["dataset"].row(0, named=True)
    spread = {name.replace("_any_", "_"): value for name, value in disputed.items()}
    return samples, [*taken.evidence["class"].to_dicts(), {"label": -1, **spread}]


def measured(
    before: np.ndarray, images: np.ndarray, labels: np.ndarray, marked: np.ndarray, seed: int,
    network: bool,
) -> Iterator[Mapping[str, object]]:  # fmt: skip
    """The figures of every group that was stamped."""
    samples, rows = evidence_of(images, labels, seed, network)
    flat = images.reshape(len(images), -1)
    if (images == images[..., :1]).all():
        flat = flat[:, ::3]
    change = images.astype(np.float32) - before
    true = change[marked].mean(axis=0).reshape(-1) if marked.any() else None
    for row in rows:
        if row.get("shortcut_stamped") is None:
            continue
        column = "shortcut_any_member" if row["label"] < 0 else "shortcut_member"
        member = samples[column].fill_null(False).to_numpy()
        group = np.flatnonzero(member & ((labels == row["label"]) | (row["label"] < 0)))
        rng = np.random.default_rng(seed)
        hits = int(marked[group].sum())
        line: dict[str, object] = {"label": row["label"], "poisoned": int(marked.sum()),
                                   "hits": hits}  # fmt: skip
        line |= {name: row.get(f"shortcut_{name}") for name in FIGURES}
        if true is not None and hits > len(group) / 2:
            others = rng.permutation(np.flatnonzero((labels != row["label"]) & ~member))
            channels = channels_of(flat)
            found = estimate(flat[rng.permutation(group)], flat[others], channels)
            moved = found.apply(flat[others[:500]]) - flat[others[:500]]
            line["true_correlation"] = correlation(
                moved.mean(axis=0), true if channels == 3 else true[::3]
            )
        yield line


def write(line: Mapping[str, object]) -> None:
    """Append one line, under a header where there is none."""
    heads = ["dataset", "size", "seed", "attack", "params", "label", "poisoned", "hits", *FIGURES,
             "true_correlation", "network", "loose", "detector", "date"]  # fmt: skip
    new = not OUT.exists()
    with OUT.open("a", newline="") as file:
        writer = csv.DictWriter(file, heads, restval="")
        if new:
            writer.writeheader()
        tidy = {k: round(v, 4) if isinstance(v, float) else v for k, v in line.items()}
        writer.writerow(tidy)


def main() -> None:
    """Measure every dataset, seed and case; a draw without a group gives a line without figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", nargs="+", help="NAME=PATH")
    parser.add_argument("--size", type=int, default=3000)
    parser.add_argument("--seed", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--triggers", type=Path, help="folder of published trigger images")
    parser.add_argument("--network", action="store_true", help="train the reference and ask it")
    parser.add_argument("--loose", action="store_true", help="stamp groups far from a gate too")
    parser.add_argument("--only", nargs="+", help="attacks to measure, clean among them")
    args = parser.parse_args()
    if args.loose:
        stamping.MIN_CONTRAST, stamping.MAX_EXCESS = 1.2, 0.15
    data = {name: load(Path(path)) for name, path in (d.split("=", 1) for d in args.dataset)}
    for seed in args.seed:
        for name, (pixels, labels) in data.items():
            rng = np.random.default_rng([seed, args.size])
            drawn = np.sort(rng.permutation(len(labels))[: args.size])
            for attack, given, rate in CASES:
                file = given.get("trigger")
                if (args.only and attack not in args.only) or (file and not args.triggers):
                    continue
                params = {**given, **({"trigger": str(args.triggers / file)} if file else {})}
                stamped, given_labels, marked = poisoned(
                    pixels[drawn], labels[drawn], attack, params, rate, seed
                )
                images = reencoded(stamped)
                about = {"dataset": name, "size": len(drawn), "seed": seed, "attack": attack,
                         "params": " ".join(f"{k}={v}" for k, v in sorted(given.items())),
                         "poisoned": int(marked.sum()), "network": args.network,
                         "loose": args.loose,
                         "detector": SHORTCUT.version,
                         "date": datetime.now(UTC).date().isoformat()}  # fmt: skip
                lines = list(
                    measured(pixels[drawn], images, given_labels, marked, seed, args.network)
                )
                for line in lines or [{}]:
                    write(about | line)
                print(name, seed, attack, about["params"], len(lines), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
