"""The texture view: statistics of block-DCT coefficients, residuals and colour, no network.

Natural classes are hard to tell apart here, while many invisible triggers (warping, quantisation,
spectral patterns) shift these statistics in the same way on every sample they are stamped on.
"""

from __future__ import annotations

import numpy as np

from auditor.features.pixels import dct_basis

VERSION = "1"

BLOCK = 8

N_FEATURES = 3 * 64 + 3 * 10 + 9
"""64 log mean absolute DCT coefficients and 10 residual statistics a channel, 9 colour moments."""


def texture_view(canvas: np.ndarray) -> np.ndarray:
    """Texture statistics of a batch.

    Args:
        canvas: (B, S, S, 3) uint8, 0–255, S a multiple of 8.

    Returns:
        (B, `N_FEATURES`) float32: per YCbCr channel the log mean absolute coefficient of each of
        the 64 8×8 DCT frequencies over the image's blocks, and autocorrelations of second
        differences (lag 1 and 2, along and across both axes, divided by the local energy; a warp
        or a blur changes them); then mean, standard deviation and skewness of each channel.
    """
    ycc = _ycbcr(canvas)
    parts = [_dct_statistics(ycc), _residual_statistics(ycc), _moments(ycc)]
    return np.concatenate(parts, axis=1, dtype=np.float32)


def _ycbcr(canvas: np.ndarray) -> np.ndarray:
    """(B, S, S, 3) uint8 RGB → (B, 3, S, S) float32 YCbCr, luma 0–255, chroma centred on 0."""
    matrix = np.array(
        [[0.299, 0.587, 0.114], [-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]], np.float32
    )
    return np.ascontiguousarray((canvas.astype(np.float32) @ matrix.T).transpose(0, 3, 1, 2))


def _dct_statistics(ycc: np.ndarray) -> np.ndarray:
    """(B, 3, S, S) → (B, 192): log(1 + mean |coefficient|) over the blocks of each channel."""
    batch, channels, side, _ = ycc.shape
    n = side // BLOCK
    basis = dct_basis(BLOCK)
    blocks = ycc.reshape(batch, channels, n, BLOCK, n, BLOCK)
    rows = np.einsum("ui,bcpiqj->bcpuqj", basis, blocks, optimize=True)
    coefficients = np.matmul(rows, basis.T)
    mean = np.abs(coefficients).mean(axis=(2, 4))
    logs: np.ndarray = np.log1p(mean).reshape(batch, channels * BLOCK * BLOCK)
    return logs


def _residual_statistics(ycc: np.ndarray) -> np.ndarray:
    """(B, 3, S, S) → (B, 30): normalised lagged products of second differences on both axes."""
    columns = [
        *_axis_statistics(ycc),
        *_axis_statistics(ycc.swapaxes(2, 3)),
    ]
    return np.stack(columns, axis=2).reshape(ycc.shape[0], -1)


def _axis_statistics(ycc: np.ndarray) -> list[np.ndarray]:
    second = ycc[:, :, :, 2:] - 2 * ycc[:, :, :, 1:-1] + ycc[:, :, :, :-2]
    energy = np.mean(second * second, axis=(2, 3)) + 1.0
    lag = [
        np.mean(second[..., 1:] * second[..., :-1], axis=(2, 3)) / energy,
        np.mean(second[..., 2:] * second[..., :-2], axis=(2, 3)) / energy,
        np.mean(second[:, :, 1:] * second[:, :, :-1], axis=(2, 3)) / energy,
        np.mean(second[:, :, 2:] * second[:, :, :-2], axis=(2, 3)) / energy,
    ]
    return [np.log(energy), *lag]


def _moments(ycc: np.ndarray) -> np.ndarray:
    """(B, 3, S, S) → (B, 9): mean, standard deviation and skewness of each channel."""
    mean = ycc.mean(axis=(2, 3))
    centred = ycc - mean[:, :, None, None]
    deviation = np.sqrt(np.mean(centred * centred, axis=(2, 3))) + 1.0
    skewness = np.mean(centred**3, axis=(2, 3)) / deviation**3
    return np.concatenate([mean, deviation, skewness], axis=1)
