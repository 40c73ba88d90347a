"""Stamp estimated triggers on other images and ask the networks that this scan trained.

A quick network often has not learnt a rare trigger; that its answer stays clears nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from auditor.interfaces import Evidence, InapplicableError
from auditor.measure import Bench, Measurements, remembered
from auditor.records import Scope
from auditor.trials.carriers import N_HELD_OUT, Carrier, carriers, flat, trigger_of

VERSION = "1"
"""Raise it with anything that changes what is asked: kept answers are then asked anew."""

KINDS = 3
"""Each image is shown as it is, stamped, and stamped with the shuffled pattern."""


def ask_networks(bench: Bench, taken: Measurements, folder: Path, device: str) -> Evidence:
    """Whether the networks' answers follow a stamped pattern.

    Each image is shown to the network that has not learnt from it.

    Args:
        bench: the views, and the seed of the networks.
        taken: the evidence so far.
        folder: where the networks were kept.
        device: ``auto``, ``cpu`` or ``cuda``.

    Returns:
        ``class``: ``shortcut_network_moved``, the share of the stamped images, of those that were
        not answered with the class before, that now are; ``shortcut_network_control``, the same
        with the pattern shuffled in space; ``shortcut_network_n``, how many they are. ``dataset``:
        ``shortcut_any_network_*``, the shares whose answer changes at all.

    Raises:
        InapplicableError: no group was stamped, or the networks were not kept.
    """
    groups = carriers(taken)
    if not groups:
        raise InapplicableError(
            "no group of samples came near an alarm, so there was none to ask a network about"
        )
    if not _kept(folder, bench):
        untrained = "fold" not in bench.views and bench.absent
        raise InapplicableError(
            untrained or "this scan's reference kept no network that could be asked"
        )
    return remembered(_memo(bench, groups), lambda: _asked(bench, taken, folder, device, groups))


def _memo(bench: Bench, groups: Sequence[Carrier]) -> Path:
    """Where the answers are kept: everything that they depend on decides the name."""
    digest = hashlib.sha256(f"{VERSION}:{bench.seed}:{bench.reference}".encode())
    for one in groups:
        digest.update(f"{one.label}".encode() + one.members.tobytes() + one.others.tobytes())
    return bench.folder / "evidence" / f"shortcut_network-{digest.hexdigest()[:16]}"


def _asked(
    bench: Bench, taken: Measurements, folder: Path, device: str, groups: Sequence[Carrier]
) -> Evidence:
    """The networks' answers for every group."""
    from auditor.features.retained import retained_logits

    pixels = np.asarray(bench.views["pixels"])
    scanned = taken.samples.filter(pl.col("status") == "scanned")
    labels = scanned["label"].fill_null(-1).to_numpy()
    rows = [np.sort(one.others[:N_HELD_OUT]) for one in groups]
    shown = [_shown(pixels, one, part, bench.seed) for one, part in zip(groups, rows, strict=True)]
    logits = retained_logits(
        folder, pixels, labels, len(bench.ledger.class_names), bench.seed, device,
        np.concatenate(shown).reshape(-1, *pixels.shape[1:]),
    )  # fmt: skip
    folds = np.concatenate([np.tile(bench.views["fold"][part], KINDS) for part in rows])
    answers = logits.argmax(axis=2)[folds, np.arange(len(folds))]
    parts = np.split(answers, np.cumsum([KINDS * len(part) for part in rows])[:-1])
    lines = [
        _followed(one.label, *part.reshape(KINDS, -1))
        for one, part in zip(groups, parts, strict=True)
    ]
    return _tables(groups, lines)


def _kept(folder: Path, bench: Bench) -> bool:
    """Whether the folder holds the networks that gave this scan's views, of these very rows."""
    record = folder / "reference.json"
    if "fold" not in bench.views or not record.exists():
        return False
    # Under the thorough profile the digest of the reference is followed by that of the victim.
    known = bench.reference.startswith(str(json.loads(record.read_text())["digest"]))
    folds = np.load(folder / "fold.npy", mmap_mode="r", allow_pickle=False)
    return known and len(folds) == len(bench.views["fold"]) and any(folder.glob("fold*.pt"))


def _shown(pixels: np.ndarray, one: Carrier, rows: np.ndarray, seed: int) -> np.ndarray:
    """The rows as they are, stamped, and stamped with the shuffled pattern: (3·n, D) uint8."""
    trigger = trigger_of(pixels, one)
    control = trigger.shuffled(3, np.random.default_rng(seed))
    plain = flat(pixels[rows])
    return np.concatenate([plain, trigger.stamp(plain), control.stamp(plain)])


def _followed(
    label: int | None, before: np.ndarray, after: np.ndarray, control: np.ndarray
) -> Mapping[str, float | int | None]:
    """Shares of the answers (M,) that a pattern turns to a class, or turns at all."""
    if label is None:
        asked, moved, shuffled = np.ones(len(before), bool), after != before, control != before
    else:
        asked, moved, shuffled = before != label, after == label, control == label
    n = int(asked.sum())
    share = [float(one[asked].mean()) if n else None for one in (moved, shuffled)]
    return {"network_moved": share[0], "network_control": share[1], "network_n": n}


def _tables(
    groups: Sequence[Carrier], lines: Sequence[Mapping[str, float | int | None]]
) -> Evidence:
    tables: dict[Scope, pl.DataFrame] = {}
    kinds = {"network_moved": pl.Float64, "network_control": pl.Float64, "network_n": pl.Int64}
    both = list(zip(groups, lines, strict=True))
    of_class = [{"label": one.label, **line} for one, line in both if one.label is not None]
    if of_class:
        frame = pl.DataFrame(of_class, schema={"label": pl.Int64, **kinds})
        tables["class"] = frame.rename({name: f"shortcut_{name}" for name in kinds})
    of_all = [line for one, line in both if one.label is None]
    if of_all:
        frame = pl.DataFrame(of_all, schema=kinds)
        tables["dataset"] = frame.rename({name: f"shortcut_any_{name}" for name in kinds})
    return tables
