"""Inside a worker: whether a second decoder, OpenCV, sees the picture that Pillow sees.

OpenCV is native code that parses hostile bytes, so it runs under a worker's limits. It is imported
when first needed, and is no dependency: without it nothing is compared.
"""

from __future__ import annotations

import functools
import importlib
import io
import os
from types import ModuleType

import numpy as np
from PIL import Image

from auditor.readers.decode import DECODE_ERRORS, FORMATS, deep_to_rgb, squeezed

LIBRARY = "cv2"

SIDE = 64
"""Pixels a side of what is compared, as the larger canvas that detectors see."""

TILE = 8
"""Canvas pixels a side of a tile: a difference in a 64th of the picture is not averaged away."""

OTHER_SIZE = 255.0
"""The difference of pictures of other dimensions: the largest there can be."""

MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "I;16", "I;16B", "I;16L"})
"""Pillow's modes that both decoders turn into 8-bit RGB by the same rule; others (float, Lab) have
no such rule."""

BLENDED = frozenset({"GIF", "TIFF"})
"""Formats in which OpenCV blends transparent pixels with a ground, and Pillow's ``convert`` keeps
the colour below: with transparency the two differ in every clean file."""

TRANSPARENT = frozenset({"LA", "PA", "RGBA"})


def difference(data: bytes) -> float | None:
    """How much the two decoders' pictures differ.

    Both ignore EXIF orientation, drop transparency and map 16 bits to 8.

    Returns:
        The largest mean absolute difference of a tile, 0–255, of both pictures squeezed to 64×64,
        or `OTHER_SIZE`; None where nothing can be compared: no second decoder, a file that one of
        them refuses, an animation, or a form that they may read differently (`MODES`, `BLENDED`).
    """
    library = _library(Image.MAX_IMAGE_PIXELS)
    if library is None:
        return None
    try:
        ours = _pillow(data)
        if ours is None:
            return None
        flags = library.IMREAD_COLOR | library.IMREAD_IGNORE_ORIENTATION
        theirs = library.imdecode(np.frombuffer(data, np.uint8), flags)
        if theirs is None:
            return None
        return measure(ours, Image.fromarray(np.ascontiguousarray(theirs[..., ::-1])))
    except (MemoryError, library.error, *DECODE_ERRORS):
        return None


def measure(ours: Image.Image, theirs: Image.Image) -> float:
    """The largest mean absolute difference of a tile of two RGB pictures, 0–255."""
    if ours.size != theirs.size:
        return OTHER_SIZE
    gap = np.abs(squeezed(ours, SIDE).astype(np.int16) - squeezed(theirs, SIDE).astype(np.int16))
    n = SIDE // TILE
    tiles = gap.reshape(n, TILE, n, TILE, 3).mean(axis=(1, 3, 4))
    return float(tiles.max())


def _pillow(data: bytes) -> Image.Image | None:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        cap = Image.MAX_IMAGE_PIXELS
        if cap is not None and image.width * image.height > cap:
            return None
        if image.mode not in MODES or getattr(image, "is_animated", False):
            return None
        transparent = image.mode in TRANSPARENT or "transparency" in image.info
        if transparent and image.format in BLENDED:
            return None
        if image.mode.startswith("I"):
            return deep_to_rgb(np.asarray(image, dtype=np.float64))
        return image.convert("RGB")


@functools.cache
def _library(max_pixels: int | None) -> ModuleType | None:
    """OpenCV, told to use one thread and to keep to the cap on pixels; None if it can not load."""
    if max_pixels is not None:
        os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(max_pixels)
    os.environ["OPENCV_LOG_LEVEL"] = "OFF"
    try:
        library = importlib.import_module(LIBRARY)
        library.setNumThreads(1)
    except (ImportError, AttributeError, OSError, Warning):
        return None  # installed, but without a system library or for another numpy
    return library
