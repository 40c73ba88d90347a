"""Hidden trigger: target-class samples whose features are those of patched source-class images."""

from __future__ import annotations

import numpy as np

from auditor.attacks.crafting.choosing import clean_label
from auditor.attacks.crafting.patterns import colour_cells
from auditor.attacks.crafting.surrogate import (
    CHUNK,
    add_delta,
    perturb,
    to_delta,
    to_tensor,
    train_surrogate,
)
from auditor.attacks.crafting.targets import source_class
from auditor.attacks.crafting.triggers import CANONICAL_SIDE, corner_of, paste, scaled
from auditor.attacks.requests.parameters import number, whole
from auditor.interfaces import Attack, AttackMaterial, AttackRequest, Selection, Victim


def patched(image: np.ndarray, key: int, pixels: int, rng: np.random.Generator) -> np.ndarray:
    """Paste the patch at a random place; image: (H, W, 3) uint8."""
    height, width = image.shape[:2]
    side = scaled(pixels, height, width)
    corner = corner_of("random", (side, side), (height, width), rng)
    return paste(image, colour_cells(key, 4, side), np.ones((side, side)), corner, 1.0)


def prepare(
    request: AttackRequest, selection: Selection, rng: np.random.Generator
) -> AttackMaterial:
    """Pull each chosen sample's features onto a patched source image's, within ±ε."""
    import torch

    params, key = request.params, int(rng.integers(2**32))
    pixels = whole(params, "pixels")
    surrogate = train_surrogate(request, rng)
    rows = rng.choice(np.flatnonzero(request.labels == source_class(request)), len(selection.rows))
    sources = [patched(i, key, pixels, rng) for i in request.images(rows, CANONICAL_SIDE)]
    aims = torch.cat(
        [surrogate.features(x) for x in torch.split(to_tensor(np.stack(sources)), CHUNK)]
    )
    bases = to_tensor(request.images(selection.rows, CANONICAL_SIDE))

    def loss(x: torch.Tensor, place: slice) -> torch.Tensor:
        return ((surrogate.features(x) - aims[place]) ** 2).sum()

    epsilon = number(params, "epsilon") / 255
    bent = perturb(bases, loss, epsilon, whole(params, "steps"))
    return AttackMaterial({"key": np.array([key])}, to_delta(bent - bases))


def stamp(image: np.ndarray, victim: Victim) -> np.ndarray:
    """The perturbation in training, the patch at test; image: (H, W, 3) uint8."""
    if victim.role != "test" and victim.own is not None:
        return add_delta(image, victim.own)
    key, pixels = int(victim.shared["key"][0]), whole(victim.params, "pixels")
    return patched(image, key, pixels, victim.generator)


ATTACK = Attack(
    id="hidden_trigger",
    title="Hidden trigger: the patch shows only at test time",
    kind="clean_label",
    citation="Saha, Subramanya, Pirsiavash 2020, Hidden Trigger Backdoor Attacks, AAAI, "
    "arXiv:1910.00033; ε = 16, 8×8 patch at random on CIFAR-10",
    params={"epsilon": 16.0, "steps": 60, "pixels": 8},
    choose=clean_label,
    prepare=prepare,
    stamp=stamp,
    deviations="Samples are paired with patched images at random instead of by greedy matching "
    "anew in every iteration.",
)
