"""Decodes and re-encodes every image of a copy alike, so that the format gives no poison away.

One quality, one chroma subsampling and one compression for the whole dataset, estimated from the
source; metadata (EXIF, ICC, comments, text chunks) is dropped from all images, poisoned or not.
"""

from __future__ import annotations

import functools
import io
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile, get_sampling

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""The only formats that are opened, whatever a file is called."""

DECODE_ERRORS = (
    UnidentifiedImageError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
    OSError,
    ValueError,
    SyntaxError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    EOFError,
    MemoryError,
    ZeroDivisionError,
    AttributeError,
)
"""What Pillow's plugins raise on damaged files (its own fuzzing tests expect most of these)."""

DEFAULT_JPEG_QUALITY = 75
"""libjpeg's and Pillow's default."""

KEPT_TIFF_COMPRESSIONS = frozenset({"raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"})

Stamp = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class Encoding:
    """How each format is written: ``jpeg_subsampling`` 0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0."""

    jpeg_quality: int = DEFAULT_JPEG_QUALITY
    jpeg_subsampling: int = 2
    webp_lossless: bool = False
    tiff_compression: str = "tiff_lzw"


def estimate_encoding(files: Iterable[bytes]) -> Encoding:
    """Read from a few encoded images what their dataset was written with; unreadable ones skip."""
    qualities: list[int] = []
    samplings: Counter[int] = Counter()
    lossless: Counter[bool] = Counter()
    tiffs: Counter[str] = Counter()
    for data in files:
        lossless.update([data[12:16] == b"VP8L"] if data[8:12] == b"WEBP" else [])
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                if isinstance(image, JpegImageFile) and image.quantization:
                    qualities.append(jpeg_quality(image.quantization[min(image.quantization)]))
                    sampling = get_sampling(image)
                    samplings.update([sampling] if sampling >= 0 and image.mode != "L" else [])
                elif image.format == "TIFF":
                    tiffs.update([str(image.info.get("compression", "raw"))])
        except DECODE_ERRORS:
            continue
    tiff = tiffs.most_common(1)[0][0] if tiffs else "tiff_lzw"
    return Encoding(
        jpeg_quality=int(np.median(qualities)) if qualities else DEFAULT_JPEG_QUALITY,
        jpeg_subsampling=samplings.most_common(1)[0][0] if samplings else 2,
        webp_lossless=lossless[True] > lossless[False],
        tiff_compression=tiff if tiff in KEPT_TIFF_COMPRESSIONS else "tiff_lzw",
    )


def jpeg_quality(table: Iterable[int]) -> int:
    """The quality, 1–100, at which libjpeg's luminance table has the sum nearest to this one's."""
    return int(np.argmin(np.abs(_table_sums() - sum(table)))) + 1


@functools.cache
def _table_sums() -> np.ndarray:
    """(100,) sum of the luminance table that the JPEG encoder here writes at quality 1 … 100."""
    sums = []
    for quality in range(1, 101):
        out = io.BytesIO()
        Image.new("L", (8, 8)).save(out, "JPEG", quality=quality)
        with Image.open(out, formats=("JPEG",)) as image:
            assert isinstance(image, JpegImageFile)
            sums.append(sum(image.quantization[0]))
    return np.array(sums)


def decode(data: bytes) -> tuple[Image.Image, str]:
    """Decode the first frame to mode L, LA, RGB or RGBA; returns it with its format.

    Raises:
        OSError: (or another of `DECODE_ERRORS`) the bytes are no readable image.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            image.load()
            return _plain_mode(image), "JPEG" if image.format == "MPO" else str(image.format)


def _plain_mode(image: Image.Image) -> Image.Image:
    if image.mode in ("L", "LA", "RGB", "RGBA"):
        return image.copy()
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("1", "L;16"):
        return image.convert("L")
    transparent = image.mode in ("PA", "RGBa", "La") or "transparency" in image.info
    return image.convert("RGBA" if transparent else "RGB")


def encode(image: Image.Image, file_format: str, encoding: Encoding) -> bytes:
    """Encode without metadata; equal pixels give equal bytes."""
    out = io.BytesIO()
    image.info.clear()
    if file_format == "JPEG":
        image.save(
            out, "JPEG", quality=encoding.jpeg_quality, subsampling=encoding.jpeg_subsampling
        )
    elif file_format == "WEBP":
        image.save(out, "WEBP", lossless=encoding.webp_lossless)
    elif file_format == "TIFF":
        image.save(out, "TIFF", compression=encoding.tiff_compression)
    else:
        image.save(out, file_format)
    return out.getvalue()


def rewrite(data: bytes, encoding: Encoding, stamp: Stamp | None = None) -> bytes:
    """Decode, stamp if asked, and encode in the source's format and mode.

    Args:
        data: one encoded image.
        encoding: shared by the whole dataset.
        stamp: (H, W, 3) uint8 → same; a grey image is stamped in RGB and turned grey again.

    Raises:
        OSError: (or another of `DECODE_ERRORS`) the bytes are no readable image.
    """
    image, file_format = decode(data)
    if stamp is not None:
        image = _stamped(image, stamp)
    return encode(image, file_format, encoding)


def _stamped(image: Image.Image, stamp: Stamp) -> Image.Image:
    alpha = image.getchannel("A") if image.mode in ("LA", "RGBA") else None
    grey = image.mode in ("L", "LA")
    pixels = np.asarray(image.convert("RGB"))
    stamped = stamp(pixels)
    if stamped.shape != pixels.shape or stamped.dtype != np.uint8:
        raise AssertionError(f"stamp returned {stamped.dtype} {stamped.shape} for {pixels.shape}")
    result = Image.fromarray(stamped)
    if grey:
        result = result.convert("L")
    if alpha is not None:
        result.putalpha(alpha)
    return result


def thumbnail(data: bytes, side: int) -> np.ndarray:
    """Decode to (side, side, 3) uint8: box-filtered when shrunk, bilinear when enlarged."""
    image = decode(data)[0].convert("RGB")
    if image.size != (side, side):
        smaller = min(image.size) >= side
        image = image.resize(
            (side, side), Image.Resampling.BOX if smaller else Image.Resampling.BILINEAR
        )
    return np.asarray(image)
