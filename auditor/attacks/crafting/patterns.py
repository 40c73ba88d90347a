"""Pictures drawn from a key: an attack's shared pattern, the same at every image of one poisoning.

Patterns are made at the size of the image they go on; those of a scale (smooth fields, pictures)
keep it relative to the image.
"""

from __future__ import annotations

import functools

import numpy as np
from PIL import Image

from auditor.interfaces import AttackMaterial, AttackRequest, Selection, Victim


def draw_key(
    request: AttackRequest, selection: Selection, rng: np.random.Generator
) -> AttackMaterial:
    """Material that is one random key, from which stamps draw their pattern."""
    return AttackMaterial({"key": rng.integers(2**32, size=1)})


def key_of(victim: Victim) -> int:
    """The key of this poisoning."""
    return int(victim.shared["key"][0])


@functools.lru_cache(maxsize=64)
def noise(key: int, height: int, width: int) -> np.ndarray:
    """(H, W, 3) uint8, uniform on 0–255, independent pixels."""
    generator = np.random.default_rng([key, height, width])
    return generator.integers(0, 256, size=(height, width, 3), dtype=np.uint8)


@functools.lru_cache(maxsize=64)
def smooth_field(key: int, height: int, width: int, cells: int) -> np.ndarray:
    """(H, W, 3) float32 with largest magnitude 1: normal noise on a coarse grid, interpolated."""
    coarse = np.random.default_rng([key, cells]).normal(size=(cells, cells, 3)).astype(np.float32)
    channels = [
        np.asarray(
            Image.fromarray(coarse[..., c]).resize((width, height), Image.Resampling.BICUBIC)
        )
        for c in range(3)
    ]
    field = np.stack(channels, axis=2)
    unit: np.ndarray = field / np.abs(field).max()
    return unit


@functools.lru_cache(maxsize=64)
def picture(key: int, height: int, width: int) -> np.ndarray:
    """(H, W, 3) uint8: a colourful drawing of sharp shapes on a soft ground, like a cartoon."""
    generator = np.random.default_rng([key, 1])
    side = 64
    canvas = 128 + 100 * smooth_field(key, side, side, 3)
    rows, columns = np.mgrid[:side, :side]
    for _ in range(9):
        colour = generator.choice([0, 255], size=3) * 0.9 + 12
        y, x = generator.uniform(8, side - 8, size=2)
        a, b = generator.uniform(4, 15, size=2)
        if generator.random() < 0.6:
            inside = ((rows - y) / a) ** 2 + ((columns - x) / b) ** 2 < 1
        else:
            inside = (np.abs(rows - y) < a) & (np.abs(columns - x) < b)
        canvas[inside] = colour
    drawn = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    how = Image.Resampling.BOX if width <= side else Image.Resampling.BICUBIC
    return np.asarray(drawn.resize((width, height), how))


@functools.lru_cache(maxsize=64)
def colour_cells(key: int, cells: int, side: int) -> np.ndarray:
    """(side, side, 3) uint8: a square of ``cells``×``cells`` saturated random colours."""
    generator = np.random.default_rng([key, 2, cells])
    square = generator.choice([0, 255], size=(cells, cells, 3)).astype(np.uint8)
    steps = np.arange(side) * cells // side
    grown: np.ndarray = square[np.ix_(steps, steps)]
    return grown
