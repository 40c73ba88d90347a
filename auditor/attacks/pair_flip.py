"""Pair flips: a share of the samples of class y is labelled y + 1."""

from __future__ import annotations

import numpy as np

from auditor.attacks.crafting.choosing import draw, in_place, labelled
from auditor.errors import UsageError
from auditor.interfaces import Attack, AttackRequest, Selection


def choose(request: AttackRequest, rng: np.random.Generator) -> Selection:
    """Any labelled sample, or those of the source class; each gets (y + 1) mod K.

    Raises:
        UsageError: fewer than two classes.
    """
    if request.n_classes < 2:
        raise UsageError(f"pair_flip: got {request.n_classes} class(es), expected at least 2")
    eligible = labelled(request)
    if request.source_class is not None:
        eligible = np.flatnonzero(request.labels == request.source_class)
    rows = draw(request, eligible, request.budget, "of a class to be flipped", rng)
    return in_place(rows, (request.labels[rows] + 1) % request.n_classes)


ATTACK = Attack(
    id="pair_flip",
    title="Label flips to the next class",
    kind="availability",
    citation="Han et al. 2018, Co-teaching, NeurIPS, arXiv:1804.06872 (pair flip)",
    params={},
    choose=choose,
    success="accuracy",
)
