"""Whether an attack implants: what trained networks say of held-out images with its trigger."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from auditor.attacks.copies.copying import sample_generator
from auditor.attacks.copies.encoding import DECODE_ERRORS, Encoding, rewrite
from auditor.attacks.copies.outcome import PoisonResult
from auditor.attacks.copies.rewriting import attack_key
from auditor.attacks.requests.planning import find_attack, find_class, typed_params
from auditor.benching.cutting import Cut
from auditor.benching.scoring import joined_with_truth
from auditor.features.pixels import pixel_view
from auditor.features.retained import retained_logits, stored_pixels
from auditor.features.victim import train_victim
from auditor.interfaces import Attack, PoisonPlan, Victim
from auditor.readers.decode import Decoded, decode
from auditor.report import Report

TEST_STREAM = 5
"""Key of the random streams of stamped test images; the attacks use 1 to 4 for the training set."""

ANY_WRONG = -1
"""Stands for the label of an attack that wants any wrong answer."""

MIN_IMAGES = 20
"""Fewer held-out images tell nothing: the standard error of a half is then 11 %."""


@dataclass(frozen=True, slots=True)
class Success:
    """What the reference network learned, or why that is not known.

    Attributes:
        rate: share of the stamped held-out images that got the answer the attacker wants.
        n_images: how many were stamped.
        clean_accuracy: of the networks on held-out images without a trigger.
        reason: why ``rate`` is None.
    """

    rate: float | None
    n_images: int
    clean_accuracy: float | None
    reason: str = ""


Answers = Callable[[np.ndarray], np.ndarray]
"""(M, 32, 32, 3) uint8 images → (F, M) int64: the class that each of F networks names."""


def scan_answers(report: Report, cache: Path) -> Answers | None:
    """The fold networks that a scan trained and kept below ``cache``; None where it trained none.

    Such networks saw half of the data for few epochs: they say what this scan could know.
    """
    if report.reference is None:
        return None
    # Kept features may be those of several copies: a changed attack writes another one.
    folder = max(
        cache.glob("datasets/*/reference-*"), key=lambda found: found.parent.stat().st_mtime_ns
    )
    pixels, labels = _trained_on(report, cache)
    n_classes = len(report.dataset.class_names)
    seed = int(str(report.options["seed"]))
    device = str(folder.name.rsplit("-", 1)[1])

    def answers(images: np.ndarray) -> np.ndarray:
        logits = retained_logits(folder, pixels, labels, n_classes, seed, device, images)
        named: np.ndarray = logits.argmax(axis=2)
        return named

    return answers


def victim_answers(report: Report, cache: Path, epochs: int, seed: int, device: str) -> Answers:
    """A network trained on all of the scanned copy, as its user would train one."""
    pixels, labels = _trained_on(report, cache)
    n_classes = len(report.dataset.class_names)
    logits = train_victim(pixels, labels, n_classes, epochs, seed, device)
    return lambda images: logits(images).argmax(axis=1)[None]


def _trained_on(report: Report, cache: Path) -> tuple[np.ndarray, np.ndarray]:
    """(N, 32, 32, 3) uint8 pixels and (N,) int64 labels of the scanned samples."""
    scanned = report.samples.filter(pl.col("status") == "scanned")
    pixels = stored_pixels(cache, scanned["sha256"].to_list())
    return pixels, scanned["label"].fill_null(-1).to_numpy()


def measure_success(
    report: Report,
    plan: PoisonPlan | None,
    result: PoisonResult,
    cut: Cut,
    truth: pl.DataFrame,
    answers: Answers | None,
) -> Success:
    """Ask trained networks about the held-out images of a cut, averaging over the networks.

    Args:
        report: of the scan of the poisoned copy.
        plan: what was poisoned, or None for clean data.
        result: of the poisoning.
        cut: its held-out images are stamped at their own size, then decoded as a scan decodes.
        truth: of the copy.
        answers: the networks, or None where none was trained.
    """
    if answers is None:
        return Success(None, 0, None, "the fast profile trains no network")
    if not len(cut.images):
        return Success(None, 0, None, "the cut is the whole dataset: no image is held out")
    names = report.dataset.class_names
    if not set(cut.class_names) <= set(names):
        return Success(None, 0, None, "no held-out image bears a class of the scanned copy")
    # Attacks and scans may number the classes differently: names are what they share.
    numbers = np.array([names.index(name) for name in cut.class_names])
    encoding = Encoding(**json.loads(result.recipe.read_text("utf-8"))["encoding"])
    plain, seen = _views(cut.images, encoding, [None] * len(cut.images))
    right = answers(plain) == numbers[cut.labels[seen]]
    accuracy = float(right.mean()) if right.size else None
    if plan is None:
        return Success(None, 0, accuracy, "nothing was attacked")
    attack = find_attack(plan.attack)
    if attack.success == "accuracy":
        return Success(None, 0, accuracy, "the attack aims at accuracy, not at an answer")
    if attack.success == "none" or (attack.success == "trigger" and attack.stamp is None):
        return Success(None, 0, accuracy, "success is not defined for this attack")
    if attack.success == "targets":
        targets = result.shared["targets"]
        wanted = find_class(cut.class_names, plan.target, "--target") or 0
        return Success(float((answers(targets) == numbers[wanted]).mean()), len(targets), accuracy)
    wishes = wanted_labels(report, truth, attack, plan, cut)
    return _stamped_success(
        attack, plan, cut, result.shared, encoding, answers, numbers, accuracy, wishes
    )


def _stamped_success(
    attack: Attack, plan: PoisonPlan, cut: Cut, shared: Mapping[str, np.ndarray],
    encoding: Encoding, ask: Answers, numbers: np.ndarray, accuracy: float | None,
    wanted: Mapping[int, int],
) -> Success:  # fmt: skip
    chosen = [i for i, label in enumerate(cut.labels.tolist()) if label in wanted]
    if len(chosen) < MIN_IMAGES:
        reason = f"only {len(chosen)} held-out images are of a class the attack turns"
        return Success(None, len(chosen), accuracy, reason)
    victims: list[Victim | None] = []
    for i in chosen:
        label = int(cut.labels[i])
        aim = wanted[label] if wanted[label] != ANY_WRONG else label
        generator = sample_generator(plan.seed, attack_key(attack.id), TEST_STREAM, i)
        params = typed_params(attack, plan.params)
        victims.append(Victim("test", label, aim, params, shared, None, generator))
    images = tuple(cut.images[i] for i in chosen)
    stamped, seen = _views(images, encoding, victims, attack)
    answers = ask(stamped)
    own = cut.labels[np.array(chosen)[seen]]
    aims = np.array([wanted[label] for label in own.tolist()])
    aimed = np.where(aims == ANY_WRONG, 0, aims)
    hits = np.where(aims == ANY_WRONG, answers != numbers[own], answers == numbers[aimed])
    return Success(float(hits.mean()), len(seen), accuracy)


def wanted_labels(
    report: Report, truth: pl.DataFrame, attack: Attack, plan: PoisonPlan, cut: Cut
) -> Mapping[int, int]:
    """Class → the answer the attacker wants for it, read from the poison itself.

    Dirty-label poison shows which classes turn into which; where one class turns into several, any
    wrong answer counts (`ANY_WRONG`). Clean-label poison turns every other class, or the source
    class, into the target.
    """
    target = find_class(cut.class_names, plan.target, "--target") or 0
    if attack.kind == "clean_label":
        source = find_class(cut.class_names, plan.source_class, "--source-class")
        if source is None and attack.id == "hidden_trigger":
            source = int(target == 0)
        every = range(len(cut.class_names)) if source is None else [source]
        return {k: target for k in every if k != target}
    pairs = (
        joined_with_truth(report, truth)
        .filter("poisoned")
        .select("original_label", "class_name")
        .unique()
        .sort("original_label", "class_name")
    )
    found: dict[int, int] = {}
    for original, given in pairs.iter_rows():
        if original in cut.class_names and given in cut.class_names:
            k = cut.class_names.index(original)
            found[k] = ANY_WRONG if k in found else cut.class_names.index(given)
    return found


def _views(
    images: tuple[bytes, ...], encoding: Encoding, victims: list[Victim | None],
    attack: Attack | None = None,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Stamp, encode as the copy is encoded, decode as a scan does.

    Returns:
        (M, 32, 32, 3) uint8 of the images that can be read, and their places among the given.
    """
    found, seen = [], []
    for i, (data, victim) in enumerate(zip(images, victims, strict=True)):
        stamp = None
        if victim is not None and attack is not None and attack.stamp is not None:
            stamp = partial(_stamp, attack, victim)
        try:
            decoded = decode(rewrite(data, encoding, stamp))
        except DECODE_ERRORS:
            continue
        if isinstance(decoded, Decoded):
            found.append(pixel_view(decoded.pixels[None])[0])
            seen.append(i)
    views = np.stack(found) if found else np.empty((0, 32, 32, 3), np.uint8)
    return views, np.array(seen, dtype=np.int64)


def _stamp(attack: Attack, victim: Victim, image: np.ndarray) -> np.ndarray:
    assert attack.stamp is not None
    return attack.stamp(image, victim)
