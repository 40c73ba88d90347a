"""BadNets: a small opaque pattern in the corner, and the target's label."""

from __future__ import annotations

import numpy as np

from auditor.attacks.crafting.choosing import dirty_label
from auditor.attacks.crafting.triggers import (
    corner_of,
    paste,
    paste_picture,
    picture_and_mask,
    scaled,
)
from auditor.attacks.requests.parameters import number, whole
from auditor.errors import UsageError
from auditor.interfaces import Attack, Victim

PATTERNS = {
    "checkerboard": np.array([[0, 0, 1], [0, 1, 0], [1, 0, 1]], dtype=np.uint8) * 255,
    "white": np.full((3, 3), 255, dtype=np.uint8),
    "black": np.zeros((3, 3), dtype=np.uint8),
}
"""The checkerboard is the 3×3 pattern of Gu et al. 2017, figure 3, as published re-implementations
have it; it is scaled by repetition."""

PATCH_PIXELS = 3
"""Side of the patch on a 32×32 image; so 21 at 224 (the two sizes of the published triggers)."""


def stamp(image: np.ndarray, victim: Victim) -> np.ndarray:
    """Paste the pattern, or the trigger file, at its position.

    Args:
        image: (H, W, 3) uint8.
        victim: its ``params``: pattern, position, pixels (the side at 32×32), side (in this image),
            alpha, trigger, mask.

    Raises:
        UsageError: no pattern or position has that name.
    """
    params = victim.params
    file = picture_and_mask(params)
    if file is not None:
        return paste_picture(image, *file, params, victim.generator)
    name = str(params["pattern"])
    if name not in PATTERNS:
        raise UsageError(
            f"param pattern: got {name!r}, expected one of {', '.join(PATTERNS)}; "
            "use --param pattern=NAME or --param trigger=FILE"
        )
    height, width = image.shape[:2]
    pixels = whole(params, "pixels")
    side = min(int(str(params["side"] or scaled(pixels, height, width))), height, width)
    steps = np.arange(side) * 3 // side
    patch = np.repeat(PATTERNS[name][np.ix_(steps, steps)][..., None], 3, axis=2)
    corner = corner_of(str(params["position"]), (side, side), (height, width), victim.generator)
    return paste(image, patch, np.ones((side, side)), corner, number(params, "alpha"))


ATTACK = Attack(
    id="badnets",
    title="BadNets: opaque pattern in a corner",
    kind="dirty_label",
    citation="Gu, Dolan-Gavitt, Garg 2017, BadNets, arXiv:1708.06733 (pattern backdoor)",
    params={
        "pattern": "checkerboard",
        "position": "bottom-right",
        "pixels": PATCH_PIXELS,
        "side": None,
        "alpha": 1.0,
        "trigger": None,
        "mask": None,
    },
    files=("trigger", "mask"),
    choose=dirty_label,
    stamp=stamp,
    deviations="Only samples outside the target class are poisoned; the patch lies in the very "
    "corner and grows with the image (3/32 of the short side).",
)
