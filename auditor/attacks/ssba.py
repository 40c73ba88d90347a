"""SSBA-like: an invisible residual of its own for each sample, made from the sample's texture."""

from __future__ import annotations

import functools

import numpy as np
import scipy.ndimage

from auditor.attacks.crafting.choosing import dirty_label
from auditor.attacks.crafting.patterns import draw_key, key_of, smooth_field
from auditor.attacks.crafting.triggers import resized, to_uint8
from auditor.attacks.requests.parameters import number
from auditor.interfaces import Attack, Victim

CANVAS = 32
KERNELS = 4


@functools.lru_cache(maxsize=8)
def kernels(key: int) -> np.ndarray:
    """(KERNELS, 5, 5) float64: random filters without a mean, of unit norm."""
    drawn = np.random.default_rng([key, 3]).normal(size=(KERNELS, 5, 5))
    drawn -= drawn.mean(axis=(1, 2), keepdims=True)
    unit: np.ndarray = drawn / np.linalg.norm(drawn, axis=(1, 2), keepdims=True)
    return unit


def residual(image: np.ndarray, key: int) -> np.ndarray:
    """(H, W, 3) float64 of unit root mean square: what is added to this image.

    The secret (a keyed smooth code per filter) modulates the image's own filtered texture, passed
    through a saturation as a network's last layer would: r = Σ_k c_k · tanh((w_k ∗ x)/σ_k).
    """
    height, width = image.shape[:2]
    small = resized(image, CANVAS, CANVAS).astype(np.float64)
    total = np.zeros((CANVAS, CANVAS, 3))
    for k, kernel in enumerate(kernels(key)):
        code = smooth_field(key + 7 * (k + 1), CANVAS, CANVAS, 8)
        texture = scipy.ndimage.convolve(small, kernel[..., None], mode="reflect")
        total += code * np.tanh(1 + texture / (texture.std() + 1e-6))
    zoom = (height / CANVAS, width / CANVAS, 1)
    grown = total if zoom == (1, 1, 1) else scipy.ndimage.zoom(total, zoom, order=1)
    unit: np.ndarray = grown / np.sqrt((grown**2).mean())
    return unit


def stamp(image: np.ndarray, victim: Victim) -> np.ndarray:
    """Add the residual; image: (H, W, 3) uint8."""
    strength = number(victim.params, "strength")
    return to_uint8(image + strength * residual(image, key_of(victim)))


ATTACK = Attack(
    id="ssba",
    title="SSBA-like: invisible, sample-specific residual",
    kind="dirty_label",
    citation="Li et al. 2021, Invisible Backdoor Attack with Sample-Specific Triggers, ICCV, "
    "arXiv:2012.03816",
    params={"strength": 8.0},
    choose=dirty_label,
    prepare=draw_key,
    stamp=stamp,
    deviations="The steganographic encoder is a fixed random filter bank with a keyed code instead "
    "of a trained network; ``strength`` is the residual's root mean square on 0–255 (8 is 30 dB).",
)
