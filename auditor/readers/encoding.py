"""How a sample's bytes were written, and what they hold beside the picture.

Runs in the decoding worker, on every sample, so it looks at headers and ends and never at the
compressed pixels. Nothing here trusts a length that the file states.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from auditor.readers.contents import PROGRAMS

MAX_STEPS = 20_000
"""Segments, chunks or blocks that are walked; beyond it the end of the image counts as unknown."""

MAX_SOFTWARE = 60
"""Characters of a software's name that are kept."""

MARKUP = re.compile(rb"<script|<\?php|<html|<iframe|javascript:|#!/(?:usr/)?bin/", re.IGNORECASE)
"""What makes bytes a page or a script for a reader that looks for it."""

MAX_CACHED = 2048
"""Distinct JPEG headers whose description is kept: images of one encoder share theirs."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """What the bytes of one sample say of their making.

    Attributes:
        encoder: a signature that the files of one program and setting share: JPEG quantisation
            tables, subsampling and markers; PNG depth, compression level and chunks.
        software: what the metadata names, or None.
        trailing: bytes after the image's end; None where the end is not known.
        payload: what the bytes beside the picture hold: ``zip``, ``pdf``, ``markup``, ``program``,
            ``image``, ``other``; None for nothing but padding.
        text_bytes: bytes of text and comments.
        icc_bytes: bytes of the colour profile.
        credentials: whether there is a C2PA box.
    """

    encoder: str
    software: str | None = None
    trailing: int | None = None
    payload: str | None = None
    text_bytes: int = 0
    icc_bytes: int = 0
    credentials: bool = False


@dataclass(frozen=True, slots=True)
class _Header:
    """What `_jpeg_header` tells of a JPEG's bytes before the first scan."""

    encoder: str
    software: str | None
    text: bytes
    icc_bytes: int
    credentials: bool


_cache: dict[bytes, _Header] = {}


def describe(data: bytes, format_: str) -> Encoding:
    """Describe an image that was decoded without error.

    Args:
        data: the sample's bytes.
        format_: its format, one of `decode.FORMATS`.
    """
    try:
        found = _READERS[format_](data)
    except (struct.error, IndexError, ValueError):
        found = Encoding(format_.lower())
    hidden = found.payload if found.payload not in {None, "image", "other"} else None
    if hidden is None and _ends_as_zip(data):
        hidden = "zip"
    if hidden is None and data.find(b"%PDF-", 0, 1024) > 0:
        hidden = "pdf"
    if hidden is None or hidden == found.payload:
        return found
    return Encoding(found.encoder, found.software, found.trailing, hidden, found.text_bytes,
                    found.icc_bytes, found.credentials)  # fmt: skip


def _payload(tail: bytes, text: bytes = b"") -> str | None:
    """What bytes after the image, or text inside it, hold."""
    if not tail and not text:
        return None
    start = tail.lstrip(b"\0\r\n\t ")
    if start.startswith(b"PK\x03\x04"):
        return "zip"
    if start[:1024].find(b"%PDF-") >= 0:
        return "pdf"
    if any(start.startswith(magic) for magic, _ in PROGRAMS) or start.startswith(b"MZ\x90\0"):
        return "program"
    if MARKUP.search(tail) or MARKUP.search(text):
        return "markup"
    if start.startswith((b"\xff\xd8\xff", b"\x89PNG", b"GIF8")):
        return "image"
    return "other" if tail.strip(b"\0\xff\r\n\t ") else None


def _ends_as_zip(data: bytes) -> bool:
    """Whether a zip reader, which starts from the end, would open these bytes."""
    place = data.rfind(b"PK\x05\x06", max(0, len(data) - 66_000))
    if place < 0 or place + 22 > len(data):
        return False
    size, _, comment = struct.unpack_from("<IIH", data, place + 12)
    directory = data[place - size : place - size + 4] if 0 < size <= place else b""
    return directory == b"PK\x01\x02" and place + 22 + int(comment) <= len(data)


def _jpeg(data: bytes) -> Encoding:
    scan = data.find(b"\xff\xda")
    prefix = data[:scan] if scan > 0 else b""
    header = _cache.get(prefix)
    if header is None:
        header, scan_at = _jpeg_header(data)
        if scan_at == scan:
            if len(_cache) >= MAX_CACHED:
                _cache.clear()
            _cache[prefix] = header
        scan = scan_at
    end = data.find(b"\xff\xd9", scan)
    if end != len(data) - 2:
        end = _jpeg_end(data, scan)
    tail = data[end + 2 :] if end >= 0 else b""
    return Encoding(
        header.encoder,
        header.software,
        len(tail) if end >= 0 else None,
        _payload(tail, header.text) if tail or header.text else None,
        len(header.text),
        header.icc_bytes,
        header.credentials,
    )


def _segments(data: bytes, place: int) -> Iterator[tuple[int, int, int]]:
    """(marker, start, stop) of each JPEG segment's body from ``place``, up to the first scan."""
    for _ in range(MAX_STEPS):
        if place + 4 > len(data) or data[place] != 0xFF:
            return
        marker = data[place + 1]
        if marker == 0xFF:
            place += 1
            continue
        (length,) = struct.unpack_from(">H", data, place + 2)
        yield marker, place + 4, place + 2 + length
        if marker == 0xDA:
            return
        place += 2 + length


def _jpeg_header(data: bytes) -> tuple[_Header, int]:
    """Everything before the first scan, and where that begins (−1 if nowhere)."""
    tables, sampling, frame = 0, "", 0
    text, markers = b"", []
    software, icc, credentials, scan = None, 0, False, -1
    for marker, start, stop in _segments(data, 2):
        markers.append(f"{marker:x}")
        if marker == 0xDA:
            scan = start - 4
        elif marker == 0xDB:
            tables = zlib.crc32(data[start:stop], tables)
        elif 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            frame = marker
            parts = data[start + 6 : stop]
            sampling = ",".join(f"{parts[i + 1]:02x}" for i in range(0, len(parts) - 2, 3))
        elif marker == 0xFE:
            text += data[start:stop]
        elif marker == 0xE2 and data[start : start + 11] == b"ICC_PROFILE":
            icc += max(0, stop - start - 14)
        elif marker == 0xEB and b"jumb" in data[start : start + 64]:
            credentials = True
    if text:
        software = _words(text)
    kinds = ".".join(dict.fromkeys(markers))
    encoder = f"jpeg {tables:08x} {sampling} {frame:x} {kinds}"
    return _Header(encoder, software, text, icc, credentials), scan


def _jpeg_end(data: bytes, scan: int) -> int:
    """Where the end marker of the first picture stands, or −1: scans are walked one by one."""
    place = scan
    for _ in range(MAX_STEPS):
        if place < 0 or place + 2 > len(data):
            return -1
        marker = data[place + 1]
        if marker == 0xD9:
            return place
        if marker == 0 or marker == 0xFF or 0xD0 <= marker <= 0xD7:
            place = data.find(b"\xff", place + (1 if marker == 0xFF else 2))
            continue
        (length,) = struct.unpack_from(">H", data, place + 2)
        place = data.find(b"\xff", place + 2 + length)
    return -1


def _png(data: bytes) -> Encoding:
    place, kinds, text_bytes, text = 8, [], 0, b""
    software, icc, credentials, first = None, 0, False, 0
    depth = level = 0
    for _ in range(MAX_STEPS):
        length, kind = struct.unpack_from(">I4s", data, place)
        start = place + 8
        if kind == b"IHDR":
            depth = data[start + 8] << 8 | data[start + 9]
        elif kind == b"IDAT":
            if not first:
                first, level = length, data[start + 1]
            elif first > 0:
                first = -first
        elif kind in {b"tEXt", b"zTXt", b"iTXt"}:
            body = data[start : start + length]
            text_bytes += length
            text += body[:4096]
            if body.startswith(b"Software\0"):
                software = _words(body[9:])
        elif kind == b"iCCP":
            icc += length
        elif kind == b"caBX":
            credentials = True
        kinds.append(kind)
        place = start + length + 4
        if kind == b"IEND":
            break
    else:
        return Encoding("png")
    tail = data[place:]
    names = ".".join(dict.fromkeys(kind.decode("ascii", "replace") for kind in kinds))
    # Several IDAT chunks show the writer's buffer; a single one shows only the picture's size.
    encoder = f"png {depth:x} {level:02x} {-first if first < 0 else 0} {names}"
    return Encoding(encoder, software, len(tail), _payload(tail, text) if tail or text else None,
                    text_bytes, icc, credentials)  # fmt: skip


def _gif(data: bytes) -> Encoding:
    """Walk a GIF's blocks to its trailer."""
    flags = data[10]
    place = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    text = b""
    for _ in range(MAX_STEPS):
        kind = data[place]
        if kind == 0x3B:
            tail = data[place + 1 :]
            return Encoding(f"gif {data[3:6].decode('ascii', 'replace')} {flags & 0x80:x}", None,
                            len(tail), _payload(tail, text), len(text))  # fmt: skip
        if kind == 0x21:
            comment = data[place + 1] == 0xFE
            place += 2
        elif kind == 0x2C:
            comment, local = False, data[place + 9]
            place += 11 + (3 << (local & 7) + 1 if local & 0x80 else 0)
        else:
            break
        for _ in range(MAX_STEPS):
            size = data[place]
            if comment:
                text += data[place + 1 : place + 1 + size]
            place += 1 + size
            if not size:
                break
    return Encoding("gif")


def _webp(data: bytes) -> Encoding:
    (size,) = struct.unpack_from("<I", data, 4)
    tail = data[8 + size + size % 2 :]
    credentials = data.find(b"C2PA", 12, 8 + size) > 0
    kind = data[12:16].decode("ascii", "replace")
    return Encoding(f"webp {kind}", None, len(tail), _payload(tail), credentials=credentials)


def _bmp(data: bytes) -> Encoding:
    """A BMP's end by its own header: the stated size, or the pixels where that is larger."""
    size, offset, kind = struct.unpack_from("<I4xII", data, 2)
    width, height, _, depth, packed = struct.unpack_from("<iiHHI", data, 18)
    name = f"bmp {kind} {depth}"
    if kind < 40 or packed not in {0, 3}:
        return Encoding(name)
    end = max(size, offset + (abs(width) * depth + 31) // 32 * 4 * abs(height))
    tail = data[end:]
    return Encoding(name, None, len(tail), _payload(tail))


def _tiff(data: bytes) -> Encoding:
    return Encoding(f"tiff {data[:2].decode('ascii', 'replace')}")


def _words(text: bytes) -> str | None:
    """A short, printable form of what the metadata says."""
    said = "".join(c for c in text[:200].decode("utf-8", "replace") if c.isprintable())
    return " ".join(said.split())[:MAX_SOFTWARE] or None


_READERS = {"JPEG": _jpeg, "PNG": _png, "GIF": _gif, "WEBP": _webp, "BMP": _bmp, "TIFF": _tiff}
