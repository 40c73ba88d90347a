"""Inside a worker: what an image's EXIF says of its making, and whether its thumbnail agrees."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image

MAX_SOFTWARE = 60
"""Characters of a software's name that are kept."""

SIDE = 16
"""Pixels of the side at which picture and thumbnail are compared: coarse enough to forgive the
thumbnail's own compression."""

THUMBNAIL = (0x0201, 0x0202)
"""Tags of the thumbnail's place and length within the EXIF block (EXIF 2.32, table 4)."""


@dataclass(frozen=True, slots=True)
class Exif:
    """What the EXIF block says.

    Attributes:
        software: the program that wrote the file, or None.
        located: whether it holds a position.
        disagreement: 1 − correlation of thumbnail and picture, 0 (the same) to 2; None without a
            thumbnail.
    """

    software: str | None = None
    located: bool = False
    disagreement: float | None = None


def read_exif(image: Image.Image, pixels: np.ndarray) -> Exif:
    """Read the EXIF block of an open image; call it only where there is one.

    Args:
        image: opened by Pillow.
        pixels: (S, S, 3) uint8, the decoded picture, squeezed to a square.

    Raises:
        What Pillow raises on malformed blocks (`decode.DECODE_ERRORS`).
    """
    block = image.info["exif"]
    exif = Image.Exif()
    exif.load(block)
    software = exif.get(ExifTags.Base.Software)
    words = "".join(c for c in str(software or "") if c.isprintable()).strip()[:MAX_SOFTWARE]
    located = ExifTags.IFD.GPSInfo in exif and bool(exif.get_ifd(ExifTags.IFD.GPSInfo))
    small = exif.get_ifd(ExifTags.IFD.IFD1)
    start, length = (small.get(tag) for tag in THUMBNAIL)
    disagreement = None
    if isinstance(start, int) and isinstance(length, int) and 0 < length < 1 << 17:
        data = block[6 + start : 6 + start + length]  # counted from behind "Exif\0\0"
        if data.startswith(b"\xff\xd8\xff"):
            disagreement = _disagreement(data, pixels, image.width / image.height)
    return Exif(words or None, located, disagreement)


def _disagreement(data: bytes, pixels: np.ndarray, aspect: float) -> float | None:
    """Compare a thumbnail with the picture, as it is and turned; None for flat pictures."""
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as opened:
        if opened.width * opened.height > 1 << 20:
            return None
        small = opened.convert("L")
    picture = Image.fromarray(pixels).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    wanted = np.asarray(picture, np.float64)
    if wanted.std() < 4:
        return None
    best = -1.0
    for form in (aspect, 1 / aspect):
        seen = np.asarray(_inner(small, form).resize((SIDE, SIDE), Image.Resampling.BOX), float)
        if seen.std() < 1:
            continue
        turned = [np.rot90(seen, k) for k in range(4)]
        best = max(best, *(np.corrcoef(one.ravel(), wanted.ravel())[0, 1] for one in turned))
    return float(1 - best)


def _inner(small: Image.Image, aspect: float) -> Image.Image:
    """The middle of a thumbnail with the picture's aspect: cameras pad it with bars."""
    width, height = small.size
    inner_width = min(width, round(height * aspect))
    inner_height = min(height, round(width / aspect))
    left, top = (width - inner_width) // 2, (height - inner_height) // 2
    return small.crop((left, top, left + max(1, inner_width), top + max(1, inner_height)))
