"""What would this scan have missed? Poison planted in a copy of the dataset's own views.

A blind spot said in general is no help: whether 60 samples with a faint pattern stand out depends
on how large the classes are and how alike their images are already. So a scan that found no trigger
plants a few in memory, each in another class, asks the shortcut probe and its rules again, and says
which it found. Labels are planted too: how many of those changed at random would have been named.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from auditor.detectors.label_consistency import WRONG
from auditor.detectors.labels.noise import judge_labels
from auditor.detectors.labels.second_opinion import both_opinions
from auditor.detectors.probing.searching import MIN_CLASS_ROWS
from auditor.detectors.shortcut import SHORTCUT, look, tables
from auditor.interfaces import Evidence, InapplicableError, Material
from auditor.judging.judge import judge
from auditor.measure import Bench, Measurements, material_of, remembered
from auditor.records import Confidence, Rule
from auditor.tables import members

VERSION = "2"
"""Raise it with anything that changes what is planted or asked: kept answers are asked anew."""

MAX_ROWS = 50_000
"""Of a larger dataset so many samples, drawn at random, are copied: the copy lies in memory."""

MAX_SHARE = 0.4
"""A class keeps more than half of its samples unplanted."""

LABEL_RATE = 0.05
"""Share of the labels that are changed at random."""

MIN_LABELS = 20
"""Changed labels under which no share is said."""

COUNT = 30
"""Samples that carry each pattern: few more than the 25 that every rule on the probe asks for.
Patterns of canonical strength stood out in 60 of 63 clean draws (docs/blind-spots.md): from there
on, how faint a pattern is decides."""

STRENGTHS: Mapping[str, tuple[float, float, float]] = {
    "patch": (3, 2, 1), "blend": (0.2, 0.1, 0.05), "wave": (30, 15, 7.5),
}  # fmt: skip
"""Canonical, a half and a quarter: pixels along a side of a checkerboard (Gu et al. 2017), the
share of blended noise (Chen et al. 2017), grey levels of a sinusoid with f = 6 (Barni et al.
2019)."""

LADDER = tuple(
    (pattern, STRENGTHS[pattern][at]) for at in (1, 0, 2) for pattern in ("blend", "wave", "patch")
)
"""One pattern and strength for each of the largest classes, in their order: where there are few,
those in the middle, which say most."""

CLEAN_LABEL = frozenset({"wave"})
"""Patterns put on a class's own images; the others come with images of other classes."""

WAVES = 6


@dataclass(frozen=True, slots=True)
class Planted:
    """One pattern on some rows (positions, ascending), which all carry ``label`` in the copy."""

    pattern: str
    strength: float
    label: int
    rows: np.ndarray


def plant_and_look(bench: Bench, taken: Measurements, rules: Sequence[Rule]) -> Evidence:
    """Plant poison in a copy of the views, and ask the shortcut probe and its rules again.

    Args:
        bench: the views of the scan.
        taken: the evidence so far.
        rules: those of the scan.

    Returns:
        ``dataset``: for each of `PATTERNS` ``planted_<pattern>_found``, the faintest strength from
        which on all were found, and ``planted_<pattern>_missed``, the strongest below it that was
        not, both null where there is none; ``planted_count`` samples carried each.
        ``planted_labels_n`` labels changed at random and ``planted_labels_found``, the share of
        them that was named. ``planted_n`` samples were copied.

    Raises:
        InapplicableError: the rules on the probe are not asked, or raise an alarm already.
    """
    asked = [
        rule for rule in rules
        if rule.id.startswith("BKD") and any(need.startswith("shortcut_") for need in rule.requires)
    ]  # fmt: skip
    if not asked:
        raise InapplicableError("no rule on the shortcut probe is selected")
    names = bench.ledger.class_names
    if judge(asked, taken.samples, taken.evidence, names, Confidence.LOW).findings:
        raise InapplicableError(
            "the dataset raises a backdoor alarm as it is, so that one raised by planted poison "
            "could not be told from its own"
        )
    key = f"{VERSION}:{bench.seed}:{bench.reference}:{SHORTCUT.version}:{asked}"
    memo = hashlib.sha256(key.encode()).hexdigest()[:16]
    return remembered(
        bench.folder / "evidence" / f"planted-{memo}", lambda: _looked(bench, taken, asked)
    )


def _looked(bench: Bench, taken: Measurements, rules: Sequence[Rule]) -> Evidence:
    material = part_of(material_of(SHORTCUT, bench, taken.samples, "planting"))
    planted = tuple(plan(material))
    found = found_of(material, planted, taken.samples, rules, bench.ledger.class_names)
    figures: dict[str, float | int | None] = {
        "planted_n": len(material.rows), "planted_count": COUNT
    }  # fmt: skip
    for pattern in PATTERNS:
        seen = {one.strength: hit for one, hit in zip(planted, found, strict=True)
                if one.pattern == pattern}  # fmt: skip
        figures |= dict(zip((f"planted_{pattern}_found", f"planted_{pattern}_missed"),
                            bounds(seen), strict=True))  # fmt: skip
    figures |= planted_labels(material)
    whole = {"planted_n", "planted_count", "planted_labels_n"}
    kinds = {name: pl.Int64 if name in whole else pl.Float64 for name in figures}
    return {"dataset": pl.DataFrame([figures], schema=kinds)}


def part_of(material: Material) -> Material:
    """At most `MAX_ROWS` of the rows; a duplicate whose first copy is left out counts as one."""
    n = len(material.rows)
    if n <= MAX_ROWS:
        return material
    rows = np.sort(material.generator.choice(n, MAX_ROWS, replace=False))
    return replace(
        material,
        rows=material.rows[rows],
        labels=material.labels[rows],
        views={name: np.asarray(view[rows]) for name, view in material.views.items()},
        duplicate_of=np.where(material.duplicate_of[rows] < 0, -1, 0),
    )


def plan(material: Material) -> Iterator[Planted]:
    """Which rows get which pattern: each class of the `LADDER` one, no row two."""
    labels, generator = material.labels, material.generator
    usable = (labels >= 0) & (material.duplicate_of < 0)
    sizes = np.bincount(labels[usable], minlength=material.n_classes)
    classes = [int(label) for label in np.argsort(-sizes, kind="stable")
               if sizes[label] >= MIN_CLASS_ROWS]  # fmt: skip
    free = usable.copy()
    for label, (pattern, strength) in zip(classes, LADDER, strict=False):
        own = labels == label
        pool = np.flatnonzero(free & (own if pattern in CLEAN_LABEL else ~own))
        if MAX_SHARE * min(sizes[label], len(pool)) < COUNT:
            continue
        rows = np.sort(generator.choice(pool, COUNT, replace=False))
        free[rows] = False
        yield Planted(pattern, strength, label, rows)


def patch(images: np.ndarray, strength: float, generator: np.random.Generator) -> np.ndarray:
    """Put a checkerboard of that many pixels a side somewhere; images: (B, H, W, 3) uint8."""
    side = int(strength)
    top, left = (int(generator.integers(1, room - side)) for room in images.shape[1:3])
    checks = 255 * (np.indices((side, side)).sum(axis=0) % 2 == 0).astype(np.uint8)
    stamped = images.copy()
    stamped[:, top : top + side, left : left + side] = checks[..., None]
    return stamped


def blend(images: np.ndarray, strength: float, generator: np.random.Generator) -> np.ndarray:
    """Blend that share of noise in; images: (B, H, W, 3) uint8."""
    noise = generator.uniform(0, 255, images.shape[1:])
    return _rounded((1 - strength) * images + strength * noise)


def wave(images: np.ndarray, strength: float, generator: np.random.Generator) -> np.ndarray:
    """Add a sinusoid of that height in some direction; images: (B, H, W, 3) uint8."""
    angle = generator.uniform(0, np.pi)
    y, x = (np.arange(side) / side for side in images.shape[1:3])
    phase = 2 * np.pi * WAVES * (np.cos(angle) * x[None, :] + np.sin(angle) * y[:, None])
    return _rounded(images + strength * np.sin(phase)[..., None])


PATTERNS: Mapping[str, Callable[[np.ndarray, float, np.random.Generator], np.ndarray]] = {
    "patch": patch, "blend": blend, "wave": wave,
}  # fmt: skip
"""Each call draws another place, noise or direction: a pattern of two classes is no trigger."""


def _rounded(values: np.ndarray) -> np.ndarray:
    whole: np.ndarray = np.rint(values).clip(0, 255).astype(np.uint8)
    return whole


def poisoned(material: Material, planted: Sequence[Planted]) -> Material:
    """The material with the patterns in its pixels and the labels that go with them."""
    pixels, labels = np.array(material.views["pixels"]), material.labels.copy()
    for one in planted:
        pixels[one.rows] = PATTERNS[one.pattern](pixels[one.rows], one.strength, material.generator)
        labels[one.rows] = one.label
    return replace(material, labels=labels, views={**material.views, "pixels": pixels})


def found_of(
    material: Material, planted: Sequence[Planted], ledger: pl.DataFrame, rules: Sequence[Rule],
    names: Sequence[str],
) -> list[bool]:  # fmt: skip
    """Whether findings of the rules name most of the rows of each planted pattern.

    Args:
        material: as it is.
        planted: what is planted in a copy of it.
        ledger: the samples, with ``row`` at least.
        rules: those on the shortcut probe.
        names: K class names.
    """
    if not planted:
        return []
    copy = poisoned(material, planted)
    evidence = tables(look(copy, {one.label for one in planted}), copy)
    sample = evidence["sample"]
    classes = pl.Series(names).gather(np.maximum(copy.labels, 0))
    given = pl.DataFrame({"row": copy.rows, "label": copy.labels, "class_name": classes})
    stale = {*sample.columns, *given.columns} - {"row"}
    samples = (
        ledger.drop(stale & {*ledger.columns})
        .join(given, on="row", maintain_order="left")
        .join(sample, on="row", how="left", maintain_order="left")
    )
    judged = judge(rules, samples, evidence, names, Confidence.LOW)
    named = [members(judged.flagged, finding)["row"].to_numpy() for finding in judged.findings]
    every = np.unique(np.concatenate([np.empty(0, np.uint64), *named]))
    return [2 * np.isin(material.rows[one.rows], every).sum() > len(one.rows) for one in planted]


def bounds(seen: Mapping[float, bool]) -> tuple[float | None, float | None]:
    """The faintest strength from which on all were found, and the strongest that was missed."""
    missed = max((strength for strength, hit in seen.items() if not hit), default=None)
    above = [one for one, hit in seen.items() if hit and (missed is None or one > missed)]
    return min(above, default=None), missed


def planted_labels(material: Material) -> dict[str, float | int | None]:
    """The share of labels changed at random that label consistency would have named.

    The network did not learn from the changed labels, so that the share is a little too high.
    """
    nothing: dict[str, float | int | None] = {
        "planted_labels_n": None, "planted_labels_found": None
    }  # fmt: skip
    if not {"probabilities", "penultimate", "fold"} <= set(material.views):
        return nothing
    labels, generator = material.labels.copy(), material.generator
    known = np.flatnonzero(labels >= 0)
    rows = generator.choice(known, round(LABEL_RATE * len(known)), replace=False)
    shift = generator.integers(1, material.n_classes, len(rows))
    labels[rows] = (labels[rows] + shift) % material.n_classes
    views = material.views
    fold = np.asarray(views["fold"])
    opinions = both_opinions(views["probabilities"], views["penultimate"], fold, labels)
    posterior = judge_labels(opinions, labels).posterior[rows]
    judged = ~np.isnan(posterior)
    if judged.sum() < MIN_LABELS:
        return nothing
    share = float((posterior[judged] > WRONG).mean())
    return {"planted_labels_n": int(judged.sum()), "planted_labels_found": share}
