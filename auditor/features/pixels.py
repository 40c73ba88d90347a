"""The 32×32 pixel view: small enough to keep for every sample, sharp enough for a 3×3 patch."""

from __future__ import annotations

import numpy as np

SIDE = 32

VERSION = "1"


def pixel_view(canvas: np.ndarray) -> np.ndarray:
    """Average a batch of canvases to the pixel view.

    Args:
        canvas: (B, S, S, 3) uint8, 0–255, S a multiple of 32.

    Returns:
        (B, 32, 32, 3) uint8, 0–255.
    """
    batch, side = canvas.shape[0], canvas.shape[1]
    factor = side // SIDE
    if factor == 1:
        return canvas
    blocks = canvas.reshape(batch, SIDE, factor, SIDE, factor, 3).astype(np.uint32)
    total = blocks.sum(axis=(2, 4))
    pixels: np.ndarray = ((total + factor * factor // 2) // (factor * factor)).astype(np.uint8)
    return pixels


def luma(images: np.ndarray) -> np.ndarray:
    """(…, 3) uint8 RGB → (…) float32 luma, 0–255 (ITU-R BT.601 weights)."""
    weights = np.array([0.299, 0.587, 0.114], dtype=np.float32)
    return images.astype(np.float32) @ weights


def perceptual_hash(pixels: np.ndarray) -> np.ndarray:
    """64-bit perceptual hash: signs of the 8×8 lowest DCT coefficients against their median.

    Args:
        pixels: (B, 32, 32, 3) uint8.

    Returns:
        (B,) uint64. Source: Zauner 2010, Implementation and Benchmarking of Perceptual Image
        Hash Functions, §3.2.1; deviation: the 32×32 image comes from box averaging.
    """
    basis = dct_basis(SIDE)[:8]
    low = np.einsum("ui,bij,vj->buv", basis, luma(pixels), basis, optimize=True)
    flat = low.reshape(-1, 64)
    bits = flat > np.median(flat[:, 1:], axis=1, keepdims=True)
    packed: np.ndarray = np.packbits(bits, axis=1).view(">u8").reshape(-1).astype(np.uint64)
    return packed


def dct_basis(size: int) -> np.ndarray:
    """(size, size) float32 orthonormal DCT-II matrix; row u is the u-th cosine."""
    u = np.arange(size)[:, None]
    i = np.arange(size)[None, :]
    matrix = np.sqrt(2.0 / size) * np.cos(np.pi * (2 * i + 1) * u / (2 * size))
    matrix[0] = np.sqrt(1.0 / size)
    basis: np.ndarray = matrix.astype(np.float32)
    return basis
