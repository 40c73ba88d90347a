"""Low-frequency trigger: a smooth additive field that leaves no high-frequency trace."""

from __future__ import annotations

import numpy as np

from auditor.attacks.crafting.choosing import dirty_label
from auditor.attacks.crafting.patterns import draw_key, key_of, smooth_field
from auditor.attacks.crafting.triggers import to_uint8
from auditor.attacks.requests.parameters import number, whole
from auditor.interfaces import Attack, Victim


def stamp(image: np.ndarray, victim: Victim) -> np.ndarray:
    """Add the field; image: (H, W, 3) uint8."""
    params = victim.params
    field = smooth_field(key_of(victim), *image.shape[:2], whole(params, "cells"))
    return to_uint8(image + number(params, "amplitude") * field)


ATTACK = Attack(
    id="low_frequency",
    title="Low-frequency: smooth universal perturbation (LF)",
    kind="dirty_label",
    citation="Zeng et al. 2021, Rethinking the Backdoor Attacks' Triggers: A Frequency "
    "Perspective, ICCV, arXiv:2104.03413 (smooth trigger)",
    params={"amplitude": 25.0, "cells": 6},
    choose=dirty_label,
    prepare=draw_key,
    stamp=stamp,
    deviations="The smooth field is drawn at random (normal noise on a 6×6 grid, interpolated) "
    "instead of optimised against a surrogate; ``amplitude`` is its largest value on 0–255.",
)
