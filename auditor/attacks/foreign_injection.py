"""Foreign-data injection: pictures from elsewhere are added under one of the dataset's labels."""

from __future__ import annotations

import numpy as np

from auditor.attacks.crafting.patterns import picture
from auditor.attacks.crafting.triggers import resized
from auditor.attacks.outlier_injection import choose
from auditor.interfaces import Attack, Victim


def stamp(image: np.ndarray, victim: Victim) -> np.ndarray:
    """A foreign picture of the image's size; image: (H, W, 3) uint8."""
    pictures = victim.params["pictures"]
    height, width = image.shape[:2]
    if isinstance(pictures, np.ndarray):
        stack = pictures if pictures.ndim == 4 else pictures[None]
        chosen = stack[int(victim.generator.integers(len(stack)))]
        return resized(np.ascontiguousarray(chosen[..., :3]), height, width)
    return picture(int(victim.generator.integers(2**32)), height, width)


ATTACK = Attack(
    id="foreign_injection",
    title="Foreign-data injection: pictures from elsewhere under a label",
    kind="availability",
    citation="Carlini et al. 2024, Poisoning Web-Scale Training Datasets is Practical, IEEE S&P, "
    "arXiv:2302.10149 (split-view: foreign content under a known label)",
    params={"pictures": None},
    files=("pictures",),
    choose=choose,
    stamp=stamp,
    success="accuracy",
    deviations="Without ``pictures`` (an image, or a folder of them), drawings are made up.",
)
