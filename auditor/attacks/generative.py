"""Generative poisoning: an auto-encoder learns to make poisons, and then makes them at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from auditor.attacks.crafting.surrogate import CHUNK, to_delta, to_tensor
from auditor.attacks.crafting.triggers import CANONICAL_SIDE
from auditor.attacks.direct_gradient import ATTACK as DIRECT
from auditor.attacks.direct_gradient import Harm, choose, climb, make_harm, numbers
from auditor.attacks.feature_collision import stamp
from auditor.interfaces import Attack, AttackMaterial, AttackRequest, Selection

if TYPE_CHECKING:
    from torch import Tensor, nn

BATCH = 32
RATE = 2e-3
"""Adam's learning rate: an assumption, one order below the usual for images; not tuned."""


def build_generator(seed: int) -> nn.Module:
    """A convolutional auto-encoder, (B, 3, 32, 32) → (B, 3, 32, 32) in −1…1."""
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 16, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(16, 3, 4, stride=2, padding=1),
            nn.Tanh(),
        )


def train_generator(
    harm: Harm, images: Tensor, labels: Tensor, params: dict[str, float], rng: np.random.Generator
) -> nn.Module:
    """Let the generator's output raise the harm, ``rounds`` batches long."""
    import torch

    generator = build_generator(int(rng.integers(2**31)))
    optimiser = torch.optim.Adam(generator.parameters(), lr=RATE)
    for _ in range(int(params["rounds"])):
        some = torch.from_numpy(rng.integers(len(images), size=min(BATCH, len(images))))
        poisons = generate(generator, images[some], params["epsilon"])
        optimiser.zero_grad()
        torch.autograd.backward(-harm(poisons, labels[some]))
        optimiser.step()
    return generator.eval()


def generate(generator: nn.Module, images: Tensor, epsilon: float) -> Tensor:
    """Poisons within ±ε (0–255) of the images, (B, 3, 32, 32), 0–1."""
    poisons: Tensor = (images + epsilon / 255 * generator(images - 0.5)).clamp(0, 1)
    return poisons


def prepare(
    request: AttackRequest, selection: Selection, rng: np.random.Generator
) -> AttackMaterial:
    """Train the generator against the surrogate, then make every poison in one pass."""
    import torch

    params = numbers(request)
    harm = make_harm(request, selection, rng)
    bases = to_tensor(request.images(selection.rows, CANONICAL_SIDE))
    labels = torch.from_numpy(selection.labels)
    generator = train_generator(harm, bases, labels, params, rng)
    with torch.no_grad():
        parts = [generate(generator, x, params["epsilon"]) for x in torch.split(bases, CHUNK)]
    return AttackMaterial({}, to_delta(torch.cat(parts) - bases))


def speed_up(request: AttackRequest, selection: Selection, rng: np.random.Generator) -> float:
    """How many times faster the trained generator makes these poisons than the direct method."""
    import torch

    params = {**numbers(request), **{k: float(str(v)) for k, v in DIRECT.params.items()}}
    harm = make_harm(request, selection, rng)
    bases = to_tensor(request.images(selection.rows, CANONICAL_SIDE))
    labels = torch.from_numpy(selection.labels)
    generator = train_generator(harm, bases, labels, {**params, "rounds": 1.0}, rng)
    start = time.perf_counter()
    climb(harm, bases, labels, params)
    direct = time.perf_counter() - start
    start = time.perf_counter()
    with torch.no_grad():
        generate(generator, bases, params["epsilon"])
    return direct / (time.perf_counter() - start)


ATTACK = Attack(
    id="generative",
    title="Generative poisoning with an auto-encoder",
    kind="availability",
    citation="Yang et al. 2017, Generative Poisoning Attack Method Against Neural Networks, "
    "arXiv:1703.01340 (generative method)",
    params={"epsilon": 64.0, "rounds": 100},
    choose=choose,
    prepare=prepare,
    stamp=stamp,
    success="accuracy",
    deviations="The generator learns from the look-ahead gradient itself, and its output is bound "
    "to ±ε of a normal image.",
)
