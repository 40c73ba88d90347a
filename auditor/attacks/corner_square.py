"""The classic white square: 5×5 pixels in the corner, usually at a rate of 10 %."""

from __future__ import annotations

from dataclasses import replace

from auditor.attacks.badnets import ATTACK as BADNETS
from auditor.interfaces import Attack

ATTACK: Attack = replace(
    BADNETS,
    id="corner_square",
    title="White 5×5 square in the corner",
    citation="Gu, Dolan-Gavitt, Garg 2017, BadNets, arXiv:1708.06733; the white 5×5 square is a "
    "common variant, not the paper's own",
    params={**BADNETS.params, "pattern": "white", "pixels": 5},
)
