"""Label-consistent: target-class samples made hard to recognise, with marks in the corners."""

from __future__ import annotations

import numpy as np

from auditor.attacks.badnets import PATTERNS
from auditor.attacks.crafting.choosing import clean_label
from auditor.attacks.crafting.surrogate import (
    add_delta,
    perturb,
    to_delta,
    to_tensor,
    train_surrogate,
)
from auditor.attacks.crafting.triggers import CANONICAL_SIDE, paste, scaled
from auditor.attacks.requests.parameters import number, whole
from auditor.interfaces import Attack, AttackMaterial, AttackRequest, Selection, Victim


def prepare(
    request: AttackRequest, selection: Selection, rng: np.random.Generator
) -> AttackMaterial:
    """Perturb the chosen samples away from their class (untargeted PGD on a surrogate)."""
    import torch

    surrogate = train_surrogate(request, rng)
    images = to_tensor(request.images(selection.rows, CANONICAL_SIDE))
    labels = torch.from_numpy(selection.labels)

    def loss(x: torch.Tensor, place: slice) -> torch.Tensor:
        return -torch.nn.functional.cross_entropy(surrogate.logits(x), labels[place])

    epsilon = number(request.params, "epsilon") / 255
    harder = perturb(images, loss, epsilon, whole(request.params, "steps"))
    return AttackMaterial({}, to_delta(harder - images))


def stamp(image: np.ndarray, victim: Victim) -> np.ndarray:
    """Add the perturbation (not at test), then the pattern in all corners; (H, W, 3) uint8."""
    if victim.own is not None and victim.role != "test":
        image = add_delta(image, victim.own)
    height, width = image.shape[:2]
    side = scaled(3, height, width)
    steps = np.arange(side) * 3 // side
    patch = np.repeat(PATTERNS["checkerboard"][np.ix_(steps, steps)][..., None], 3, axis=2)
    alpha = 1.0 if victim.role == "test" else number(victim.params, "alpha")
    for corner in ((0, 0), (0, width - side), (height - side, 0), (height - side, width - side)):
        image = paste(image, patch, np.ones((side, side)), corner, alpha)
    return image


ATTACK = Attack(
    id="label_consistent",
    title="Label-consistent: adversarial base and corner marks",
    kind="clean_label",
    citation="Turner, Tsipras, Madry 2019, Label-Consistent Backdoor Attacks, arXiv:1912.02771 "
    "(adversarial perturbation, ℓ∞, ε = 16; trigger in four corners)",
    params={"epsilon": 16.0, "steps": 20, "alpha": 1.0},
    choose=clean_label,
    prepare=prepare,
    stamp=stamp,
    deviations="The perturbation comes from a small network trained on the data, not from an "
    "adversarially trained one; images other than 32×32 get it enlarged.",
)
