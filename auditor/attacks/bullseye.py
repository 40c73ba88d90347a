"""Bullseye polytope: the mean of the poisons' features lies on the target's."""

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
    """Minimise ‖φ(t) − mean φ(p)‖²/‖φ(t)‖² within ±ε."""
    import torch

    params = request.params
    surrogate = train_surrogate(request, rng)
    chosen = target_image(request, rng)
    aim = surrogate.features(to_tensor(chosen[None]))
    bases = to_tensor(request.images(selection.rows, CANONICAL_SIDE))
    group = whole(params, "group")

    def loss(x: torch.Tensor, place: slice) -> torch.Tensor:
        found = surrogate.features(x)
        means = torch.stack([part.mean(dim=0) for part in torch.split(found, group)])
        return ((means - aim) ** 2).sum() / (aim**2).sum()

    epsilon = number(params, "epsilon") / 255
    bent = perturb(bases, loss, epsilon, whole(params, "steps"))
    return AttackMaterial({"targets": chosen[None]}, to_delta(bent - bases))


ATTACK = Attack(
    id="bullseye",
    title="Bullseye polytope around one target image",
    kind="clean_label",
    citation="Aghakhani et al. 2021, Bullseye Polytope, EuroS&P, arXiv:2005.00191; five poisons a "
    "polytope, ε = 0.1·255",
    params={"epsilon": 25.0, "steps": 60, "group": 5, "image": None},
    files=("image",),
    choose=clean_label,
    prepare=prepare,
    stamp=stamp,
    success="targets",
    deviations="One surrogate instead of an ensemble; all polytopes surround the same target.",
)
