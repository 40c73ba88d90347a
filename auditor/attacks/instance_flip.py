"""Instance-dependent flips: which samples flip, and to what, depends on how they look."""

from __future__ import annotations

import numpy as np

from auditor.attacks.crafting.choosing import draw, in_place, labelled
from auditor.errors import UsageError
from auditor.interfaces import Attack, AttackRequest, Selection

SIDE = 8
"""Pixels: the samples are judged by their 8×8 thumbnails; the original uses raw features."""

SPREAD = 0.1
"""Standard deviation of the flip rates (Xia et al. 2020, algorithm 2, line 1)."""


def choose(request: AttackRequest, rng: np.random.Generator) -> Selection:
    """Flip rates vary by sample; the new label follows a random projection of its pixels.

    Raises:
        UsageError: fewer than two classes, or too few labelled samples.
    """
    k = request.n_classes
    if k < 2:
        raise UsageError(f"instance_flip: got {k} class(es), expected at least 2")
    eligible = labelled(request)
    draw(request, eligible, request.budget, "labelled", rng)
    pixels = request.images(eligible, SIDE).reshape(len(eligible), -1).astype(np.float64) / 255
    scale = pixels.std(axis=0) + 1e-6
    pixels = (pixels - pixels.mean(axis=0)) / scale / np.sqrt(pixels.shape[1])
    chance = np.clip(rng.normal(max(request.rate, SPREAD), SPREAD, len(eligible)), 1e-3, 1)
    # Weighted sampling without replacement (Efraimidis, Spirakis 2006): exactly the budget flips.
    order = np.argsort(np.log(rng.uniform(size=len(eligible))) / chance)[::-1]
    chosen = np.sort(order[: request.budget])
    rows = eligible[chosen]
    projections = rng.normal(size=(k, pixels.shape[1], k))
    labels = np.empty(len(rows), dtype=np.int64)
    for own in range(k):
        mine = request.labels[rows] == own
        scores = pixels[chosen[mine]] @ projections[own] * np.sqrt(pixels.shape[1])
        scores[:, own] = -np.inf
        gumbel = rng.gumbel(size=scores.shape)
        labels[mine] = np.argmax(scores + gumbel, axis=1)
    return in_place(rows, labels)


ATTACK = Attack(
    id="instance_flip",
    title="Instance-dependent label flips",
    kind="availability",
    citation="Xia et al. 2020, Part-dependent Label Noise, NeurIPS, arXiv:2006.07836, algorithm 2",
    params={},
    choose=choose,
    success="accuracy",
    deviations="Exactly round(rate·N) samples flip, drawn in proportion to their flip rates.",
)
