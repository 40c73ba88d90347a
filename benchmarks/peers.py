"""auditor and its peers, on the same features and the same poisoned sets, in one run.

    python benchmarks/peers.py ../shared/data/cifar10 --env build/peers-env --labels DIR

Poisons cuts of the dataset, scans each with shipped settings, and hands what the scan's detectors
looked at (activations, out-of-fold probabilities, labels) to the Adversarial Robustness Toolbox and
to cleanlab, which live in an environment of their own that this command makes. Every method runs in
a fresh process on the same number of threads; the truth is read only here. Writes peers.csv.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from auditor.benching.cases import Case
from auditor.benching.cutting import cut, dataset_digest
from auditor.benching.running import Place, machine, poison_plan
from auditor.poisoning import poison
from auditor.readers import Columns

HERE = Path(__file__).parent
RUNS = HERE / "peer_runs"
OUT = HERE / "peers.csv"

SETS = (("clean", 0.0), ("badnets", 0.01), ("blended", 0.01), ("sig", 0.02), ("label_flip", 0.1))
"""Attacks and rates of the sets."""

DEFAULT_RATE = 0.33
"""ART's own guess of the share of poison (SpectralSignatureDefense, expected_pp_poison)."""

REPEATS = 3
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Method:
    """One way to flag samples: a tool's method, and what it is told of the truth."""

    tool: str
    name: str
    told: str = ""

    @property
    def script(self) -> str:
        """The file that runs it."""
        return f"run_{self.tool}.py"

    @property
    def slug(self) -> str:
        """A file name."""
        return f"{self.tool}-{self.name}-{self.told}".replace(":", "-").replace(" ", "-")


ART_METHODS = (
    Method("art", "spectral", "attacker's rate"),
    Method("art", "spectral", "nothing (0.33)"),
    Method("art", "activation_clustering:smaller"),
    Method("art", "activation_clustering:relative-size"),
)
"""Clusters: ART's default, the smaller one of each class, and the paper's rule, under 35 % of it.
ART 1.20.1 has a third, by silhouette, which leaves the larger cluster of a suspicious class
unassigned, so that all of the class counts as flagged."""
CLEANLAB_METHODS = (
    Method("cleanlab", "prune_by_noise_rate"),
    Method("cleanlab", "predicted_neq_given"),
)
EVERY_CLEANLAB = (
    *CLEANLAB_METHODS,
    *(
        Method("cleanlab", name)
        for name in (
            "prune_by_class", "both", "confident_learning", "low_normalized_margin",
            "low_self_confidence",
        )
    ),
)  # fmt: skip
OWN_METHODS = tuple(
    Method("auditor", name) for name in ("spectral", "activation_clustering", "label_consistency")
)


def rates(flagged: np.ndarray, poisoned: np.ndarray) -> Mapping[str, float | int | None]:
    """How right the flags are.

    Args:
        flagged: (N,) bool.
        poisoned: (N,) bool, the truth.

    Returns:
        ``n_flagged``; ``tpr`` poisoned samples flagged / poisoned; ``fpr`` others flagged / others;
        ``precision`` and ``f1``. None where it is not defined.
    """
    hits = int((flagged & poisoned).sum())
    n_flagged, n_poisoned = int(flagged.sum()), int(poisoned.sum())
    n_others = len(poisoned) - n_poisoned
    return {
        "n_flagged": n_flagged,
        "tpr": round(hits / n_poisoned, 4) if n_poisoned else None,
        "fpr": round((n_flagged - hits) / n_others, 5) if n_others else None,
        "precision": round(hits / n_flagged, 4) if n_flagged else None,
        "f1": round(2 * hits / (n_flagged + n_poisoned), 4) if n_poisoned else None,
    }


def made_activations(n: int, width: int, n_classes: int, seed: int) -> Mapping[str, np.ndarray]:
    """Skewed, correlated activations with a second population in class 3, for the speed row.

    Args:
        n: samples; a hundredth of them is the second population, ten units off along one direction.
        width: D.
        n_classes: K ≥ 4.
        seed: of all of it.

    Returns:
        ``penultimate`` (n, D) float16, ``probabilities`` (n, K) float32 that agree with the labels,
        ``labels`` (n,) int64, ``fold`` (n,) int8, ``poisoned`` (n,) bool.
    """
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_classes, n)
    centres = rng.normal(0, 1, (n_classes, width))
    falling = 5 * np.arange(1, width + 1) ** -0.5
    mixing = rng.normal(size=(width, width)) / np.sqrt(width) * falling[:, None]
    features = centres[labels] + rng.gamma(2.0, 1.0, (n, width)) @ mixing
    second = np.flatnonzero(labels == 3)[: n // 100]
    direction = rng.normal(size=width)
    features[second] += 10 * direction / np.linalg.norm(direction)
    probabilities = np.full((n, n_classes), 0.1 / n_classes, np.float32)
    probabilities[np.arange(n), labels] += 0.9
    return {
        "penultimate": features.astype(np.float16),
        "probabilities": probabilities,
        "labels": labels,
        "fold": (np.arange(n) % 2).astype(np.int8),
        "poisoned": np.isin(np.arange(n), second),
    }


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where the run works: the peers' Python, a folder for sets, threads of each method."""

    peers: Path
    home: Path
    threads: int

    def run(self, script: str, *arguments: str | Path, own: bool = True) -> None:
        """Run a script of `RUNS` in auditor's or the peers' environment.

        Raises:
            CalledProcessError: it failed; its own message is on stderr.
        """
        variables = {**os.environ, **dict.fromkeys(THREADS, str(self.threads))}
        if not own:
            variables.pop("PYTHONPATH", None)
        python = sys.executable if own else str(self.peers)
        subprocess.run([python, str(RUNS / script), *map(str, arguments)], check=True,
                       env=variables)  # fmt: skip

    def measure(
        self, method: Method, folder: Path, truth: np.ndarray, repeats: int = REPEATS
    ) -> Mapping[str, object]:
        """One line: run a method on a set's arrays and compare its flags with the truth."""
        rate = DEFAULT_RATE if method.told.startswith("nothing") else float(truth.mean())
        out = folder / method.slug
        own = method.tool == "auditor"
        self.run(method.script, method.name, folder, out, str(repeats), str(rate), own=own)
        return self.line(method, out, truth)

    def line(self, method: Method, out: Path, truth: np.ndarray) -> Mapping[str, object]:
        """What a finished run wrote, as a line of the table."""
        flags = np.load(out.with_suffix(".npy"), allow_pickle=False)
        measured = json.loads(out.with_suffix(".json").read_text("utf-8"))
        return {
            "tool": method.tool,
            "method": method.name,
            "told": method.told,
            **rates(flags, truth),
            **measured,
            "threads": self.threads,
        }


def environment(folder: Path) -> Path:
    """The Python of the peers' environment, made where it is absent or out of date."""
    wanted = (RUNS / "requirements.txt").read_text("utf-8")
    python, stamp = folder / "bin" / "python", folder / "installed.txt"
    if not stamp.is_file() or stamp.read_text("utf-8") != wanted:
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "-r",
                        str(RUNS / "requirements.txt")], check=True)  # fmt: skip
        stamp.write_text(wanted, "utf-8")
    return python.absolute()


def compare_set(
    case: Case, place: Place, shop: Workshop, victim_epochs: int
) -> Iterator[Mapping[str, object]]:
    """Poison, scan, and let everyone look: the lines of one set."""
    folder = shop.home / f"{case.attack}-{case.digest(place.digest)[:20]}"
    scratch = folder / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    part = cut(place.dataset, case.size, case.seed, scratch, place.columns)
    result = poison(poison_plan(case, part, scratch, place))
    cache = place.cache(case, scratch)
    trained = ", networks kept" if cache.exists() else ""
    shop.run("run_scan.py", result.out, cache, folder)
    truth = in_row_order(pl.read_parquet(folder / "keys.parquet"), pl.read_parquet(result.truth))
    about = {"set": f"{case.attack} {case.rate:g}", "seed": case.seed}
    sizes = {"n_samples": len(truth), "n_poisoned": int(truth.sum())}
    whole = shop.line(Method("auditor", "whole scan"), folder / "auditor-scan", truth)
    backdoor = np.load(folder / "backdoor.npy", allow_pickle=False)
    yield {**about, **sizes, "features": f"images{trained}", **whole}
    flags = rates(backdoor, truth)
    yield {**about, **sizes, "features": f"images{trained}", **whole, **flags,
           "method": "whole scan, backdoor rules"}  # fmt: skip
    width = np.load(folder / "penultimate.npy", mmap_mode="r").shape[1]
    for method in (*OWN_METHODS, *ART_METHODS, *CLEANLAB_METHODS):
        yield {**about, **sizes, "features": "out of fold", "n_features": width,
               **shop.measure(method, folder, truth)}  # fmt: skip
    if victim_epochs:
        fitted = folder / "victim"
        fitted.mkdir(exist_ok=True)
        shop.run("run_victim.py", folder, cache, str(victim_epochs), fitted)
        for method in ART_METHODS:
            yield {**about, **sizes, "features": f"victim, {victim_epochs} epochs",
                   "n_features": width, **shop.measure(method, fitted, truth)}  # fmt: skip
    shutil.rmtree(scratch)


def in_row_order(keys: pl.DataFrame, truth: pl.DataFrame) -> np.ndarray:
    """(N,) bool: which of the scanned rows are poisoned.

    Args:
        keys: ``uri``, ``record`` of each row.
        truth: as `auditor poison` writes it, in any order.

    Raises:
        ValueError: a row is not in the truth.
    """
    wanted = truth.select("uri", pl.col("record").cast(pl.UInt64), "poisoned")
    joined = keys.join(
        wanted, on=["uri", "record"], how="left", nulls_equal=True, maintain_order="left"
    )
    if joined["poisoned"].null_count():
        raise ValueError(f"{joined['poisoned'].null_count()} rows are not in the truth")
    return np.asarray(joined["poisoned"].to_numpy())


def compare_speed(shop: Workshop, n: int, width: int) -> Iterator[Mapping[str, object]]:
    """The lines of made activations. ART gets all at once, auditor its two folds: the same work."""
    arrays = made_activations(n, width, 10, 0)
    about = {"set": "made activations", "seed": 0, "n_samples": n, "n_features": width,
             "n_poisoned": int(arrays["poisoned"].sum()), "features": "made"}  # fmt: skip
    for folds, methods in (("two", OWN_METHODS[:2]), ("one", ART_METHODS)):
        folder = shop.home / f"made-{n}-{width}-{folds}"
        fold = arrays["fold"] if folds == "two" else np.zeros(n, np.int8)
        keep(folder, {**arrays, "fold": fold})
        for method in methods:
            yield {**about, **shop.measure(method, folder, arrays["poisoned"])}


def compare_labels(shop: Workshop, files: Sequence[Path]) -> Iterator[Mapping[str, object]]:
    """The lines of given probabilities: who finds the wrong labels, and how fast."""
    for path in files:
        with np.load(path, allow_pickle=False) as data:
            probabilities = data["pred_probs"].astype(np.float32)
            labels, true = data["noisy_label"].astype(np.int64), data["true_label"]
        folder = shop.home / path.stem
        keep(folder, {"probabilities": probabilities, "labels": labels})
        wrong = labels != true
        about = {"set": path.stem, "n_samples": len(labels), "n_features": probabilities.shape[1],
                 "n_poisoned": int(wrong.sum()), "features": "given probabilities"}  # fmt: skip
        for method in (Method("auditor", "judge_labels"), *EVERY_CLEANLAB):
            yield {**about, **shop.measure(method, folder, wrong, 5)}


def keep(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as .npy."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)


COLUMNS = (
    "set", "seed", "features", "n_samples", "n_poisoned", "n_features", "tool", "version", "method",
    "told", "tpr", "fpr", "n_flagged", "precision", "f1", "wall_seconds", "cpu_seconds", "repeats",
    "threads", "before_mib", "peak_mib", "load", "note", "numpy", "scikit-learn", "date", "python",
    "system", "cpu", "n_cpus",
)  # fmt: skip


def write(lines: Sequence[Mapping[str, object]], path: Path) -> None:
    """The lines as CSV, with the date and the machine; lines of other sets stay in the file."""
    facts = {**machine(), "date": datetime.now(UTC).date().isoformat()}
    fresh = {(line["set"], str(line.get("seed", ""))) for line in lines}
    others: list[Mapping[str, object]] = []
    if path.is_file():
        with path.open(newline="") as file:
            others = [one for one in csv.DictReader(file) if (one["set"], one["seed"]) not in fresh]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows([*others, *({**facts, **line} for line in lines)])


def main() -> None:
    """Run every part and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--env", type=Path, required=True, help="the peers' environment")
    parser.add_argument("--labels", type=Path, help="folder of .npz with given probabilities")
    parser.add_argument("--work", type=Path, default=Path("build/peers"))
    parser.add_argument("--keep-features", type=Path, help="as of `auditor bench`")
    parser.add_argument("--size", type=int, default=10_000)
    parser.add_argument("--seed", type=int, nargs="+", default=[2])
    parser.add_argument("--only", nargs="+", default=["speed", "labels", "sets"])
    parser.add_argument("--attack", nargs="+", help="some of the sets only")
    parser.add_argument("--speed", type=int, nargs=2, default=[50_000, 512], metavar=("N", "D"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--victim-epochs", type=int, default=0)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    shop = Workshop(environment(args.env), args.work, args.threads)
    place = Place(args.dataset, dataset_digest(args.dataset), args.work, Columns(), 0, "auto",
                  args.keep_features)  # fmt: skip
    cases = [Case(attack, rate, seed, size=args.size) for seed in args.seed
             for attack, rate in SETS if not args.attack or attack in args.attack]  # fmt: skip
    parts = [compare_speed(shop, *args.speed)] if "speed" in args.only else []
    if args.labels and "labels" in args.only:
        parts.append(compare_labels(shop, sorted(args.labels.glob("*.npz"))))
    if "sets" in args.only:
        parts += [compare_set(case, place, shop, args.victim_epochs) for case in cases]
    lines: list[Mapping[str, object]] = []
    for part in parts:
        for line in part:
            lines.append(line)
            shown = ("set", "features", "tool", "method", "told", "tpr", "fpr", "cpu_seconds")
            print(*(line.get(name) for name in shown), sep="\t", flush=True)  # noqa: T201
            write(lines, args.out)


if __name__ == "__main__":
    main()
