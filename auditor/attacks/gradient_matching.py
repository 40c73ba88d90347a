"""Gradient matching (Witches' Brew): a training step on the poisons misreads one image."""

from __future__ import annotations

import numpy as np

from auditor.attacks.crafting.choosing import clean_label
from auditor.attacks.crafting.surrogate import perturb, to_delta, to_tensor, train_surrogate
from auditor.attacks.crafting.targets import target_image
from auditor.attacks.crafting.triggers import CANONICAL_SIDE
from auditor.attacks.feature_collision import stamp
from auditor.attacks.requests.parameters import number, whole
from auditor.interfaces import Attack, AttackMaterial, AttackRequest, Selection


def prepare(
    request: AttackRequest, selection: Selection, rng: np.random.Generator
) -> AttackMaterial:
    """Minimise 1 − cos(∇L(target as adversary wants it), ∇L(poisons))."""
    import torch

    surrogate = train_surrogate(request, rng)
    weights = [*surrogate.body.parameters(), *surrogate.head.parameters()]
    for weight in weights:
        weight.requires_grad_(True)
    chosen = target_image(request, rng)
    labels = torch.from_numpy(selection.labels)
    entropy = torch.nn.functional.cross_entropy
    wanted = torch.autograd.grad(
        entropy(surrogate.logits(to_tensor(chosen[None])), labels[:1]), weights
    )
    norm = torch.sqrt(sum(((g**2).sum() for g in wanted), torch.zeros(())))
    bases = to_tensor(request.images(selection.rows, CANONICAL_SIDE))

    def loss(x: torch.Tensor, place: slice) -> torch.Tensor:
        ours = torch.autograd.grad(
            entropy(surrogate.logits(x), labels[place]), weights, create_graph=True
        )
        product = sum(((a * b).sum() for a, b in zip(wanted, ours, strict=True)), torch.zeros(()))
        length = torch.sqrt(sum(((g**2).sum() for g in ours), torch.zeros(())))
        return 1 - product / (norm * length + 1e-12)

    epsilon = number(request.params, "epsilon") / 255
    noise = torch.from_numpy(rng.uniform(-epsilon, epsilon, size=bases.shape)).float()
    start = (bases + noise).clamp(0, 1)
    brewed = perturb(bases, loss, epsilon, whole(request.params, "steps"), start)
    return AttackMaterial({"targets": chosen[None]}, to_delta(brewed - bases))


ATTACK = Attack(
    id="gradient_matching",
    title="Gradient matching for one target image (Witches' Brew)",
    kind="clean_label",
    citation="Geiping et al. 2021, Witches' Brew, ICLR, arXiv:2009.02276 (ℓ∞ 16/255)",
    params={"epsilon": 16.0, "steps": 60, "image": None},
    files=("image",),
    choose=clean_label,
    prepare=prepare,
    stamp=stamp,
    success="targets",
    deviations="One restart and 60 steps instead of 8 and 250; poisons are matched 250 at a time.",
)
