"""Direct gradient poisoning: wrongly labelled samples, each as harmful as can be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from auditor.attacks.crafting.choosing import draw, in_place, labelled
from auditor.attacks.crafting.surrogate import Surrogate, to_delta, to_tensor, train_surrogate
from auditor.attacks.crafting.triggers import CANONICAL_SIDE
from auditor.attacks.feature_collision import stamp
from auditor.attacks.label_flip import random_other
from auditor.errors import UsageError
from auditor.interfaces import Attack, AttackMaterial, AttackRequest, Selection

if TYPE_CHECKING:
    from torch import Tensor

VALIDATION = 64
"""Normal samples whose loss is to rise, drawn anew for each group."""

INNER_RATE = 0.05
"""Learning rate of the victim's one step that the attack looks ahead over: an assumption about the
victim, not tuned."""


@dataclass(frozen=True, slots=True)
class Harm:
    """The loss of normal samples after the victim has learnt from the poisons for one step."""

    surrogate: Surrogate
    normal: Callable[[], tuple[Tensor, Tensor]]

    def __call__(self, poisons: Tensor, labels: Tensor) -> Tensor:
        """L(x_n; w − η·∂L(x_p)/∂w): poisons (B, 3, 32, 32), labels (B,) → scalar."""
        import torch
        from torch.func import functional_call
        from torch.nn.functional import cross_entropy

        network = torch.nn.Sequential(self.surrogate.body, self.surrogate.head)
        weights = dict(network.named_parameters())

        def loss(now: Mapping[str, Tensor], images: Tensor, given: Tensor) -> Tensor:
            scaled = (images - self.surrogate.mean) / self.surrogate.deviation
            return cross_entropy(functional_call(network, dict(now), (scaled,)), given)

        gradients = torch.autograd.grad(
            loss(weights, poisons, labels), list(weights.values()), create_graph=True
        )
        after = {
            name: weight - INNER_RATE * gradient
            for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
        }
        return loss(after, *self.normal())


def choose(request: AttackRequest, rng: np.random.Generator) -> Selection:
    """Any labelled sample, with a random wrong label or the target's.

    Raises:
        UsageError: fewer than two classes.
    """
    if request.n_classes < 2:
        raise UsageError(f"got {request.n_classes} class(es), expected at least 2 for this attack")
    eligible = labelled(request)
    if request.target is not None:
        eligible = eligible[request.labels[eligible] != request.target]
    rows = draw(request, eligible, request.budget, "labelled", rng)
    if request.target is not None:
        return in_place(rows, np.full(len(rows), request.target))
    return in_place(rows, random_other(request.labels[rows], request.n_classes, rng))


def make_harm(request: AttackRequest, selection: Selection, rng: np.random.Generator) -> Harm:
    """Train the surrogate; the normal samples are any labelled ones that stay as they are."""
    import torch

    surrogate = train_surrogate(request, rng)
    for weight in (*surrogate.body.parameters(), *surrogate.head.parameters()):
        weight.requires_grad_(True)
    rows = np.setdiff1d(labelled(request), selection.rows)
    rows = rng.permutation(rows if len(rows) else labelled(request))[: 16 * VALIDATION]
    images = to_tensor(request.images(rows, CANONICAL_SIDE))
    labels = torch.from_numpy(request.labels[rows])

    def normal() -> tuple[Tensor, Tensor]:
        some = torch.from_numpy(rng.integers(len(rows), size=VALIDATION))
        return images[some], labels[some]

    return Harm(surrogate, normal)


def climb(harm: Harm, images: Tensor, labels: Tensor, params: dict[str, float]) -> Tensor:
    """Gradient ascent on the harm, a group of poisons at a time; images: (M, 3, 32, 32), 0–1."""
    import torch

    steps, group = int(params["steps"]), int(params["group"])
    size = params["epsilon"] / 255 * 2 / steps
    results = []
    for first in range(0, len(images), group):
        base, given = images[first : first + group], labels[first : first + group]
        x = base.clone()
        for _ in range(steps):
            x.requires_grad_(True)
            (gradient,) = torch.autograd.grad(harm(x, given), x)
            bound = params["epsilon"] / 255
            x = x.detach() + size * gradient.sign()
            x = torch.minimum(torch.maximum(x, base - bound), base + bound).clamp(0, 1)
        results.append(x)
    return torch.cat(results)


def numbers(request: AttackRequest) -> dict[str, float]:
    """The attack's parameters as numbers."""
    return {name: float(str(value)) for name, value in request.params.items()}


def prepare(
    request: AttackRequest, selection: Selection, rng: np.random.Generator
) -> AttackMaterial:
    """Climb from the chosen samples under their wrong labels."""
    import torch

    harm = make_harm(request, selection, rng)
    bases = to_tensor(request.images(selection.rows, CANONICAL_SIDE))
    labels = torch.from_numpy(selection.labels)
    return AttackMaterial({}, to_delta(climb(harm, bases, labels, numbers(request)) - bases))


ATTACK = Attack(
    id="direct_gradient",
    title="Direct gradient poisoning",
    kind="availability",
    citation="Yang et al. 2017, Generative Poisoning Attack Method Against Neural Networks, "
    "arXiv:1703.01340 (direct gradient method)",
    params={"epsilon": 64.0, "steps": 10, "group": 8},
    choose=choose,
    prepare=prepare,
    stamp=stamp,
    success="accuracy",
    deviations="Signed steps within ±ε; eight poisons look ahead over one victim step together.",
)
