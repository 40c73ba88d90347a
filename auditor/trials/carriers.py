"""Which samples carry an estimated trigger, according to the evidence, and that trigger."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import polars as pl

from auditor.detectors.probing.trigger import MAX_ROWS, Trigger, estimate
from auditor.measure import Measurements
from auditor.records import Finding

N_HELD_OUT = 500
"""Images that are stamped: a share is known to ± 4 points (95 %)."""

FIXED = 0.5
"""Halves of a group that agree less do not share one pattern that could be told: measured, a moving
square 0.20, SSBA 0.41, a smooth field of 40 samples 0.49; other triggers 0.78 and more."""


@dataclass(frozen=True, slots=True)
class Carrier:
    """A group in the evidence: its scope and key, its members and the others, by position.

    Attributes:
        label: its class, or None for the group of disputed labels.
        members: (n,) int64 positions among the scanned rows, in random order.
        others: (m,) int64 positions of samples of other classes (or undisputed), in random order.
    """

    label: int | None
    members: np.ndarray
    others: np.ndarray


def carriers(taken: Measurements) -> list[Carrier]:
    """The groups whose pattern was stamped, with the samples that carry it."""
    evidence = taken.evidence
    samples = taken.samples.filter(pl.col("status") == "scanned")
    found = []
    labels = samples["label"].fill_null(-1).to_numpy()
    table = evidence.get("class", pl.DataFrame())
    if {"shortcut_stamped", "shortcut_member"} <= {*table.columns, *samples.columns}:
        member = samples["shortcut_member"].fill_null(False).to_numpy()
        for label in table.filter(pl.col("shortcut_stamped").is_not_null())["label"].to_list():
            own = np.flatnonzero(member & (labels == label))
            rest = np.flatnonzero((labels != label) & (labels >= 0) & ~member)
            found.append(_mixed(label, own, rest))
    table = evidence.get("dataset", pl.DataFrame())
    if {"shortcut_any_stamped", "shortcut_any_member"} <= {*table.columns, *samples.columns}:
        member = samples["shortcut_any_member"].fill_null(False).to_numpy()
        if table["shortcut_any_stamped"].is_not_null().any():
            rest = np.flatnonzero((labels >= 0) & ~member)
            found.append(_mixed(None, np.flatnonzero(member), rest))
    return [one for one in found if len(one.members) >= 4 and len(one.others)]


def _mixed(label: int | None, members: np.ndarray, others: np.ndarray) -> Carrier:
    """Always the same order for the same rows, so that a report draws what was measured."""
    seed = hashlib.sha256(members.tobytes()).digest()
    generator = np.random.default_rng(int.from_bytes(seed[:8], "big"))
    return Carrier(label, generator.permutation(members), generator.permutation(others))


def trigger_of(pixels: np.ndarray, carrier: Carrier) -> Trigger:
    """The pattern that a group's samples carry, on (N, 32, 32, 3) uint8 pixels."""
    members = flat(pixels[np.sort(carrier.members)])
    order = np.argsort(np.argsort(carrier.members))
    natural = carrier.others[N_HELD_OUT:][:MAX_ROWS]
    natural = natural if len(natural) >= N_HELD_OUT else carrier.others
    return estimate(members[order], flat(pixels[np.sort(natural)]), 3)


def flat(images: np.ndarray) -> np.ndarray:
    """Images (B, H, W, 3) as rows (B, D)."""
    rows: np.ndarray = np.asarray(images).reshape(len(images), -1)
    return rows


def prefix_of(finding: Finding) -> str | None:
    """What the columns of a finding's stamped group begin with; None where there is none."""
    for prefix in ("shortcut_any_", "shortcut_"):
        if finding.evidence.get(f"{prefix}stamped") is not None:
            return prefix
    return None
