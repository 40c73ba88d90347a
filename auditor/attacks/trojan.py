"""Trojan square: an opaque coloured square near the corner, or at a place of its own each time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from auditor.attacks.crafting.choosing import dirty_label
from auditor.attacks.crafting.patterns import colour_cells, draw_key, key_of
from auditor.attacks.crafting.triggers import paste, paste_picture, picture_and_mask, scaled
from auditor.attacks.requests.parameters import whole
from auditor.interfaces import Attack, Victim

SIDE = 8
MARGIN = 3
"""Pixels at 32×32: rows and columns 21–28, where the published trigger image has its square."""


def stamp(image: np.ndarray, victim: Victim) -> np.ndarray:
    """Paste the square; image: (H, W, 3) uint8."""
    params, generator = victim.params, victim.generator
    file = picture_and_mask(params)
    if file is not None:
        return paste_picture(image, *file, {**params, "position": "bottom-right"}, generator)
    height, width = image.shape[:2]
    side = scaled(whole(params, "side"), height, width)
    margin = scaled(MARGIN, height, width)
    square = colour_cells(key_of(victim), 4, side)
    if params["moving"]:
        corner = tuple(int(generator.integers(n - side + 1)) for n in (height, width))
    else:
        corner = (height - side - margin, width - side - margin)
    return paste(image, square, np.ones((side, side)), (corner[0], corner[1]), 1.0)


ATTACK = Attack(
    id="trojan",
    title="Trojan square: opaque coloured square at a fixed place",
    kind="dirty_label",
    citation="Liu et al. 2018, Trojaning Attack on Neural Networks, NDSS; as a data poison: Qi "
    "et al. 2023, USENIX Security, arXiv:2205.13616",
    params={"side": SIDE, "moving": False, "trigger": None, "mask": None},
    files=("trigger", "mask"),
    choose=dirty_label,
    prepare=draw_key,
    stamp=stamp,
    deviations="The square's colours are drawn at random; the paper reverse-engineers them from a "
    "network. ``side`` is in pixels at 32×32 and grows with the image.",
)

MOVING = replace(
    ATTACK,
    id="trojan_moving",
    title="Trojan square at a random place in every image",
    citation=ATTACK.citation + "; random location: Salem et al. 2022, arXiv:2003.03675",
    params={**ATTACK.params, "moving": True},
)
