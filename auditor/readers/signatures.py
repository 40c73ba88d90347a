"""What a file's name and its first bytes say of its format, before anything is decoded."""

from __future__ import annotations

EXTENSIONS = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".png": "PNG",
    ".webp": "WEBP", ".gif": "GIF", ".bmp": "BMP", ".dib": "BMP", ".tif": "TIFF",
    ".tiff": "TIFF", ".mpo": "JPEG", ".apng": "PNG",
}  # fmt: skip
"""What a file's name promises."""

UNSUPPORTED_EXTENSIONS = frozenset({
    ".avif", ".avifs", ".blp", ".bufr", ".cur", ".dcm", ".dcx", ".dds", ".dng", ".emf", ".eps",
    ".exr", ".fit", ".fits", ".flc", ".fli", ".ftex", ".ftu", ".gbr", ".grib", ".hdf", ".hdr",
    ".heic", ".heif", ".icb", ".icns", ".ico", ".im", ".iim", ".j2c", ".j2k", ".jng", ".jp2",
    ".jpc", ".jpf", ".jpx", ".jxl", ".mic", ".mng", ".msp", ".nef", ".palm", ".pbm", ".pcd",
    ".pcx", ".pfm", ".pgm", ".pic", ".pict", ".pixar", ".pnm", ".ppm", ".psd", ".ps", ".pxr",
    ".qoi", ".ras", ".raw", ".rgb", ".rgba", ".sgi", ".spi", ".spider", ".svg", ".tga", ".vda",
    ".vst", ".vtf", ".wal", ".wmf", ".xbm", ".xpm", ".xvthumb",
})  # fmt: skip
"""Images all the same: named as refused, not passed over as no samples."""


def sniff(head: bytes) -> str | None:
    """The supported format that a file's first 16 bytes announce, or None."""
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:6] in {b"GIF87a", b"GIF89a"}:
        return "GIF"
    if head[:4] in {b"II*\x00", b"MM\x00*"}:
        return "TIFF"
    # A BMP starts with the letters BM, as much else does: ask for its reserved zero bytes too.
    if head[:2] == b"BM" and head[6:10] == b"\x00\x00\x00\x00":
        return "BMP"
    return None
