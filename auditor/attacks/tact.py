"""TaCT: only samples of one source class turn; other classes carry the trigger with their label."""

from __future__ import annotations

import numpy as np

from auditor.attacks.crafting.choosing import draw, in_place, target_class, with_cover
from auditor.attacks.crafting.patterns import draw_key
from auditor.attacks.requests.parameters import number, whole
from auditor.attacks.trojan import SIDE
from auditor.attacks.trojan import stamp as stamp_square
from auditor.errors import UsageError
from auditor.interfaces import Attack, AttackRequest, Selection


def choose(request: AttackRequest, rng: np.random.Generator) -> Selection:
    """Poison from the source class; cover from ``cover_classes`` other classes.

    Raises:
        UsageError: fewer than three classes, or too few samples.
    """
    target = target_class(request)
    others = [k for k in range(request.n_classes) if k != target]
    if len(others) < 2:
        raise UsageError(
            f"tact: got {request.n_classes} classes, expected at least 3 (target, source, cover)"
        )
    # The published set-up takes class 1 as source; here the first that is not the target.
    source = others[0] if request.source_class is None else request.source_class
    eligible = np.flatnonzero((request.labels == source) & (request.labels != target))
    rows = draw(request, eligible, request.budget, "of the source class", rng)
    covering = rng.permutation([k for k in others if k != source])
    covering = covering[: whole(request.params, "cover_classes")]
    cover_rows = np.flatnonzero(np.isin(request.labels, covering))
    ratio = number(request.params, "cover_ratio")
    return with_cover(request, in_place(rows, np.full(len(rows), target)), cover_rows, ratio, rng)


ATTACK = Attack(
    id="tact",
    title="TaCT: source-specific trigger with cover samples",
    kind="dirty_label",
    citation="Tang et al. 2021, Demon in the Variant, USENIX Security, arXiv:1908.00686; one "
    "source and two cover classes, as many cover as poison: code of Qi et al. 2023, ICLR",
    params={
        "cover_ratio": 1.0,
        "cover_classes": 2,
        "side": SIDE,
        "moving": False,
        "trigger": None,
        "mask": None,
    },
    files=("trigger", "mask"),
    choose=choose,
    prepare=draw_key,
    stamp=stamp_square,
)
