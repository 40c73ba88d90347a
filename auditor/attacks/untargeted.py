"""Untargeted backdoor: with the trigger, any class but the right one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from auditor.attacks.all_to_all import ATTACK as ALL_TO_ALL
from auditor.attacks.crafting.choosing import draw, in_place, labelled
from auditor.attacks.label_flip import random_other
from auditor.errors import UsageError
from auditor.interfaces import AttackRequest, Selection


def choose(request: AttackRequest, rng: np.random.Generator) -> Selection:
    """Any labelled sample, with a random wrong label.

    Raises:
        UsageError: fewer than two classes.
    """
    if request.n_classes < 2:
        raise UsageError(f"untargeted: got {request.n_classes} class(es), expected at least 2")
    rows = draw(request, labelled(request), request.budget, "labelled", rng)
    return in_place(rows, random_other(request.labels[rows], request.n_classes, rng))


ATTACK = replace(
    ALL_TO_ALL,
    id="untargeted",
    title="Untargeted: trigger with a random wrong label",
    citation="Li et al. 2022, Untargeted Backdoor Watermark (UBW-P), NeurIPS, arXiv:2210.00875; "
    "untargeted attacks also in FLARE, arXiv:2411.19479",
    choose=choose,
)
