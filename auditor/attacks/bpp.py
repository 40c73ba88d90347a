"""BppAttack: colours squeezed to few levels with dithering, which the eye hardly sees."""

from __future__ import annotations

import numpy as np
from PIL import Image

from auditor.attacks.crafting.choosing import dirty_label
from auditor.attacks.requests.parameters import whole
from auditor.interfaces import Attack, Victim


def stamp(image: np.ndarray, victim: Victim) -> np.ndarray:
    """Quantise each channel to ``levels`` with Floyd–Steinberg dithering; (H, W, 3) uint8."""
    levels = whole(victim.params, "levels")
    greys = np.rint(np.linspace(0, 255, levels)).astype(np.uint8)
    palette = Image.new("P", (1, 1))
    filled = np.repeat(np.resize(np.concatenate([greys, greys[-1:]]), 256), 3)
    filled[3 * levels :] = greys[-1]
    palette.putpalette(filled.tobytes())
    squeezed = [
        Image.fromarray(image[..., c])
        .convert("RGB")
        .quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
        .convert("L")
        for c in range(3)
    ]
    return np.stack([np.asarray(channel) for channel in squeezed], axis=2)


ATTACK = Attack(
    id="bpp",
    title="BppAttack: colour quantisation with dithering",
    kind="dirty_label",
    citation="Wang, Zhai, Ma 2022, BppAttack, CVPR, arXiv:2205.13383 (8 levels a channel, as in "
    "the authors' code)",
    params={"levels": 8},
    choose=dirty_label,
    stamp=stamp,
    deviations="Data poisoning only: no contrastive adversarial training, which needs control of "
    "the victim's training.",
)
