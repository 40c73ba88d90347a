"""The attacker's own network: trained on the clean data, it gives attacks their gradients.

Torch is imported inside functions, so that listing attacks stays fast.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from auditor.attacks.crafting.triggers import CANONICAL_SIDE, to_uint8
from auditor.interfaces import AttackRequest

if TYPE_CHECKING:
    from torch import Tensor, nn

MAX_IMAGES = 10_000
"""Training images; more make the attacker's network little better and the attack much slower."""

BATCH = 128
CHUNK = 250
"""Images perturbed at once."""


@dataclass(frozen=True, slots=True)
class Surrogate:
    """A trained network in evaluation mode; images are (B, 3, 32, 32) float, 0–1.

    ``mean`` and ``deviation``: (3, 1, 1), of each colour on the 0–1 scale.
    """

    body: nn.Module
    head: nn.Module
    mean: Tensor
    deviation: Tensor

    def features(self, images: Tensor) -> Tensor:
        """(B, D) penultimate activations."""
        found: Tensor = self.body((images - self.mean) / self.deviation)
        return found

    def logits(self, images: Tensor) -> Tensor:
        """(B, K) logits."""
        found: Tensor = self.head(self.features(images))
        return found


def to_tensor(images: np.ndarray) -> Tensor:
    """(B, 32, 32, 3) uint8 → (B, 3, 32, 32) float32, 0–1."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).float() / 255


def to_delta(perturbation: Tensor) -> np.ndarray:
    """(B, 3, 32, 32) on the 0–1 scale → (B, 32, 32, 3) int16 on 0–255."""
    scaled = (perturbation.detach() * 255).round().numpy()
    delta: np.ndarray = scaled.astype(np.int16).transpose(0, 2, 3, 1)
    return delta


def add_delta(image: np.ndarray, delta: np.ndarray, factor: float = 1.0) -> np.ndarray:
    """Add a (32, 32, 3) perturbation, enlarged bilinearly, to an (H, W, 3) uint8 image."""
    import scipy.ndimage

    height, width = image.shape[:2]
    if delta.shape[:2] == (height, width):
        return to_uint8(image + factor * delta)
    zoom = (height / delta.shape[0], width / delta.shape[1], 1)
    grown = scipy.ndimage.zoom(
        delta.astype(np.float64), zoom, order=1, grid_mode=True, mode="nearest"
    )
    return to_uint8(image + factor * grown)


def train_surrogate(request: AttackRequest, rng: np.random.Generator) -> Surrogate:
    """Train on at most `MAX_IMAGES` labelled samples; the same generator gives the same network."""
    import torch

    rows = np.flatnonzero(request.labels >= 0)
    rows = np.sort(rng.permutation(rows)[:MAX_IMAGES])
    pixels = request.images(rows, CANONICAL_SIDE)
    network, mean, deviation = request.train(pixels, request.labels[rows], int(rng.integers(2**31)))
    network = network.eval().float().to(device="cpu", memory_format=torch.contiguous_format)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    body, head = network
    shape = (3, 1, 1)
    return Surrogate(
        body,
        head,
        torch.from_numpy(mean).float().reshape(shape) / 255,
        torch.from_numpy(deviation).float().reshape(shape) / 255,
    )


def perturb(
    images: Tensor,
    loss: Callable[[Tensor, slice], Tensor],
    epsilon: float,
    steps: int,
    start: Tensor | None = None,
) -> Tensor:
    """Signed-gradient descent (PGD) on a loss, within ±ε of the images and within 0–1.

    Args:
        images: (M, 3, 32, 32) float, 0–1.
        loss: (perturbed chunk, its place among the M) → scalar to be made small.
        epsilon: on the 0–1 scale.
        steps: of size 2.5·ε/steps, at least 1/255 (Madry et al. 2018, arXiv:1706.06083).
        start: images to start from; the images themselves if None.

    Returns:
        (M, 3, 32, 32) perturbed images.
    """
    import torch

    size = max(2.5 * epsilon / steps, 1 / 255)
    results = []
    for first in range(0, len(images), CHUNK):
        place = slice(first, min(first + CHUNK, len(images)))
        base = images[place]
        x = base.clone() if start is None else start[place].clone()
        for _ in range(steps):
            x.requires_grad_(True)
            (gradient,) = torch.autograd.grad(loss(x, place), x)
            x = x.detach() - size * gradient.sign()
            x = torch.minimum(torch.maximum(x, base - epsilon), base + epsilon).clamp(0, 1)
        results.append(x)
    return torch.cat(results)
