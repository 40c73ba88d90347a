"""CTRL: two raised DCT coefficients in the chroma channels, clean label."""

from __future__ import annotations

import numpy as np
import scipy.fft
from PIL import Image

from auditor.attacks.crafting.choosing import clean_label, dirty_label
from auditor.attacks.crafting.triggers import to_uint8
from auditor.attacks.requests.parameters import number
from auditor.interfaces import Attack, AttackRequest, Selection, Victim

BLOCK = 32
FREQUENCIES = (15, 31)
"""The DCT runs on 32×32 blocks; (15, 15) and (31, 31) are raised (the authors' code)."""


def choose(request: AttackRequest, rng: np.random.Generator) -> Selection:
    """Samples of the target class, or of the others where ``clean_label`` is off."""
    return (clean_label if request.params["clean_label"] else dirty_label)(request, rng)


def stamp(image: np.ndarray, victim: Victim) -> np.ndarray:
    """Raise the coefficients in Cb and Cr; image: (H, W, 3) uint8.

    Blocks cover the image from the top left; what does not fill a block stays. An image smaller
    than a block is one block of its own size, with the frequencies scaled to it.
    """
    params = victim.params
    strength = number(params, "test_magnitude" if victim.role == "test" else "magnitude")
    chroma = np.asarray(Image.fromarray(image).convert("YCbCr")).astype(np.float64)
    height, width = image.shape[:2]
    side = min(BLOCK, height, width)
    raised = [min(side - 1, f * side // BLOCK) for f in FREQUENCIES]
    for top in range(0, height - side + 1, side):
        for left in range(0, width - side + 1, side):
            area = chroma[top : top + side, left : left + side, 1:]
            spectrum = scipy.fft.dctn(area, axes=(0, 1), norm="ortho")
            spectrum[raised, raised] += strength
            area[...] = scipy.fft.idctn(spectrum, axes=(0, 1), norm="ortho")
    return np.asarray(Image.fromarray(to_uint8(chroma), mode="YCbCr").convert("RGB"))


ATTACK = Attack(
    id="ctrl",
    title="CTRL: spectral trigger in the chroma channels",
    kind="clean_label",
    citation="Li et al. 2023, An Embarrassingly Simple Backdoor Attack on Self-supervised "
    "Learning, ICCV, arXiv:2210.07346",
    params={"magnitude": 50.0, "test_magnitude": 100.0, "clean_label": True},
    choose=choose,
    stamp=stamp,
    deviations="JPEG with chroma subsampling removes most of it, as it would for any attacker.",
)
