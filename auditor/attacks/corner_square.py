"""The classic white square: 5×5 pixels in the corner, usually at a rate of 10 %."""

from __future__ import annotations

from dataclasses import replace

from auditor.attacks.badnets import ATTACK as BADNETS
from auditor.interfaces import Attack

ATTACK: Attack = replace(
    BADNETS,
    id="corner_square",
    title="White 5×5 square in the corner",
    citation="Gu, Dolan-Gavitt, Garg 2017, BadNets, arXiv:1708.06733; 5×5 white square at 10 % as "
    "in Chen et al. 2018, Activation Clustering, arXiv:1811.03728, §5",
    params={**BADNETS.params, "pattern": "white", "pixels": 5},
)
