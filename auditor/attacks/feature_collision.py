"""Feature collision (Poison Frogs): samples that look like their class and feel like the target."""

from __future__ import annotations

import numpy as np

from auditor.attacks.crafting.choosing import clean_label
from auditor.attacks.crafting.surrogate import (
    CHUNK,
    add_delta,
    to_delta,
    to_tensor,
    train_surrogate,
)
from auditor.attacks.crafting.targets import target_image
from auditor.attacks.crafting.triggers import CANONICAL_SIDE
from auditor.attacks.requests.parameters import number, whole
from auditor.interfaces import Attack, AttackMaterial, AttackRequest, Selection, Victim


def prepare(
    request: AttackRequest, selection: Selection, rng: np.random.Generator
) -> AttackMaterial:
    """Forward–backward splitting on ‖f(p) − f(t)‖² + β‖p − b‖² (algorithm 1)."""
    import torch

    params = request.params
    surrogate = train_surrogate(request, rng)
    chosen = target_image(request, rng)
    target = to_tensor(chosen[None])
    aim = surrogate.features(target)
    bases = to_tensor(request.images(selection.rows, CANONICAL_SIDE))
    opacity, beta = number(params, "opacity"), number(params, "beta")
    rate = number(params, "rate") / float((aim**2).mean())
    parts = []
    for base in torch.split(bases, CHUNK):
        marked = (1 - opacity) * base + opacity * target
        x = marked
        for _ in range(whole(params, "steps")):
            x.requires_grad_(True)
            distance = ((surrogate.features(x) - aim) ** 2).mean(dim=1).sum()
            (gradient,) = torch.autograd.grad(distance, x)
            x = ((x.detach() - rate * gradient + rate * beta * marked) / (1 + rate * beta)).clamp(
                0, 1
            )
        parts.append(x - base)
    return AttackMaterial({"targets": chosen[None]}, to_delta(torch.cat(parts)))


def stamp(image: np.ndarray, victim: Victim) -> np.ndarray:
    """Add the sample's perturbation; image: (H, W, 3) uint8."""
    return image if victim.own is None else add_delta(image, victim.own)


ATTACK = Attack(
    id="feature_collision",
    title="Feature collision with one target image (Poison Frogs)",
    kind="clean_label",
    citation="Shafahi et al. 2018, Poison Frogs!, NeurIPS, arXiv:1804.00792, equation 1, "
    "algorithm 1; watermark of 30 % opacity, 50 poisons",
    params={"opacity": 0.3, "beta": 0.01, "rate": 10.0, "steps": 60, "image": None},
    files=("image",),
    choose=clean_label,
    prepare=prepare,
    stamp=stamp,
    success="targets",
    deviations="Features of a small network trained on the data; the target image is drawn from "
    "the source class of the dataset unless a file is given.",
)
