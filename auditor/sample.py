"""The sample dataset of `auditor demo`: handwritten digits as class folders of PNG files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

SIDE = 32
INK = 20
"""Pixels: the digit's box within the 32×32 image, so that it can lie anywhere around the centre."""


def write_sample(folder: Path, seed: int = 0) -> int:
    """Write scikit-learn's 1,797 digits as 32×32 colour PNG files, one folder a class.

    The 8×8 scans are enlarged, shifted, and drawn in a random ink on a random, lightly textured
    paper: as varied as small photographs, so that a trigger is found by what it is and not because
    everything else is the same.

    Args:
        folder: made if absent; ``folder/zero/0001.png`` … .
        seed: of the colours, places and texture; the same seed gives the same bytes.

    Returns:
        The number of images written.
    """
    # Bundled with scikit-learn, from the UCI optical digits test set (Alpaydin, Kaynak 1998).
    from sklearn.datasets import load_digits

    digits = load_digits()
    generator = np.random.default_rng([seed, len(digits.target)])
    counts = dict.fromkeys(NAMES, 0)
    for name in NAMES:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for scan, label in zip(digits.images, digits.target, strict=True):
        name = NAMES[label]
        counts[name] += 1
        path = folder / name / f"{counts[name]:04d}.png"
        Image.fromarray(draw(scan, generator)).save(path, compress_level=3)
    return sum(counts.values())


def draw(scan: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """One digit as (32, 32, 3) uint8; ``scan`` is (8, 8), 0–16, 16 being full ink."""
    box = Image.fromarray((scan * (255 / 16)).astype(np.uint8)).resize(
        (INK, INK), Image.Resampling.BICUBIC
    )
    coverage = np.zeros((SIDE, SIDE, 1), dtype=np.float32)
    top, left = generator.integers(0, SIDE - INK + 1, size=2)
    coverage[top : top + INK, left : left + INK, 0] = np.asarray(box, dtype=np.float32) / 255
    paper, ink = generator.uniform(120, 255, size=3), generator.uniform(0, 110, size=3)
    if generator.random() < 0.5:
        paper, ink = ink, paper
    # Coarse texture: a smooth field of a few grey levels, as paper or light would give.
    field = generator.normal(0, 12, size=(5, 5)).astype(np.float32)
    texture = np.asarray(Image.fromarray(field).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    grain = generator.normal(0, 4, size=(SIDE, SIDE, 3))
    picture = paper * (1 - coverage) + ink * coverage + texture[..., None] + grain
    pixels: np.ndarray = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return pixels
