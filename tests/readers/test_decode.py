"""Decoding: every mode to (S, S, 3) bytes, every doubt to a named refusal."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, PngImagePlugin
from tiny import encode, picture

from auditor.readers.decode import Decoded, Refusal, decode, prepare, thumbnail
from auditor.readers.signatures import EXTENSIONS, UNSUPPORTED_EXTENSIONS, sniff


@pytest.fixture(autouse=True)
def _prepared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a worker, and undone afterwards."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", False)
    monkeypatch.setattr(PngImagePlugin, "MAX_TEXT_MEMORY", PngImagePlugin.MAX_TEXT_MEMORY)
    with warnings.catch_warnings():
        prepare(1_000_000)
        yield


def ok(data: bytes) -> Decoded:
    result = decode(data)
    assert isinstance(result, Decoded), result
    assert result.pixels.dtype == np.uint8
    assert result.pixels.shape in {(32, 32, 3), (64, 64, 3)}
    return result


def reason(data: bytes) -> str:
    result = decode(data)
    assert isinstance(result, Refusal), result
    return result.reason


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1"])
def test_png_modes(mode: str) -> None:
    image = picture(1, 50, 50, "RGB").convert(mode)
    out = ok(encode(image))
    assert (out.width, out.height, out.mode, out.format) == (50, 50, mode, "PNG")
    assert np.array_equal(out.pixels, ok(encode(image.convert("RGB"))).pixels)


@pytest.mark.parametrize("format_", ["JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_formats(format_: str) -> None:
    out = ok(encode(picture(1, 32, 32), format_))
    assert out.format == format_
    reference = np.asarray(picture(1, 32, 32)).astype(int)
    assert np.abs(out.pixels.astype(int) - reference).mean() < 12


def test_cmyk_and_grey_jpeg() -> None:
    assert ok(encode(picture(1).convert("CMYK"), "JPEG")).mode == "CMYK"
    grey = ok(encode(picture(1).convert("L"), "JPEG"))
    assert np.array_equal(grey.pixels[..., 0], grey.pixels[..., 2])


def test_sixteen_bits_become_eight() -> None:
    ramp = np.linspace(0, 65535, 32 * 32).astype(np.uint16).reshape(32, 32)
    out = ok(encode(Image.fromarray(ramp)))
    assert out.mode.startswith("I")
    expected = np.rint(ramp / 257.0)
    assert np.abs(out.pixels[..., 0] - expected).max() <= 1


def test_float_tiff_with_nan() -> None:
    values = np.linspace(0, 1, 32 * 32).astype(np.float32).reshape(32, 32)
    values[0, 0] = np.nan
    out = ok(encode(Image.fromarray(values), "TIFF"))
    assert out.pixels.max() == 255


def test_sixteen_bit_grey_with_a_transparent_value() -> None:
    ramp = np.linspace(0, 65535, 32 * 32).astype(np.uint16).reshape(32, 32)
    data = encode(Image.fromarray(ramp), transparency=0)
    assert ok(data).pixels[..., 0].max() == 255


def test_transparency_is_laid_over_black() -> None:
    pixels = np.full((32, 32, 4), 200, np.uint8)
    pixels[:16, :, 3] = 0
    out = ok(encode(Image.fromarray(pixels)))
    assert out.pixels[:15].max() == 0
    assert out.pixels[17:].min() > 100


def test_the_whole_image_is_squeezed_never_cropped() -> None:
    pixels = np.zeros((200, 100, 3), np.uint8)
    pixels[-20:, -10:] = 255  # the corner, a tenth of each side
    out = ok(encode(Image.fromarray(pixels)))
    assert out.pixels.shape == (64, 64, 3)
    assert out.pixels[-5:, -5:].min() > 200
    assert out.pixels[:50].max() == 0


@pytest.mark.parametrize("size", [(28, 28), (32, 24), (25, 31), (32, 32)])
def test_an_image_that_nearly_fits_keeps_its_pixels(size: tuple[int, int]) -> None:
    """A patch must look the same wherever it lies: enlarging would blur each place otherwise."""
    image = picture(5, *size)
    out = ok(encode(image)).pixels
    top, left = (32 - image.height) // 2, (32 - image.width) // 2
    inner = out[top : top + image.height, left : left + image.width]
    assert np.array_equal(inner, np.asarray(image))
    assert (out[: top + 1] == out[top]).all()  # edges are repeated
    assert (out[:, left + image.width - 1 :] == out[:, left + image.width - 1, None]).all()


@pytest.mark.parametrize("size", [(23, 30), (28, 33)])
def test_other_small_images_fill_the_view(size: tuple[int, int]) -> None:
    image = picture(6, *size)
    expected = image.resize((32, 32), Image.Resampling.BILINEAR)
    assert np.array_equal(ok(encode(image)).pixels, np.asarray(expected))


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (3, 2)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    for format_ in ("PNG", "JPEG"):
        out = ok(encode(Image.new("RGB", size, (10, 200, 30)), format_))
        assert (out.width, out.height) == size
        assert out.pixels.shape == (32, 32, 3)
        assert np.abs(out.pixels.astype(int) - [10, 200, 30]).max() < 8


def test_a_large_jpeg_is_decoded_small_and_looks_the_same() -> None:
    image = picture(3, 900, 700)
    small, full = ok(encode(image, "JPEG", quality=95)), ok(encode(image))
    assert (small.width, small.height) == (900, 700)
    assert np.abs(small.pixels.astype(int) - full.pixels.astype(int)).mean() < 3


def test_first_frame_of_animations_and_mpo() -> None:
    frames = [picture(1, 32, 32), picture(2, 32, 32)]
    for format_, options in (("GIF", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("MPO", {})):
        out = io.BytesIO()
        frames[0].save(out, format_, save_all=True, append_images=frames[1:], **options)
        result = ok(out.getvalue())
        assert result.format == ("JPEG" if format_ == "MPO" else format_)
        assert np.abs(result.pixels.astype(int) - np.asarray(frames[0]).astype(int)).mean() < 15


def test_orientation_is_left_as_stored() -> None:
    """EXIF orientation is not applied: loaders differ, and the bytes are what is judged."""
    image = picture(4, 32, 32)
    exif = Image.Exif()
    exif[0x0112] = 6
    assert np.array_equal(ok(encode(image, exif=exif)).pixels, ok(encode(image)).pixels)


def test_refusals_have_names() -> None:
    png, jpeg = encode(picture(1)), encode(picture(1), "JPEG")
    assert reason(b"") == "empty"
    assert reason(b"no image at all") == "not_an_image"
    assert reason(jpeg[: len(jpeg) // 2]) == "truncated"
    assert reason(png[: len(png) // 2]) == "truncated"
    assert reason(png[:40] + b"\xff\xff\xff" + png[43:]) in {"corrupt", "truncated", "not_an_image"}
    assert reason(encode(Image.new("1", (1200, 1200)))) == "too_many_pixels"
    assert reason(encode(Image.new("1", (2200, 2200)))) == "too_many_pixels"
    assert reason(encode(picture(1), "ICO")) == "not_an_image"
    assert reason(encode(picture(1), "PPM")) == "not_an_image"
    assert reason(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n") == "not_an_image"


def test_a_text_chunk_bomb_is_refused() -> None:
    png = encode(picture(1))
    body = b"Comment\0\0" + zlib.compress(b"x" * 8_000_000)
    bomb = struct.pack(">I", len(body)) + b"zTXt" + body
    bomb += struct.pack(">I", zlib.crc32(b"zTXt" + body))
    assert reason(png[:33] + bomb + png[33:]) == "corrupt"


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_damaged_file_escapes_the_refusals(data: st.DataObject) -> None:
    format_ = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]))
    damaged = bytearray(encode(picture(2, 24, 20), format_))
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    result = decode(bytes(damaged[: data.draw(st.integers(1, len(damaged)))]))
    assert isinstance(result, Decoded | Refusal)


def test_thumbnails_are_made_anew() -> None:
    jpeg = thumbnail(encode(picture(5, 300, 200), "JPEG", comment=b"secret"))
    assert jpeg is not None
    assert b"secret" not in jpeg
    with Image.open(io.BytesIO(jpeg)) as image:
        assert image.format == "JPEG"
        assert max(image.size) == 96
    assert thumbnail(b"junk") is None
    assert thumbnail(encode(Image.new("1", (1200, 1200)))) is None


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_signatures(format_: str) -> None:
    assert sniff(encode(picture(1), format_)[:16]) == format_
    assert sniff(b"BM is no bitmap.") is None
    assert sniff(b"") is None


def test_no_extension_is_both() -> None:
    assert not UNSUPPORTED_EXTENSIONS & EXTENSIONS.keys()
