"""Several triggers at once: patch, blend and square, each on a third of the poison."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from auditor.attacks import badnets, blended, trojan
from auditor.attacks.crafting.choosing import dirty_label
from auditor.attacks.crafting.patterns import draw_key
from auditor.interfaces import Attack, Victim

PARTS = (badnets.ATTACK, blended.ATTACK, trojan.ATTACK)


def stamp(image: np.ndarray, victim: Victim) -> np.ndarray:
    """Stamp with one of the triggers, drawn for the sample; image: (H, W, 3) uint8."""
    part = PARTS[int(victim.generator.integers(len(PARTS)))]
    assert part.stamp is not None
    return part.stamp(image, replace(victim, params=part.params))


ATTACK = Attack(
    id="multi_trigger",
    title="Several triggers at once for one target",
    kind="dirty_label",
    citation="Li et al. 2024, Multi-Trigger Backdoor Attacks, arXiv:2401.15295 (parallel attack)",
    params={},
    choose=dirty_label,
    prepare=draw_key,
    stamp=stamp,
    deviations="One target class for all triggers; the triggers are badnets, blended and trojan.",
)
