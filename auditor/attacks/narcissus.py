"""Narcissus-like: a universal perturbation that points towards the target class."""

from __future__ import annotations

import numpy as np

from auditor.attacks.crafting.choosing import clean_label
from auditor.attacks.crafting.surrogate import (
    BATCH,
    add_delta,
    to_delta,
    to_tensor,
    train_surrogate,
)
from auditor.attacks.crafting.triggers import CANONICAL_SIDE
from auditor.attacks.requests.parameters import number, whole
from auditor.interfaces import Attack, AttackMaterial, AttackRequest, Selection, Victim

MAX_TARGETS = 2000
"""Target-class samples that the perturbation is optimised on."""


def prepare(
    request: AttackRequest, selection: Selection, rng: np.random.Generator
) -> AttackMaterial:
    """Minimise the surrogate's loss of target-class samples over one shared δ."""
    import torch

    surrogate = train_surrogate(request, rng)
    target = int(selection.labels[0])
    rows = np.flatnonzero(request.labels == target)
    images = to_tensor(request.images(rng.permutation(rows)[:MAX_TARGETS], CANONICAL_SIDE))
    epsilon = number(request.params, "epsilon") / 255
    steps = whole(request.params, "steps")
    delta = torch.zeros(1, 3, CANONICAL_SIDE, CANONICAL_SIDE)
    for _ in range(steps):
        batch = images[torch.from_numpy(rng.integers(len(images), size=min(BATCH, len(images))))]
        delta.requires_grad_(True)
        logits = surrogate.logits((batch + delta).clamp(0, 1))
        aim = torch.full((len(batch),), target)
        (gradient,) = torch.autograd.grad(torch.nn.functional.cross_entropy(logits, aim), delta)
        # Samples that are already certain give no gradient; normalise instead of taking signs.
        move = gradient / (gradient.abs().mean() + 1e-12)
        delta = (delta.detach() - 2.5 * epsilon / steps * move).clamp(-epsilon, epsilon)
    return AttackMaterial({"delta": to_delta(delta)[0]})


def stamp(image: np.ndarray, victim: Victim) -> np.ndarray:
    """Add δ, three times as strong at test; image: (H, W, 3) uint8."""
    factor = number(victim.params, "test_factor") if victim.role == "test" else 1.0
    return add_delta(image, victim.shared["delta"], factor)


ATTACK = Attack(
    id="narcissus",
    title="Narcissus-like: class-pointing universal perturbation",
    kind="clean_label",
    citation="Zeng et al. 2023, Narcissus, CCS, arXiv:2204.05255; ℓ∞ 16/255, magnified 3× at test",
    params={"epsilon": 16.0, "steps": 300, "test_factor": 3.0},
    choose=clean_label,
    prepare=prepare,
    stamp=stamp,
    deviations="The surrogate learns from the dataset itself, not from other data of the kind, and "
    "is not warmed up on the target class.",
)
