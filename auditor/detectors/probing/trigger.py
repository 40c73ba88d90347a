"""The fixed pattern that a group of images shares, estimated from the group, and its stamp.

A trigger replaces pixels (a patch) or shifts them (a blend, a wave, a smooth field). The shift is
the mean difference d between the group's n images and others, shrunk towards zero where natural
images vary so much that n of them differ as much by chance: with natural covariance Σ and a pattern
of independent pixels with variance τ², its posterior mean is (I + Σ/(nτ²))⁻¹·d, a ridge regression
of the pattern on what was seen. Replaced pixels show by their variance, which a patch takes away.
Two halves of the group give two estimates; how far they agree says whether a pattern is fixed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

PATTERN_DEVIATION = 24.0
"""τ, grey levels of 0–255. Correlation with the true pattern, CIFAR-10, 40 of 4,000 samples: a
blended picture 0.70 and BadNets 0.97 at 8, 0.83 and 0.96 at 24, 0.88 and 0.91 at 64."""

MAX_ROWS = 2_000
"""Natural images that stand for Σ, and whose mean the group is compared with."""

ROUNDS, TOLERANCE = 60, 1e-4
"""Conjugate gradients stop at a relative residual of 1e-4, grey levels far below one."""

OPAQUE_RATIO = 0.2
"""A pixel is replaced where the group keeps less than a fifth of the natural variance: JPEG leaves
1–5 % of it, a blend of α = 0.2 leaves 64 %."""

LEAST_VARIANCE = 50.0
"""Natural variance a channel below which nothing can be taken away (black borders)."""

MAX_OPAQUE = 0.25
"""A larger replaced area is no patch: images that are alike (shoes on white) look like it."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """A pattern on images of D values (pixels × channels).

    Attributes:
        shift: (D,) float32, what is added, grey levels.
        opaque: (D,) bool, values that are replaced instead.
        values: (D,) float32, by what, 0–255.
        agreement: correlation of the changes that two halves of the group give, −1…1.
    """

    shift: np.ndarray
    opaque: np.ndarray
    values: np.ndarray
    agreement: float

    @property
    def amplitude(self) -> float:
        """Root mean square of the shift, grey levels."""
        return float(np.sqrt(np.mean(np.square(self.shift, dtype=np.float64))))

    def stamp(self, images: np.ndarray) -> np.ndarray:
        """Stamp (B, D) uint8 images: (B, D) uint8."""
        out: np.ndarray = np.rint(self.apply(images)).astype(np.uint8)
        return out

    def apply(self, images: np.ndarray) -> np.ndarray:
        """Stamp (B, D) images of any kind of number, unrounded: (B, D) float32, 0–255."""
        shifted = images.astype(np.float32) + self.shift
        out: np.ndarray = np.clip(np.where(self.opaque, self.values, shifted), 0, 255)
        return out

    def shuffled(self, channels: int, generator: np.random.Generator) -> Trigger:
        """The same changes at other pixels: a control that has all but the arrangement."""
        order = generator.permutation(len(self.shift) // channels)
        moved = (order[:, None] * channels + np.arange(channels)).ravel()
        return replace(
            self, shift=self.shift[moved], opaque=self.opaque[moved], values=self.values[moved]
        )


def estimate(members: np.ndarray, others: np.ndarray, channels: int) -> Trigger:
    """The pattern that ``members`` carry and ``others`` do not.

    Args:
        members: (n, D) uint8, at least 4 images of the group, in random order: its first and
            second half are compared.
        others: (m, D) uint8, natural images; the first ``MAX_ROWS`` are used.
        channels: values a pixel, neighbours in D.
    """
    natural = others[:MAX_ROWS].astype(np.float32)
    mean = natural.mean(axis=0)
    spread = natural.var(axis=0)
    natural -= mean
    group = members.astype(np.float32)
    half = len(group) // 2
    parts = (group, group[:half], group[half:])
    shifts = [shrink(part.mean(axis=0) - mean, natural, len(part)) for part in parts]
    opaque = replaced(group.var(axis=0), spread, channels)
    changes = [
        np.where(opaque, part.mean(axis=0) - mean, shift)
        for part, shift in zip(parts[1:], shifts[1:], strict=True)
    ]
    return Trigger(shifts[0], opaque, np.median(group, axis=0), correlation(*changes))


def channels_of(images: np.ndarray) -> int:
    """Values a pixel of (N, D) square images: 3, or 1 where D itself is a square."""
    width = images.shape[1]
    return 1 if round(width**0.5) ** 2 == width else 3


def shrink(difference: np.ndarray, natural: np.ndarray, n: int) -> np.ndarray:
    """(I + Σ/(nτ²))⁻¹·d by conjugate gradients, Σ = XᵀX/m of the centred rows X: (D,) float32.

    Args:
        difference: d, (D,), mean of the group − mean of natural images.
        natural: X, (m, D) float32, centred.
        n: images in the group.
    """
    weight = np.float32(1 / (len(natural) * n * PATTERN_DEVIATION**2))
    solution = np.zeros(len(difference), np.float32)
    residual = difference.astype(np.float32)
    direction = residual.copy()
    size = float(residual @ residual)
    goal = TOLERANCE**2 * size
    for _ in range(ROUNDS):
        if size <= goal:
            break
        applied = direction + weight * (natural.T @ (natural @ direction))
        step = np.float32(size / float(direction @ applied))
        solution += step * direction
        residual -= step * applied
        previous, size = size, float(residual @ residual)
        direction = residual + np.float32(size / previous) * direction
    return solution


def replaced(inside: np.ndarray, natural: np.ndarray, channels: int) -> np.ndarray:
    """(D,) bool: the pixels whose variance the group lost; none where they are too many.

    Args:
        inside: (D,) variance within the group.
        natural: (D,) variance of natural images.
        channels: values a pixel.
    """
    before = natural.reshape(-1, channels).sum(axis=1)
    after = inside.reshape(-1, channels).sum(axis=1)
    lost = (before >= LEAST_VARIANCE * channels) & (after < OPAQUE_RATIO * before)
    if lost.mean() > MAX_OPAQUE:
        lost = np.zeros_like(lost)
    return np.repeat(lost, channels)


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's r of two patterns; 0 where one is constant."""
    one, other = one - one.mean(dtype=np.float64), other - other.mean(dtype=np.float64)
    scale = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / scale if scale > 0 else 0.0
