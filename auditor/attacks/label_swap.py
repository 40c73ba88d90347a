"""Swapped labels: samples exchange labels, so that every class keeps its count."""

from __future__ import annotations

import numpy as np

from auditor.attacks.crafting.choosing import draw, in_place, labelled
from auditor.errors import UsageError
from auditor.interfaces import Attack, AttackRequest, Selection


def choose(request: AttackRequest, rng: np.random.Generator) -> Selection:
    """Exactly the budget of samples get another chosen sample's label; class counts stay.

    Raises:
        UsageError: no such exchange exists (one sample, one class, an odd number of two classes).
    """
    budget, labels = request.budget, request.labels
    if budget == 0:
        return in_place(np.empty(0, np.int64), np.empty(0, np.int64))
    order = draw(request, labelled(request), len(labelled(request)), "labelled", rng)
    # At most half of the chosen may be of one class, or one of them would keep its label.
    rank = np.empty(len(order), dtype=np.int64)
    for k in range(request.n_classes):
        mine = labels[order] == k
        rank[mine] = np.arange(mine.sum())
    rows = order[rank < budget // 2][:budget]
    if len(rows) < budget:
        raise UsageError(
            f"rate {request.rate:g}: {budget} samples can not exchange labels between "
            f"{request.n_classes} classes; expected an even number of at least 2, from two classes "
            "or more; choose another --rate"
        )
    rows = rows[np.argsort(labels[rows], kind="stable")]
    return in_place(rows, np.roll(labels[rows], int(np.bincount(labels[rows]).max())))


ATTACK = Attack(
    id="label_swap",
    title="Swapped labels between samples",
    kind="integrity",
    citation="Biggio, Nelson, Laskov 2011, Support Vector Machines Under Adversarial Label Noise, "
    "ACML; as poisoning: NIST AI 100-2e2025",
    params={},
    choose=choose,
    success="accuracy",
)
