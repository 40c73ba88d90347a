"""The attacks: one a module, each a frozen record of pure functions."""

from auditor.attacks import (
    adaptive_blend,
    adaptive_patch,
    all_to_all,
    badnets,
    blended,
    bpp,
    corner_square,
    ctrl,
    label_flip,
    low_frequency,
    multi_trigger,
    sig,
    ssba,
    tact,
    trojan,
    untargeted,
    wanet,
)
from auditor.interfaces import Attack

ATTACKS: tuple[Attack, ...] = (
    badnets.ATTACK,
    corner_square.ATTACK,
    blended.ATTACK,
    trojan.ATTACK,
    trojan.MOVING,
    low_frequency.ATTACK,
    bpp.ATTACK,
    ssba.ATTACK,
    wanet.ATTACK,
    tact.ATTACK,
    adaptive_blend.ATTACK,
    adaptive_patch.ATTACK,
    all_to_all.ATTACK,
    untargeted.ATTACK,
    multi_trigger.ATTACK,
    ctrl.ATTACK,
    sig.ATTACK,
    label_flip.ATTACK,
)
"""Every attack that `auditor poison` and `auditor bench` know, in the order they are listed."""
