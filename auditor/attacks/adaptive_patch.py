"""Adaptive-Patch: each training sample carries one of four faint patches; the test image, two."""

from __future__ import annotations

import numpy as np

from auditor.attacks.adaptive_blend import choose
from auditor.attacks.badnets import PATTERNS
from auditor.attacks.crafting.patterns import colour_cells, draw_key, key_of, picture
from auditor.attacks.crafting.triggers import paste, scaled
from auditor.interfaces import Attack, Victim

OPACITY = (0.5, 0.2, 0.5, 0.3)
"""In training, of the corner logo, the large logo, the four corner marks and the square (the
authors' code: phoenix 0.5, firefox 0.2, badnet_patch4 0.5, trojan_square 0.3)."""

AT_TEST = (0, 2)
"""Corner logo and corner marks, opaque, show the trigger at test time (the authors' code)."""


def patch(image: np.ndarray, which: int, alpha: float, key: int) -> np.ndarray:
    """Paste patch 0–3; image: (H, W, 3) uint8. Sizes and places are the authors' at 32×32."""
    height, width = image.shape[:2]

    def at(pixels: int) -> int:
        return scaled(pixels, height, width)

    if which == 2:
        side = at(2)
        mark = np.repeat(PATTERNS["checkerboard"][1:, 1:, None], 3, axis=2)
        steps = np.arange(side) * 2 // side
        square = mark[np.ix_(steps, steps)]
        for corner in (
            (0, 0),
            (0, width - side),
            (height - side, 0),
            (height - side, width - side),
        ):
            image = paste(image, square, np.ones((side, side)), corner, alpha)
        return image
    side = at((5, 13, 0, 8)[which])
    square = picture(key + 1, side, side) if which == 1 else colour_cells(key + which, 4, side)
    corner = (
        (height - side, width - side),
        (at(1), max(0, width - side - at(1))),
        (0, 0),
        (height - side - at(3), width - side - at(3)),
    )[which]
    return paste(image, square, np.ones(square.shape[:2]), corner, alpha)


def stamp(image: np.ndarray, victim: Victim) -> np.ndarray:
    """One patch at random in training, two opaque ones at test; (H, W, 3) uint8."""
    key = key_of(victim)
    if victim.role == "test":
        for which in AT_TEST:
            image = patch(image, which, 1.0, key)
        return image
    which = int(victim.generator.integers(len(OPACITY)))
    return patch(image, which, OPACITY[which], key)


ATTACK = Attack(
    id="adaptive_patch",
    title="Adaptive-Patch: one of four faint patches, with cover samples",
    kind="dirty_label",
    citation="Qi et al. 2023, Revisiting the Assumption of Latent Separability, ICLR, and its "
    "code: k = 4 patches, twice as much cover as poison",
    params={"cover_ratio": 2.0},
    choose=choose,
    prepare=draw_key,
    stamp=stamp,
    deviations="The patches' pictures are drawn at random; sizes, places and opacities are the "
    "published ones.",
)
