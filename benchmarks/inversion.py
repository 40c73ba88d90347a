"""Whether the smallest patch that turns a victim's answers betrays a backdoor, class by class.

    python benchmarks/inversion.py cifar10=train.parquet [fashion=...] --case cifar10:badnets:0.05:0
        [...] [--size 10000] [--work FOLDER] [--form patch shift]

A case is DATASET:ATTACK:RATE:SEED (RATE 0 for clean). Each draw is poisoned in memory, the victim
of the thorough profile learns it, and the search for a trigger (Wang et al. 2019) asks the victim,
class by class: a patch, or with --form shift a pattern added to every pixel. A line a class goes to
inversion.csv: the norm, its place among the classes, how the found trigger agrees with the true one
and with the one that the shortcut probe estimated, and whether stamping that estimate turns the
victim's answers. Victims are kept in --work. Lines are appended; remove the file to start anew.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import torch
from inverting import FORMS, invert
from stamping import load

from auditor.attacks.requests.planning import find_attack, typed_params
from auditor.benching.scoring import auroc
from auditor.detectors.probing.trigger import correlation
from auditor.detectors.shortcut import SHORTCUT
from auditor.features.network import choose_hardware, load_network
from auditor.features.suspect import load_views, make_suspect
from auditor.features.training import Scaling, measure_scaling, predict
from auditor.interfaces import AttackRequest, Material, Victim
from auditor.judging.ruleset import load_rules
from auditor.measure import Measurements
from auditor.trials.carriers import carriers, flat, trigger_of

OUT = Path(__file__).with_name("inversion.csv")
N_IMAGES = 256
"""Images of other classes that the search asks about; as many others judge what it found."""

HEADS = (
    "dataset", "size", "seed", "attack", "rate", "poisoned", "accuracy", "fitted", "success",
    "form", "label", "target", "norm", "reached", "works", "index", "ratio", "auroc",
    "true_correlation", "probe_rules", "estimate_moved", "estimate_control",
    "estimate_correlation", "seconds", "date",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Draw:
    """A poisoned draw: M images and labels, which carry the trigger, and held-out images.

    ``target`` is −1 without one; ``change`` is the mean change of the poisoned images, or None.
    """

    images: np.ndarray
    labels: np.ndarray
    marked: np.ndarray
    target: int
    change: np.ndarray | None
    held: np.ndarray
    held_labels: np.ndarray
    stamped: np.ndarray
    wanted: np.ndarray


def draw(images: np.ndarray, labels: np.ndarray, case: tuple[str, float, int], size: int) -> Draw:
    """Draw ``size`` images, poison them, and stamp others to see whether it is learnt."""
    name, rate, seed = case
    order = np.random.default_rng([seed, 11]).permutation(len(labels))
    held = np.sort(order[len(order) - (1_000 if len(labels) > 5_000 else 300) :])
    rows = np.sort(order[: min(size, len(labels) - len(held))])
    before, own = images[rows], labels[rows].astype(np.int64)
    test, test_labels = images[held], labels[held].astype(np.int64)
    none = np.empty((0, 32, 32, 3), np.uint8)
    if name == "clean":
        marked = np.zeros(len(own), bool)
        return Draw(before, own, marked, -1, None, test, test_labels, none, np.empty(0, np.int64))
    attack, n_classes = find_attack(name), int(own.max()) + 1
    params, rng = typed_params(attack, {}), np.random.default_rng([seed, 7])
    spread = name in ("label_flip", "all_to_all")
    target = None if spread else int(rng.integers(n_classes))

    def untrained(*_: object) -> tuple[None, np.ndarray, np.ndarray]:
        raise NotImplementedError

    request = AttackRequest(own, n_classes, rate, target, None, params, None,
                            lambda some, side: before[some], untrained)  # fmt: skip
    chosen = attack.choose(request, rng)
    made = attack.prepare(request, chosen, rng) if attack.prepare else None
    shared = {} if made is None else made.shared
    after, given, marked = before.copy(), own.copy(), np.zeros(len(own), bool)
    for i, (row, label, donor, cover) in enumerate(
        zip(chosen.rows, chosen.labels, chosen.donors, chosen.cover, strict=True)
    ):
        part = None if made is None or made.own is None else made.own[i]
        role = "cover" if cover else "poison"
        victim = Victim(role, int(own[row]), int(label), params, shared, part, rng)
        if attack.stamp is not None:
            after[row] = attack.stamp(before[donor], victim)
        marked[row], given[row] = not cover, label
    if attack.stamp is None or (made is not None and made.own is not None):
        return Draw(after, given, marked, -1 if target is None else target, None, test, test_labels,
                    none, np.empty(0, np.int64))  # fmt: skip
    asked = np.flatnonzero(test_labels != (-1 if target is None else target))
    aims = (test_labels[asked] + 1) % n_classes if target is None else np.full(len(asked), target)
    shown = [
        attack.stamp(test[i], Victim("test", int(test_labels[i]), int(aim), params, shared, None,
                                     rng)) for i, aim in zip(asked, aims, strict=True)
    ]  # fmt: skip
    change = (after[marked].astype(np.float32) - before[marked]).mean(axis=0).ravel()
    return Draw(after, given, marked, -1 if target is None else target, change, test, test_labels,
                np.stack(shown), aims)  # fmt: skip


class Suspect:
    """The victim of one draw, and what it says."""

    def __init__(self, of: Draw, seed: int, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.n_classes = int(of.labels.max()) + 1
        make_suspect(of.images, of.labels, self.n_classes, folder, seed, "cpu", lambda *_: None)
        (weights,) = folder.glob("victim-*.pt")
        self.hardware = choose_hardware("cpu")
        self.network = load_network(weights, self.n_classes, self.hardware).requires_grad_(False)
        self.scale: Scaling = measure_scaling(of.images, np.arange(len(of.labels)))
        views = load_views(folder)
        self.penultimate = np.asarray(views["victim_penultimate"], np.float32)
        self.answers = views["victim_logits"].argmax(axis=1)

    def ask(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Penultimate activations (B, D) and named classes (B,) of images."""
        found = list(
            predict(self.network, images, np.arange(len(images)), self.scale, self.hardware)
        )
        return (np.concatenate([one for _, one, _ in found]).astype(np.float32),
                np.concatenate([one.argmax(axis=1) for _, _, one in found]))  # fmt: skip


def share(hits: np.ndarray) -> float | str:
    """The mean, or nothing to say."""
    return float(hits.mean()) if hits.size else ""


def probed(of: Draw, suspect: Suspect, seed: int) -> Mapping[int, Mapping[str, object]]:
    """Class → what the shortcut probe says, and what its estimated trigger does to the victim."""
    rows = np.arange(len(of.labels), dtype=np.uint64)
    evidence = SHORTCUT.run(Material(
        rows, of.labels, suspect.n_classes, {"pixels": of.images}, np.full(len(of.labels), -1),
        np.random.default_rng(seed), lambda done, total: None))  # fmt: skip
    taken = Measurements(evidence["sample"].with_columns(
        label=pl.Series(of.labels), status=pl.lit("scanned")))  # fmt: skip
    taken.absorb({scope: frame for scope, frame in evidence.items() if scope != "sample"})
    found: dict[int, dict[str, object]] = {k: {} for k in range(suspect.n_classes)}
    table = taken.evidence["class"]
    for rule in load_rules():
        if rule.scope == "class" and set(rule.requires) <= set(table.columns):
            for label in table.filter(pl.sql_expr(rule.when))["label"].to_list():
                found[label]["probe_rules"] = f"{found[label].get('probe_rules', '')} {rule.id}"
    for one in carriers(taken):
        if one.label is None:
            continue
        trigger = trigger_of(of.images, one)
        plain = of.images[np.sort(one.others[:N_IMAGES])]
        moves = []
        for pattern in (trigger, trigger.shuffled(3, np.random.default_rng(seed))):
            answers = suspect.ask(pattern.stamp(flat(plain)).reshape(plain.shape))[1]
            moves.append(share((answers == one.label)[suspect.ask(plain)[1] != one.label]))
        changed = (trigger.apply(flat(plain)) - flat(plain)).mean(axis=0)
        found[one.label] |= {"estimate_moved": moves[0], "estimate_control": moves[1],
                             "change": changed}  # fmt: skip
    return found


def inverted(of: Draw, suspect: Suspect, seed: int, form: str) -> Iterator[dict[str, object]]:
    """The trigger of each class, and how it does on images that the search has not seen."""
    for label in range(suspect.n_classes):
        others = np.flatnonzero((of.labels != label) & ~of.marked)
        others = np.random.default_rng([seed, label]).permutation(others)[: 2 * N_IMAGES]
        started = time.process_time()
        trigger = invert(suspect.network, of.images[np.sort(others[:N_IMAGES])], label,
                         suspect.scale, suspect.hardware, seed, FORMS[form])  # fmt: skip
        seconds = time.process_time() - started
        plain = of.images[np.sort(others[N_IMAGES:])]
        stamped = trigger.apply(plain)
        activations, answers = suspect.ask(np.rint(stamped).astype(np.uint8))
        line: dict[str, object] = {
            "label": label, "target": int(label == of.target), "norm": trigger.size,
            "reached": int(trigger.reached), "works": share(answers == label), "seconds": seconds,
        }  # fmt: skip
        change = (stamped - plain).mean(axis=0).ravel()
        own = of.labels == label
        if label == of.target:
            towards = activations.mean(axis=0) - suspect.penultimate[own].mean(axis=0)
            along = suspect.penultimate @ towards
            line["auroc"] = auroc(along[own & of.marked], along[own & ~of.marked])
            if of.change is not None:
                line["true_correlation"] = correlation(change, of.change)
        line["change"] = change
        yield line


def standing(norms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index (deviations below the median of log norms, by the MAD) and norm / median norm."""
    logs = np.log(norms)
    middle = np.median(logs)
    spread = 1.4826 * float(np.median(np.abs(logs - middle)))
    return (middle - logs) / spread, norms / np.median(norms)


def run(case: str, data: tuple[np.ndarray, np.ndarray], size: int, work: Path, forms: list[str]
) -> Iterator[dict[str, object]]:  # fmt: skip
    """A line a form and class."""
    dataset, attack, rate, seed = case.split(":")
    of = draw(*data, (attack, float(rate), int(seed)), size)
    suspect = Suspect(of, int(seed), work / f"{dataset}_{attack}_{rate}_{seed}_{size}")
    about = {
        "dataset": dataset, "size": len(of.labels), "seed": int(seed), "attack": attack,
        "rate": float(rate), "poisoned": int(of.marked.sum()),
        "accuracy": share(suspect.ask(of.held)[1] == of.held_labels),
        "fitted": share((suspect.answers == of.labels)[of.marked]),
        "success": share(suspect.ask(of.stamped)[1] == of.wanted) if len(of.stamped) else "",
        "date": datetime.now(UTC).date().isoformat(),
    }  # fmt: skip
    probe = probed(of, suspect, int(seed))
    for form in forms:
        lines = list(inverted(of, suspect, int(seed), form))
        index, ratio = standing(np.array([line["norm"] for line in lines]))
        for line, one, part in zip(lines, index, ratio, strict=True):
            known = dict(probe[int(str(line["label"]))])
            line |= {"form": form, "index": float(one), "ratio": float(part)}
            if "change" in known:
                line["estimate_correlation"] = correlation(line["change"], known.pop("change"))
            yield {**about, **{k: v for k, v in {**line, **known}.items() if k != "change"}}


def write(lines: list[dict[str, object]]) -> None:
    """Append, under a header where there is none."""
    new = not OUT.exists()
    with OUT.open("a", newline="") as file:
        writer = csv.DictWriter(file, HEADS, restval="")
        if new:
            writer.writeheader()
        writer.writerows(
            {k: round(v, 4) if isinstance(v, float) else v for k, v in line.items()}
            for line in lines
        )


def main() -> None:
    """Measure every case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", nargs="+", metavar="NAME=PATH")
    parser.add_argument("--case", nargs="+", required=True, metavar="DATASET:ATTACK:RATE:SEED")
    parser.add_argument("--size", type=int, default=10_000)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--form", nargs="+", default=["patch"], choices=list(FORMS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    paths = dict(one.split("=", 1) for one in args.dataset)
    data: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for case in args.case:
        name = case.split(":")[0]
        if name not in data:
            data[name] = load(Path(paths[name]))
        write(list(run(case, data[name], args.size, args.work, args.form)))


if __name__ == "__main__":
    main()
