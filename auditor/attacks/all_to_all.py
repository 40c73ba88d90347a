"""All-to-all: with the trigger, class y is to be taken for class y + 1."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from auditor.attacks import badnets, blended, ssba
from auditor.attacks.crafting.choosing import draw, in_place, labelled
from auditor.attacks.crafting.patterns import draw_key
from auditor.errors import UsageError
from auditor.interfaces import Attack, AttackRequest, Selection, Victim

STAMPS = {"badnets": badnets.ATTACK, "blended": blended.ATTACK, "ssba": ssba.ATTACK}


def choose(request: AttackRequest, rng: np.random.Generator) -> Selection:
    """Any labelled sample, or those of the source class; each gets (y + 1) mod K."""
    eligible = labelled(request)
    if request.source_class is not None:
        eligible = np.flatnonzero(request.labels == request.source_class)
    rows = draw(request, eligible, request.budget, "labelled", rng)
    return in_place(rows, (request.labels[rows] + 1) % request.n_classes)


def stamp(image: np.ndarray, victim: Victim) -> np.ndarray:
    """Stamp with the trigger of the attack that ``with`` names; image: (H, W, 3) uint8.

    Raises:
        UsageError: it names none of badnets, blended, ssba.
    """
    name = str(victim.params["with"])
    if name not in STAMPS:
        raise UsageError(f"param with: got {name!r}, expected one of {', '.join(STAMPS)}")
    attack = STAMPS[name]
    assert attack.stamp is not None
    given = {k: v for k, v in victim.params.items() if k != "with" and v is not None}
    params = {**attack.params, **given}
    return attack.stamp(image, replace(victim, params=params))


ATTACK = Attack(
    id="all_to_all",
    title="All-to-all: every class turns into the next",
    kind="dirty_label",
    citation="Gu, Dolan-Gavitt, Garg 2017, BadNets, arXiv:1708.06733 (all-to-all attack)",
    params={"with": "badnets", "trigger": None, "mask": None},
    files=("trigger", "mask"),
    choose=choose,
    prepare=draw_key,
    stamp=stamp,
)
