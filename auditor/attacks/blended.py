"""Blended injection: a faint picture or noise over the whole image, and the target's label."""

from __future__ import annotations

import numpy as np

from auditor.attacks.crafting.choosing import dirty_label
from auditor.attacks.crafting.patterns import draw_key, key_of, noise, picture
from auditor.attacks.crafting.triggers import blend
from auditor.attacks.requests.parameters import number
from auditor.errors import UsageError
from auditor.interfaces import Attack, Victim

PATTERNS = {"noise": noise, "picture": picture}


def whole_image_trigger(image: np.ndarray, victim: Victim) -> np.ndarray:
    """The trigger picture for an image: the file's, or one drawn from the key; (h, w, 3) uint8.

    Raises:
        UsageError: no pattern has that name.
    """
    trigger = victim.params["trigger"]
    if isinstance(trigger, np.ndarray):
        return trigger[..., :3]
    name = str(victim.params["pattern"])
    if name not in PATTERNS:
        raise UsageError(
            f"param pattern: got {name!r}, expected one of {', '.join(PATTERNS)}; "
            "use --param pattern=NAME or --param trigger=FILE"
        )
    return PATTERNS[name](key_of(victim), *image.shape[:2])


def stamp(image: np.ndarray, victim: Victim) -> np.ndarray:
    """(1 − α)·image + α·trigger; image: (H, W, 3) uint8."""
    alpha = number(victim.params, "alpha")
    return blend(image, whole_image_trigger(image, victim), alpha)


ATTACK = Attack(
    id="blended",
    title="Blended injection: faint noise or picture over the whole image",
    kind="dirty_label",
    citation="Chen et al. 2017, Targeted Backdoor Attacks on Deep Learning Systems Using Data "
    "Poisoning, arXiv:1712.05526 (Blended Injection, α = 0.2)",
    params={"alpha": 0.2, "pattern": "noise", "trigger": None},
    files=("trigger",),
    choose=dirty_label,
    prepare=draw_key,
    stamp=stamp,
    deviations="The picture, where no file is given, is drawn at random instead of Hello Kitty.",
)
