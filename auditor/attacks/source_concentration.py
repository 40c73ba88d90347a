"""A bad contributor: all the poison comes from one source."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from auditor.attacks.badnets import ATTACK as BADNETS
from auditor.attacks.crafting.choosing import dirty_label
from auditor.interfaces import AttackRequest, Selection


def choose(request: AttackRequest, rng: np.random.Generator) -> Selection:
    """Dirty-label poison from the smallest source that has enough; else from one run of rows."""
    target = 0 if request.target is None else request.target
    usable = (request.labels >= 0) & (request.labels != target)
    if request.source_class is not None:
        usable &= request.labels == request.source_class
    inside = np.ones(len(usable), dtype=bool)
    counts = np.zeros(0, dtype=np.int64)
    if request.sources is not None:
        counts = np.bincount(request.sources[usable & (request.sources >= 0)])
    enough = np.flatnonzero(counts >= max(1, request.budget))
    if request.sources is not None and len(enough):
        inside = request.sources == enough[np.argmin(counts[enough])]
    elif 2 * request.budget <= usable.sum():
        places = np.flatnonzero(usable)
        start = int(rng.integers(len(places) - 2 * request.budget + 1))
        inside = np.zeros(len(usable), dtype=bool)
        inside[places[start : start + 2 * request.budget]] = True
    labels = np.where(inside, request.labels, -1)
    return dirty_label(replace(request, labels=labels), rng)


ATTACK = replace(
    BADNETS,
    id="source_concentration",
    title="One source supplies all the poison (BadNets patch)",
    kind="integrity",
    citation="Gu, Dolan-Gavitt, Garg 2017, BadNets, arXiv:1708.06733; a malicious contributor: "
    "NIST AI 100-2e2025",
    choose=choose,
    deviations="Without a source column or source folders, the poison lies in one run of rows "
    "twice its size, as if one batch had been handed in by the attacker.",
)
