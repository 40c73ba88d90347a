"""Label flips: samples keep their pixels and get a wrong label, random or of one class."""

from __future__ import annotations

import numpy as np

from auditor.attacks.crafting.choosing import draw, in_place
from auditor.errors import UsageError
from auditor.interfaces import Attack, AttackRequest, Selection


def choose(request: AttackRequest, rng: np.random.Generator) -> Selection:
    """Flip to the target class if there is one, else to any other class with equal chance.

    Raises:
        UsageError: fewer than two classes, or too few samples that could be flipped.
    """
    labels, target = request.labels, request.target
    if request.n_classes < 2:
        raise UsageError(
            f"label_flip: got {request.n_classes} class(es), expected at least 2 to flip between; "
            "use a labelled dataset"
        )
    allowed = labels >= 0
    if request.source_class is not None:
        allowed &= labels == request.source_class
    if target is not None:
        allowed &= labels != target
    rows = draw(request, np.flatnonzero(allowed), request.budget, "of a class to be flipped", rng)
    if target is not None:
        return in_place(rows, np.full(len(rows), target))
    return in_place(rows, random_other(labels[rows], request.n_classes, rng))


def random_other(labels: np.ndarray, n_classes: int, rng: np.random.Generator) -> np.ndarray:
    """(M,) labels, each replaced by one of the other K−1 classes with equal chance."""
    steps = rng.integers(1, n_classes, size=len(labels))
    return (labels + steps) % n_classes


ATTACK = Attack(
    id="label_flip",
    title="Label flips: random (symmetric), or to a target class",
    kind="availability",
    citation="Natarajan et al. 2013, Learning with Noisy Labels, NeurIPS (random flips); Tolpegin "
    "et al. 2020, ESORICS, arXiv:2007.08432 (targeted source→target flips)",
    params={},
    choose=choose,
    success="accuracy",
)
