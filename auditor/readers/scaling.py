"""Does a picture show something else once it is scaled down without a filter?

An image-scaling attack (Xiao et al. 2019, USENIX Security, §4) writes a second picture into the few
pixels that such scaling reads. Those pixels then differ from the average around them far more than
the others do. Two steps, because every sample is measured: a screen of the picture as it was
decoded, which looks for edges that repeat with one period in both directions, and for the few that
pass, the comparison itself in full size. Related: Quiring et al. 2020, USENIX Security, §4;
Kim et al. 2021, Decamouflage, DSN.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageChops, ImageFilter

SIDES = (28, 32, 48, 64, 96, 112, 128, 160, 192, 224, 227, 256, 299, 384)
"""Squares that networks usually take."""

MIN_RATIO = 2.5
"""Source side ÷ target side: below it, bilinear scaling reads nearly every pixel."""

MIN_SIDE = 96
"""Pixels of the shorter side, in full size: room for a hidden picture of 32 at a ratio of 3."""

MAX_CROP = 512
"""Pixels of the screened crop's side."""

MAX_PIXELS = 1 << 24
"""Larger pictures are not compared: it would take seconds."""

SCREEN = 0.14
"""Depth of the common period, as the change of the logarithm of edge strength, from which a picture
is compared. On Imagenette 4 % of clean pictures pass and 98 % of attacked ones or more."""

LOWEST = 12
"""Periods fewer than this across the picture are its own content."""


def passes_screen(picture: Image.Image) -> bool:
    """Whether edges repeat with one period in both directions; ``picture`` is RGB."""
    grey = np.asarray(_crop(picture.getchannel(1)))
    down = _edges(grey[1:], grey[:-1]).sum(axis=1, dtype=np.uint32) / grey.shape[1]
    across = _edges(grey[:, 1:], grey[:, :-1]).sum(axis=0, dtype=np.uint32) / grey.shape[0]
    depth = np.minimum(*_spectra(down, across))
    return bool(depth[LOWEST:].max(initial=0.0) >= SCREEN)


def _crop(channel: Image.Image) -> Image.Image:
    width, height = channel.size
    if max(width, height) <= MAX_CROP:
        return channel
    left, top = max(0, (width - MAX_CROP) // 2), max(0, (height - MAX_CROP) // 2)
    return channel.crop((left, top, min(width, left + MAX_CROP), min(height, top + MAX_CROP)))


def _edges(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Absolute differences of uint8 without leaving uint8."""
    differences: np.ndarray = np.maximum(one, other) - np.minimum(one, other)
    return differences


def _spectra(down: np.ndarray, across: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Amplitudes of both logarithmic profiles, up to the shorter one's highest frequency."""
    short = min(len(down), len(across)) // 2
    found = []
    for profile in (down, across):
        level = np.log1p(profile)
        found.append(np.abs(np.fft.rfft(level - level.mean()))[:short] * (2 / len(level)))
    return found[0], found[1]


def discrepancy(picture: Image.Image) -> float | None:
    """How much more the pixels that scaling reads differ from their surroundings than all do.

    The largest over `SIDES` and over the two conventions of where scaling reads. Clean pictures
    lie near 0.9, because what is read lies nearer to the middle of what it stands for.

    Args:
        picture: RGB, in full size.

    Returns:
        The ratio of two mean absolute differences, or None where no side is small enough.
    """
    width, height = picture.size
    sides = [side for side in SIDES if side * MIN_RATIO <= min(width, height)]
    if not sides or width * height > MAX_PIXELS:
        return None
    green = picture.getchannel(1)
    found = 0.0
    for side in sides:
        # A blur has no grid of its own: where nothing is hidden, every set of pixels differs alike.
        smooth = green.filter(ImageFilter.BoxBlur((width / side / 2, height / side / 2)))
        differs = np.asarray(ImageChops.difference(green, smooth))
        every = differs.mean() + 1.0  # one grey level: a flat picture shows nothing by rounding
        for offset in (0.5, 0.0):
            rows, columns = taps(height, side, offset), taps(width, side, offset)
            read = differs[np.ix_(rows, columns)].mean()
            found = max(found, float(read / every))
    return found


def taps(size: int, side: int, offset: float) -> np.ndarray:
    """(2·side,) the pixels that unfiltered bilinear scaling from ``size`` to ``side`` reads.

    Args:
        size: pixels of the source's side.
        side: pixels of the target's side.
        offset: 0.5 where pixel centres are aligned (OpenCV, PyTorch), 0 where corners are (older
            TensorFlow, OpenCV's nearest neighbour).
    """
    place = (np.arange(side) + offset) * size / side - offset
    low = np.clip(np.floor(place).astype(np.int64), 0, size - 1)
    return np.stack([low, np.minimum(low + 1, size - 1)], axis=1).reshape(-1)
