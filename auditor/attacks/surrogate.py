"""The attacker's own network: trained on the clean data, it gives attacks their gradients.

Torch is imported inside functions, so that listing attacks stays fast.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from auditor.attacks.triggers import CANONICAL_SIDE, to_uint8
from auditor.interfaces import AttackRequest

if TYPE_CHECKING:
    from torch import Tensor, nn

MAX_IMAGES = 10_000
"""Training images; more make the attacker's network little better and the attack much slower."""

EPOCHS = 8
BATCH = 128
LEARNING_RATE = 2e-3
"""AdamW, one cycle: 66 % on held-out CIFAR-10 images from 10,000, the best of 1e-3, 2e-3, 5e-3."""

CHUNK = 250
"""Images perturbed at once."""


@dataclass(frozen=True, slots=True)
class Surrogate:
    """A trained network in evaluation mode; images are (B, 3, 32, 32) float, 0–1."""

    body: nn.Module
    head: nn.Module

    def features(self, images: Tensor) -> Tensor:
        """(B, 128) penultimate activations."""
        found: Tensor = self.body((images - 0.5) * 4)
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
    from torch import nn

    rows = np.flatnonzero(request.labels >= 0)
    rows = np.sort(rng.permutation(rows)[:MAX_IMAGES])
    images = to_tensor(request.images(rows, CANONICAL_SIDE))
    labels = torch.from_numpy(request.labels[rows])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**31)))
        body, head = _layers(request.n_classes)
        surrogate = Surrogate(body, head)
        parameters = [*body.parameters(), *head.parameters()]
        steps = EPOCHS * -(-len(rows) // BATCH)
        optimiser = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3 * LEARNING_RATE, steps)
        for _ in range(EPOCHS):
            order = torch.from_numpy(rng.permutation(len(rows)))
            for batch in torch.split(order, BATCH):
                flip = bool(rng.random() < 0.5)
                x = images[batch].flip(3) if flip else images[batch]
                loss = nn.functional.cross_entropy(surrogate.logits(x), labels[batch])
                optimiser.zero_grad()
                torch.autograd.backward(loss)
                optimiser.step()
                schedule.step()
    body.eval()
    for parameter in parameters:
        parameter.requires_grad_(False)
    return surrogate


def _layers(n_classes: int) -> tuple[nn.Module, nn.Module]:
    """Three 3×3 stages of 48, 96 and 128 channels behind a space-to-depth stem: 24 MFLOP."""
    from torch import nn

    def stage(n_in: int, n_out: int) -> list[nn.Module]:
        # GroupNorm: no running statistics, so gradients are the same in training and attack, and
        # a dataset of a few samples works.
        return [nn.Conv2d(n_in, n_out, 3, padding=1, bias=False), nn.GroupNorm(8, n_out), nn.ReLU()]

    body = nn.Sequential(
        nn.PixelUnshuffle(2),
        *stage(12, 48),
        nn.MaxPool2d(2),
        *stage(48, 96),
        nn.MaxPool2d(2),
        *stage(96, 128),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    return body, nn.Linear(128, n_classes)


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
        steps: of size 2.5·ε/steps, at least 1/255 (Madry et al. 2018, arXiv:1706.06083, §5).
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
