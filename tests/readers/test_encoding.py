"""What a sample's bytes hold beside the picture, and how they were written."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from tiny import encode, picture

from auditor.readers.decode import Decoded, decode, prepare
from auditor.readers.encoding import describe

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP")
PDF = b"%PDF-1.4 ..."
WINDOWS = b"MZ\x90\0" + bytes(60)


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.txt", "hidden")
    return out.getvalue()


@pytest.mark.parametrize("format_", FORMATS)
def test_a_plain_image_holds_nothing_else(format_: str) -> None:
    found = describe(encode(picture(1), format_), format_)
    assert (found.trailing, found.payload, found.text_bytes) == (0, None, 0)
    assert not found.credentials


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize(
    ("tail", "payload"),
    [
        (zipped(), "zip"), (PDF, "pdf"), (b"<script>alert(1)</script>", "markup"),
        (b"#!/bin/sh\nrm", "markup"), (b"\x7fELF\x02", "program"), (WINDOWS, "program"),
        (b"\xff\xd8\xff\xe0", "image"), (b"anything", "other"), (b"\0\0\0\0", None),
        (b"anything\xff\xd9", "other"), (b"anything\0;", "other"),
    ],
)  # fmt: skip
def test_what_is_appended_is_found(format_: str, tail: bytes, payload: str | None) -> None:
    found = describe(encode(picture(1), format_) + tail, format_)
    assert found.trailing == len(tail)
    assert found.payload == payload


def test_a_second_end_marker_hides_nothing() -> None:
    jpeg = encode(picture(1), "JPEG", progressive=True)
    found = describe(jpeg + PDF + b"\xff\xd9", "JPEG")
    assert (found.trailing, found.payload) == (len(PDF) + 2, "pdf")


def test_an_archive_inside_a_comment_is_found() -> None:
    """The zip's directory lies inside a JPEG comment, the image data after it."""
    archive = zipped()
    (start,) = struct.unpack_from("<I", archive, len(archive) - 6)
    assert archive[start : start + 4] == b"PK\x01\x02"
    jpeg = encode(picture(1), "JPEG", comment=archive)
    assert describe(jpeg, "JPEG").payload == "zip"


def test_text_and_markup_in_chunks() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", "Paint 1.0")
    info.add_text("note", "x" * 5000)
    found = describe(encode(picture(1), pnginfo=info), "PNG")
    assert found.software == "Paint 1.0"
    assert 5000 < found.text_bytes < 5100
    assert found.payload is None
    info.add_text("page", "<script>alert(1)</script>")
    assert describe(encode(picture(1), pnginfo=info), "PNG").payload == "markup"


def test_encoders_are_told_apart_and_pictures_are_not() -> None:
    def encoder(seed: int, format_: str = "JPEG", **options: Any) -> str:
        return describe(encode(picture(seed), format_, **options), format_).encoder

    assert encoder(1) == encoder(2)
    different = {
        encoder(1), encoder(1, quality=90), encoder(1, subsampling=0), encoder(1, progressive=True),
        encoder(1, "PNG"), encoder(1, "PNG", compress_level=1), encoder(1, "GIF"),
        encoder(1, "WEBP"), encoder(1, "BMP"),
    }  # fmt: skip
    assert len(different) == 9
    assert encoder(1, optimize=True) == encoder(2, optimize=True)


def test_content_credentials_are_seen() -> None:
    png = encode(picture(1))
    box = b"\0\0\0\x10jumb\0\0\0\x08jumd"
    chunk = struct.pack(">I", len(box)) + b"caBX" + box
    chunk += struct.pack(">I", zlib.crc32(b"caBX" + box))
    assert describe(png[:33] + chunk + png[33:], "PNG").credentials
    jpeg = encode(picture(1), "JPEG")
    body = b"JP\0\x01\0\0\0\x01" + box
    segment = b"\xff\xeb" + struct.pack(">H", len(body) + 2) + body
    assert describe(jpeg[:2] + segment + jpeg[2:], "JPEG").credentials


@given(st.binary(max_size=200), st.sampled_from([*FORMATS, "TIFF"]), st.integers(0, 500))
def test_no_bytes_bring_it_down(data: bytes, format_: str, keep: int) -> None:
    start = encode(picture(3), format_)[:keep]
    assert describe(start + data, format_).encoder


def exif_jpeg(shown: Image.Image, thumbnail: Image.Image, software: str = "Camera") -> bytes:
    """A JPEG whose EXIF block holds ``thumbnail``, laid out by hand as cameras do."""
    small = encode(thumbnail.resize((80, 60)), "JPEG")
    name = software.encode() + b"\0"
    name += b"\0" * (len(name) % 2)
    ifd1 = 8 + 2 + 12 + 4 + len(name)
    at = ifd1 + 2 + 24 + 4
    block = b"II*\0" + struct.pack("<I", 8)
    block += struct.pack("<HHHII", 1, 0x0131, 2, len(name), 26) + struct.pack("<I", ifd1) + name
    block += struct.pack("<H", 2) + struct.pack("<HHII", 0x0201, 4, 1, at)
    block += struct.pack("<HHII", 0x0202, 4, 1, len(small)) + struct.pack("<I", 0) + small
    return encode(shown, "JPEG", exif=b"Exif\0\0" + block)


def decoded(data: bytes) -> Decoded:
    prepare(64_000_000)
    found = decode(data)
    assert isinstance(found, Decoded)
    return found


def test_a_thumbnail_of_another_picture() -> None:
    large = picture(5, 320, 240)
    same = decoded(exif_jpeg(large, large)).exif
    assert same is not None
    assert same.software == "Camera"
    assert not same.located
    assert same.disagreement is not None
    assert same.disagreement < 0.1
    turned = decoded(exif_jpeg(large.transpose(Image.Transpose.ROTATE_90), large)).exif
    assert turned is not None
    assert turned.disagreement is not None
    other = decoded(exif_jpeg(large, picture(6, 320, 240))).exif
    assert other is not None
    assert other.disagreement is not None
    assert other.disagreement > 0.5


def test_a_position_is_seen() -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8825)[1] = "N"
    found = decoded(encode(picture(1), "JPEG", exif=exif)).exif
    assert found is not None
    assert found.located
    assert decoded(encode(picture(1), "JPEG")).exif is None
