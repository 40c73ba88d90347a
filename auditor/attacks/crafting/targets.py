"""Attacks on one chosen image: which class it is from, which samples are bent towards it."""

from __future__ import annotations

import numpy as np

from auditor.attacks.crafting.choosing import target_class
from auditor.attacks.crafting.triggers import CANONICAL_SIDE, resized
from auditor.errors import UsageError
from auditor.interfaces import AttackRequest


def source_class(request: AttackRequest) -> int:
    """The class of the image under attack: the one asked for, or the first but the target.

    Raises:
        UsageError: fewer than two classes.
    """
    if request.source_class is not None:
        return request.source_class
    others = [k for k in range(request.n_classes) if k != target_class(request)]
    if not others:
        raise UsageError(f"got {request.n_classes} class(es), expected at least 2 for this attack")
    return others[0]


def target_image(request: AttackRequest, rng: np.random.Generator) -> np.ndarray:
    """(32, 32, 3) uint8: the file's image, or one of the source class drawn from the dataset."""
    given = request.params.get("image")
    if isinstance(given, np.ndarray):
        return resized(np.ascontiguousarray(given[..., :3]), CANONICAL_SIDE, CANONICAL_SIDE)
    rows = np.flatnonzero(request.labels == source_class(request))
    if not len(rows):
        raise UsageError(
            "--source-class: has no sample to attack; expected at least one, or --param image=FILE"
        )
    chosen: np.ndarray = request.images(rng.choice(rows, size=1), CANONICAL_SIDE)[0]
    return chosen
