"""Turn one sample's encoded bytes into pixels, or into a named refusal.

Runs inside an isolated worker. Only the six formats below are ever tried, from memory and never
from a path; the header's size is checked before a pixel is decoded; every warning of the decoder
refuses the sample, because a decoder that has doubts about a file has met what it was not made
for.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from auditor.readers.contents import pointer
from auditor.readers.encoding import Encoding, describe
from auditor.readers.exif import Exif, read_exif
from auditor.readers.scaling import MIN_SIDE, discrepancy, passes_screen

PLUGINS = (
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
    GifImagePlugin,
    BmpImagePlugin,
    TiffImagePlugin,
)
"""Imported one by one, so that Pillow never loads the plugins of its other formats."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")

DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    AttributeError,
    OverflowError,
    ZeroDivisionError,
    AssertionError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Warning,
)
"""What Pillow's six plugins raise on malformed input; anything else ends the worker, which names
the sample too."""

CANVAS = 64
"""Pixels of the larger view's side: twice the 32×32 view, so that texture statistics see detail
that averaging to 32×32 removes."""

LEAST_PADDED = 24
"""Pixels of the shorter side from which on an image that fits the 32×32 view is not enlarged to it
but padded: from 28 to 32, enlarging blurs every pixel by another amount, so that a patch looks
different at each place."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """One decoded sample.

    Attributes:
        pixels: (S, S, 3) uint8, 0–255, with S = 32 for an image whose shorter side is below 64,
            else 64. The whole image is squeezed, not cropped: triggers sit in corners; one of
            24 to 32 pixels a side keeps its pixels, its edges are repeated around it.
        width, height: pixels of the image as its header says, before any reduction.
        mode: Pillow's mode of the stored image (``RGB``, ``L``, ``P`` …).
        format: one of `FORMATS`.
        encoding: how the bytes were written, and what they hold beside the picture.
        exif: what its EXIF block says, or None without a readable one.
        scaling: `scaling.discrepancy`, 0 where the screen found nothing, None for small images.
    """

    pixels: np.ndarray
    width: int
    height: int
    mode: str
    format: str
    encoding: Encoding
    exif: Exif | None = None
    scaling: float | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a sample could not be read: a stable reason code and the decoder's own words."""

    reason: str
    detail: str = ""


def prepare(max_pixels: int) -> None:
    """Set Pillow up for hostile input; call once in the process that decodes."""
    for plugin in PLUGINS:
        assert plugin.__name__
    Image.MAX_IMAGE_PIXELS = max_pixels
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    PngImagePlugin.MAX_TEXT_MEMORY = 1 << 20
    for kind in (UserWarning, RuntimeWarning, Image.DecompressionBombWarning):
        warnings.simplefilter("error", kind)


def decode(data: bytes) -> Decoded | Refusal:
    """Decode the first frame of an image, at reduced size where the views need no more."""
    if not data:
        return Refusal("empty")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return _decode(image, data)
    except MemoryError:
        return Refusal("memory_limit", "decoding asked for more memory than a sample may use")
    except UnidentifiedImageError:
        pointed = pointer(data)
        if pointed:
            return Refusal("pointer", f"a {pointed} stands here instead of the image")
        return Refusal("not_an_image", f"starts with {data[:8]!r}")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        return Refusal("too_many_pixels", str(error))
    except DECODE_ERRORS as error:
        return Refusal(_reason(error), f"{type(error).__name__}: {error}"[:200])


def _decode(image: Image.Image, data: bytes) -> Decoded | Refusal:
    width, height, mode = image.width, image.height, image.mode
    cap = Image.MAX_IMAGE_PIXELS
    if cap is not None and width * height > cap:
        return Refusal("too_many_pixels", f"header says {width}×{height}, limit is {cap:,} pixels")
    if width == 0 or height == 0:
        return Refusal("no_pixels", f"header says {width}×{height}")
    name = "JPEG" if image.format == "MPO" else str(image.format)
    if name == "JPEG" and min(width, height) >= 2 * CANVAS:
        image.draft(None, (CANVAS, CANVAS))  # libjpeg decodes at 1/2, 1/4 or 1/8, never below
    side = CANVAS if min(width, height) >= CANVAS else CANVAS // 2
    flat = _flat(image)
    return Decoded(
        _padded(flat, side) if _nearly_fits(flat, side) else squeezed(flat, side),
        width, height, mode, name,
        describe(data, name), _exif(image, flat, side), _scaling(flat, width, height, data),
    )  # fmt: skip


def _exif(image: Image.Image, flat: Image.Image, side: int) -> Exif | None:
    """What the EXIF block says; one that can not be read is no reason to refuse the picture."""
    if "exif" not in image.info:
        return None
    try:
        return read_exif(image, squeezed(flat, side))
    except DECODE_ERRORS:
        return None


def _scaling(flat: Image.Image, width: int, height: int, data: bytes) -> float | None:
    """Screen the picture as decoded; what passes is decoded in full size and compared."""
    if min(width, height) < MIN_SIDE:
        return None
    if not passes_screen(flat):
        return 0.0
    if flat.size == (width, height):
        return discrepancy(flat)
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        return discrepancy(_flat(image))


def _canvas(image: Image.Image, side: int) -> np.ndarray:
    """(side, side, 3) uint8 of an open image."""
    return squeezed(_flat(image), side)


def _flat(image: Image.Image) -> Image.Image:
    """The picture as RGB: transparency over black, 16-bit and float scaled to 0–255."""
    if image.mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in image.info:
        flat = image.convert("RGBA")
        ground = Image.new("RGBA", flat.size, (0, 0, 0, 255))
        return Image.alpha_composite(ground, flat).convert("RGB")
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        return deep_to_rgb(np.asarray(image, dtype=np.float64))
    return image.convert("RGB")


def squeezed(rgb: Image.Image, side: int) -> np.ndarray:
    """(side, side, 3) uint8 of an RGB picture, the whole of it."""
    if rgb.size != (side, side):
        shrinks = min(rgb.size) >= side
        filter_ = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
        rgb = rgb.resize((side, side), filter_)
    return np.asarray(rgb)


def _nearly_fits(rgb: Image.Image, side: int) -> bool:
    return side == CANVAS // 2 and min(rgb.size) >= LEAST_PADDED and max(rgb.size) <= side


def _padded(rgb: Image.Image, side: int) -> np.ndarray:
    """(side, side, 3) uint8: the picture in the middle, as it is, its edges repeated around it."""
    margins = [((side - n) // 2, side - n - (side - n) // 2) for n in (rgb.height, rgb.width)]
    return np.pad(np.asarray(rgb), (*margins, (0, 0)), mode="edge")


def deep_to_rgb(values: np.ndarray) -> Image.Image:
    """Map a 16-bit, 32-bit or float image to 8 bits: by 1/257 if it fits 16 bits, else by range."""
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1 and not np.all(values == np.rint(values)):
        scaled = values * 255.0
    elif low >= 0 and high <= 65535:
        scaled = values / 257.0 if high > 255 else values
    else:
        scaled = (values - low) * (255.0 / max(high - low, 1e-12))
    return Image.fromarray(np.rint(scaled).astype(np.uint8), mode=None).convert("RGB")


def _reason(error: BaseException) -> str:
    if isinstance(error, Warning):
        return "decoder_warning"
    if "truncated" in str(error).lower() or isinstance(error, EOFError):
        return "truncated"
    return "corrupt"


def thumbnail(data: bytes, side: int = 96) -> bytes | None:
    """A JPEG made anew from decoded pixels: nothing of the original bytes survives."""
    decoded = decode_full(data, side)
    if decoded is None:
        return None
    out = io.BytesIO()
    Image.fromarray(decoded).save(out, "JPEG", quality=85)
    return out.getvalue()


def square(data: bytes, side: int) -> bytes | None:
    """The whole image squeezed to (side, side, 3) uint8, as raw bytes; None if refused."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            cap = Image.MAX_IMAGE_PIXELS
            if cap is not None and image.width * image.height > cap:
                return None
            if image.format == "JPEG":
                image.draft(None, (side, side))
            return _canvas(image, side).tobytes()
    except (MemoryError, *DECODE_ERRORS):
        return None


def decode_full(data: bytes, side: int) -> np.ndarray | None:
    """(h, w, 3) uint8 with the longer side at most ``side``, the aspect kept; None if refused."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            cap = Image.MAX_IMAGE_PIXELS
            if cap is not None and image.width * image.height > cap:
                return None
            if image.format == "JPEG":
                image.draft("RGB", (side, side))
            rgb = image.convert("RGB")
            rgb.thumbnail((side, side), Image.Resampling.BOX)
            return np.asarray(rgb)
    except (MemoryError, *DECODE_ERRORS):
        return None
