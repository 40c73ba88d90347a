"""`auditor poison`: writes a poisoned copy of a dataset, with truth and recipe beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from auditor.attacks.copies.copying import Edits, Layout, Placed
from auditor.attacks.copies.destination import beside, checked_out, inside, partial_copy
from auditor.attacks.copies.encoding import Encoding, estimate_encoding
from auditor.attacks.copies.folder_copy import open_folder
from auditor.attacks.copies.outcome import PoisonResult, recipe_of, truth_frame
from auditor.attacks.copies.parquet_copy import open_parquet, parquet_files
from auditor.attacks.copies.rewriting import Job, attack_key, rewritten, thumbnails
from auditor.attacks.requests.planning import find_attack, find_class, typed_params
from auditor.errors import NothingToScanError, UsageError
from auditor.interfaces import (
    Attack,
    AttackMaterial,
    AttackRequest,
    PoisonPlan,
    Progress,
    Selection,
)

SURROGATE_EPOCHS = 8
SURROGATE_BATCH = 128
SURROGATE_STEPS = 20
"""Training of the attacker's network: 80,000 images shown at most (10,000 samples)."""

__all__ = ["PoisonResult", "poison"]

PROBES = 4
PROBE_SAMPLES = 16
"""The encoding is estimated from 4 × 16 samples: few, spread, and in few row groups."""


def poison(plan: PoisonPlan, progress: Progress | None = None) -> PoisonResult:
    """Copy a dataset, re-encode every image alike, and poison round(rate·N) samples.

    Args:
        plan: what to do. The dataset is only read.
        progress: called with (samples written, samples to write).

    Returns:
        Where the copy, ``OUT.truth.parquet`` and ``OUT.recipe.json`` are. The truth has one row a
        sample of the copy; a cover sample is not ``poisoned`` but names its ``attack``.

    Raises:
        UsageError: the plan does not fit the dataset, or OUT can not be written safely.
        NothingToScanError: the dataset holds no images.
    """
    attack = find_attack(plan.attack)
    params = typed_params(attack, plan.params)
    if not 0 <= plan.rate <= 1:
        raise UsageError(
            f"--rate: got {plan.rate:g}, expected a fraction between 0 and 1 of all samples; "
            "1 % is --rate 0.01"
        )
    out = checked_out(plan)
    layout = _opened(plan)
    encoding = estimate_encoding(d for d in layout.fetch(_probe_rows(len(layout.labels))) if d)
    unreadable: frozenset[int] = frozenset()
    while True:
        job = _decided(plan, attack, params, layout, encoding, unreadable)
        edits = _edits(plan, layout, job.selection)
        n_samples = len(layout.labels) + int(job.selection.added.sum())
        with partial_copy(out) as partial:
            copy, name = inside(plan, out, partial)
            blocks = rewritten(job, layout.read(edits), n_samples, progress)
            placed = layout.write(copy, name, edits, blocks)
            if not _touched(job.selection) & job.unreadable:
                return _finished(plan, layout, job, placed, partial, out)
        # A chosen sample can not be decoded, so its poison is lost: choose among the others.
        unreadable = unreadable | job.unreadable


def _opened(plan: PoisonPlan) -> Layout:
    if not plan.dataset.exists():
        raise UsageError(f"{plan.dataset}: no such file or folder; expected a dataset")
    if parquet_files(plan.dataset):
        layout = open_parquet(plan.dataset, plan.image, plan.label, plan.source)
    elif plan.dataset.is_dir():
        layout = open_folder(plan.dataset, plan.label, plan.source)
    else:
        raise NothingToScanError(
            f"{plan.dataset}: not a Parquet file; expected a Parquet file, a folder of them, or an "
            "image folder"
        )
    if not len(layout.labels):
        raise NothingToScanError(
            f"{plan.dataset}: found no images; expected class folders of JPEG, PNG, WebP, GIF, BMP "
            "or TIFF files, or Parquet files with an image column"
        )
    return layout


def _probe_rows(n: int) -> np.ndarray:
    starts = np.linspace(0, max(0, n - PROBE_SAMPLES), PROBES).astype(np.int64)
    return np.unique(np.minimum(starts[:, None] + np.arange(PROBE_SAMPLES), n - 1))


def _decided(
    plan: PoisonPlan,
    attack: Attack,
    params: dict[str, object],
    layout: Layout,
    encoding: Encoding,
    unreadable: frozenset[int],
) -> Job:
    """Choose the rows and prepare the attack's material, each from its own random stream."""
    labels = layout.labels.copy()
    labels[list(unreadable)] = -1
    request = AttackRequest(
        labels=labels,
        n_classes=len(layout.class_names),
        rate=plan.rate,
        target=find_class(layout.class_names, plan.target, "--target"),
        source_class=find_class(layout.class_names, plan.source_class, "--source-class"),
        params=params,
        sources=layout.sources,
        images=lambda rows, side: thumbnails(layout, rows, side, plan.workers),
        train=lambda pixels, given, seed: train_surrogate(
            pixels, given, len(layout.class_names), seed
        ),
    )
    key = attack_key(attack.id)
    selection = attack.choose(request, np.random.default_rng([plan.seed, key, 3]))
    material = AttackMaterial({})
    if attack.prepare is not None and len(selection.rows):
        material = attack.prepare(request, selection, np.random.default_rng([plan.seed, key, 4]))
    entries = np.flatnonzero(selection.donors != selection.rows)
    gifts = layout.fetch(selection.donors[entries])
    donated = {int(e): d for e, d in zip(entries, gifts, strict=True) if d is not None}
    return Job(
        attack,
        params,
        selection,
        material,
        layout.labels,
        encoding,
        plan.seed,
        plan.workers,
        donated,
    )


def train_surrogate(
    pixels: np.ndarray, labels: np.ndarray, n_classes: int, seed: int
) -> tuple[Any, np.ndarray, np.ndarray]:
    """The reference network, for attacks that need gradients (`AttackRequest.train`)."""
    from auditor.features.network import choose_hardware
    from auditor.features.training import Plan, measure_scaling, train_fold

    rows = np.random.default_rng(seed).permutation(len(labels))
    batch = min(SURROGATE_BATCH, len(rows))
    plan = Plan(max(SURROGATE_STEPS, SURROGATE_EPOCHS * len(rows) // batch), batch)
    hardware = choose_hardware("auto")
    network = train_fold(
        pixels, labels, rows, n_classes, plan, False, seed, hardware, lambda n_images: None
    )
    scale = measure_scaling(pixels, rows)
    return network, scale.mean, scale.deviation


def _edits(plan: PoisonPlan, layout: Layout, selection: Selection) -> Edits:
    labels = layout.labels.copy()
    entry = np.full(len(labels), -1, dtype=np.int64)
    here = np.flatnonzero(~selection.added)
    labels[selection.rows[here]] = selection.labels[here]
    entry[selection.rows[here]] = here
    added: dict[int, list[int]] = {}
    for e in np.flatnonzero(selection.added).tolist():
        added.setdefault(int(selection.rows[e]), []).append(e)
    new_labels = {e: int(selection.labels[e]) for es in added.values() for e in es}
    return Edits(labels, entry, added, new_labels, plan.seed)


def _touched(selection: Selection) -> set[int]:
    return set(selection.rows.tolist()) | set(selection.donors.tolist())


def _finished(
    plan: PoisonPlan, layout: Layout, job: Job, placed: Placed, partial: Path, out: Path
) -> PoisonResult:
    """Write truth and recipe, and put everything in its place."""
    chosen = job.selection
    where = [
        uri if record is None else f"{uri}#{record}"
        for uri, record, row in zip(placed.uris, placed.records, placed.rows, strict=True)
        if row in job.unreadable
    ]
    result = PoisonResult(
        out=plan.out,
        truth=beside(plan.out, "truth.parquet"),
        recipe=beside(plan.out, "recipe.json"),
        attack=job.attack.id,
        target=plan.target,
        n_samples=len(placed.uris),
        n_poisoned=int((~chosen.cover).sum()),
        n_cover=int(chosen.cover.sum()),
        n_added=int(chosen.added.sum()),
        unreadable=tuple(where),
        shared=job.material.shared,
    )
    recipe = recipe_of(plan, layout, job, placed, result)
    truth_partial, recipe_partial = (
        partial.with_name(partial.name + ".t"),
        partial.with_name(partial.name + ".r"),
    )
    try:
        truth_frame(job.attack.id, chosen, layout, placed).write_parquet(truth_partial)
        recipe_partial.write_text(json.dumps(recipe, indent=2, ensure_ascii=False) + "\n")
        if out.is_dir():
            out.rmdir()
        partial.rename(out)
        truth_partial.rename(beside(out, "truth.parquet"))
        recipe_partial.rename(beside(out, "recipe.json"))
    finally:
        truth_partial.unlink(missing_ok=True)
        recipe_partial.unlink(missing_ok=True)
    return result
