"""The smallest trigger that turns a network's answers to a class, searched for from nothing.

A network that learnt a backdoor may have a shortcut to its target: a few pixels do for every image
what no few pixels do for another class (Wang et al. 2019, Neural Cleanse). For triggers that cover
the image, the same search for a pattern that is added to every pixel, a universal perturbation
(Moosavi-Dezfooli et al. 2017) found by gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from auditor.features.network import Hardware
from auditor.features.training import Scaling, forward

BATCH = 64
GOAL = 0.95
"""Share of a batch that must be answered with the class. Wang et al. take 0.99, of a network that
is right on more images than a victim of 12 epochs."""

RATE, BETAS = 0.1, (0.5, 0.9)
"""Of Adam, as in the code of Wang et al."""

FIRST_WEIGHT = 1e-3
FACTOR = 1.5
PATIENCE = 3
"""The weight of the size grows by 1.5 after 3 batches that reach the goal, and falls by 1.5^1.5
after 3 that do not: the schedule of Wang et al.'s code (patience 5 epochs), for fewer steps."""

HALF = 127.5
UNIT = 64.0
"""Grey levels a unit of an added pattern, so that one learning rate suits both forms."""


@dataclass(frozen=True, slots=True)
class Form:
    """A kind of trigger, made of unbounded numbers that gradients can move.

    Attributes:
        n_steps: batches a class. Sizes are then within a tenth of those of nearly twice as many.
        channels: last axis of each array of numbers; the others are 1, S, S.
        start: deviation of the numbers that the search starts from.
        stamp: (numbers, (B, S, S, 3) float images, 0–255) → the stamped images.
        size: numbers → what shall be small.
    """

    n_steps: int
    channels: tuple[int, ...]
    start: float
    stamp: Callable[[Sequence[torch.Tensor], torch.Tensor], torch.Tensor]
    size: Callable[[Sequence[torch.Tensor]], torch.Tensor]


def replaced(free: Sequence[torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    """The patch (1 − m)·x + m·p, mask m in 0–1, pattern p in 0–255."""
    mask, pattern = (free[0].tanh() + 1) / 2, (free[1].tanh() + 1) * HALF
    return (1 - mask) * images + mask * pattern


FORMS: Mapping[str, Form] = {
    "patch": Form(120, (1, 3), 0.1, replaced, lambda free: ((free[0].tanh() + 1) / 2).sum()),
    "shift": Form(
        100, (3,), 0.01, lambda free, images: (images + free[0] * UNIT).clamp(0, 255),
        lambda free: (free[0] * UNIT).square().mean().sqrt(),
    ),
}  # fmt: skip
"""A patch, its size the L1 norm of its mask in pixels; a shift, its root mean square in grey
levels."""


@dataclass(frozen=True, slots=True)
class Inverted:
    """What a search found.

    Attributes:
        form: of the trigger.
        numbers: that it is made of.
        size: least size of a batch that reached the goal; of the last step where none did.
        reached: whether one did.
    """

    form: Form
    numbers: tuple[torch.Tensor, ...]
    size: float
    reached: bool

    def apply(self, images: np.ndarray) -> np.ndarray:
        """Stamp (B, S, S, 3) uint8 images: float32, 0–255."""
        stamped: np.ndarray = self.form.stamp(self.numbers, torch.from_numpy(images)).numpy()
        return stamped


def invert(
    network: nn.Sequential,
    images: np.ndarray,
    label: int,
    scale: Scaling,
    hardware: Hardware,
    seed: int,
    form: Form,
) -> Inverted:
    """Search the least trigger that turns images to a class.

    Args:
        network: ``Sequential(body, head)``, in evaluation mode.
        images: (M, S, S, 3) uint8 of other classes, M ≥ 1.
        label: the class.
        scale: the network's input scaling.
        hardware: device and precision.
        seed: of the first trigger and of the batches.
        form: of the trigger.

    Source: Wang et al. 2019, §V-A, eq. 2–3. Deviations: a fixed number of batches in place of
    epochs over the training data; the least trigger of any batch that reaches the goal is kept.
    """
    generator = torch.Generator().manual_seed(seed)
    given = torch.from_numpy(images)
    side = images.shape[1]
    free = [
        (torch.randn((1, side, side, width), generator=generator) * form.start).requires_grad_()
        for width in form.channels
    ]
    optimizer = torch.optim.Adam(free, lr=RATE, betas=BETAS)
    weight = Weight()
    best: tuple[float, tuple[torch.Tensor, ...]] | None = None
    order = torch.empty(0, dtype=torch.int64)
    for _ in range(form.n_steps):
        if not len(order):
            order = torch.randperm(len(given), generator=generator)
        chosen, order = order[:BATCH], order[BATCH:]
        stamped = form.stamp(free, given[chosen]).to(hardware.device)
        logits = forward(network, stamped, scale, hardware)[1].cpu()
        size = form.size(free)
        loss = functional.cross_entropy(logits, torch.full((len(chosen),), label))
        success = float((logits.argmax(1) == label).float().mean())
        if success >= GOAL and (best is None or size.item() < best[0]):
            best = size.item(), tuple(value.detach().clone() for value in free)
        optimizer.zero_grad()
        (loss + weight.value * size).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        weight.adapt(success >= GOAL)
    if best is not None:
        return Inverted(form, best[1], best[0], True)
    last = tuple(value.detach() for value in free)
    return Inverted(form, last, form.size(last).item(), False)


class Weight:
    """The weight of the size in the loss, raised while the goal is met and lowered while it is not.

    Source: Wang et al. 2019, §V-A, "adjusted dynamically during optimization", and their code.
    """

    def __init__(self) -> None:
        self.value = FIRST_WEIGHT
        self._met = 0
        self._missed = 0

    def adapt(self, met: bool) -> None:
        """Take note of a batch."""
        self._met, self._missed = (self._met + 1, 0) if met else (0, self._missed + 1)
        if self._met == PATIENCE:
            self.value *= FACTOR
            self._met = 0
        elif self._missed == PATIENCE:
            self.value /= FACTOR**FACTOR
            self._missed = 0
