"""Replaced content: a sample's image is overwritten with that of a sample of another class."""

from __future__ import annotations

import numpy as np

from auditor.attacks.crafting.choosing import draw, in_place, labelled
from auditor.errors import UsageError
from auditor.interfaces import Attack, AttackRequest, Selection


def choose(request: AttackRequest, rng: np.random.Generator) -> Selection:
    """Any labelled sample (of the source class, if named); each gets another class's image.

    Raises:
        UsageError: fewer than two classes have samples.
    """
    labels, eligible = request.labels, labelled(request)
    if request.source_class is not None:
        eligible = np.flatnonzero(labels == request.source_class)
    rows = draw(request, eligible, request.budget, "labelled", rng)
    donors = np.empty(len(rows), dtype=np.int64)
    for k in np.unique(labels[rows]):
        others = np.flatnonzero((labels >= 0) & (labels != k))
        if not len(others):
            raise UsageError(f"replaced_bytes: got {request.n_classes} class(es), expected two")
        mine = labels[rows] == k
        donors[mine] = rng.choice(others, size=int(mine.sum()))
    return in_place(rows, labels[rows], donors=donors)


ATTACK = Attack(
    id="replaced_bytes",
    title="Replaced content: another class's image under the same name and label",
    kind="integrity",
    citation="Carlini et al. 2024, Poisoning Web-Scale Training Datasets is Practical, IEEE S&P, "
    "arXiv:2302.10149 (split-view poisoning)",
    params={},
    choose=choose,
    success="accuracy",
)
