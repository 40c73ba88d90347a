"""Noise injection: samples keep their label and drown in pixel noise."""

from __future__ import annotations

import numpy as np

from auditor.attacks.crafting.choosing import draw, in_place, labelled
from auditor.attacks.crafting.triggers import to_uint8
from auditor.attacks.requests.parameters import number
from auditor.interfaces import Attack, AttackRequest, Selection, Victim


def choose(request: AttackRequest, rng: np.random.Generator) -> Selection:
    """Any labelled sample, or those of the source class; labels stay."""
    eligible = labelled(request)
    if request.source_class is not None:
        eligible = np.flatnonzero(request.labels == request.source_class)
    rows = draw(request, eligible, request.budget, "labelled", rng)
    return in_place(rows, request.labels[rows])


def stamp(image: np.ndarray, victim: Victim) -> np.ndarray:
    """Add normal noise of standard deviation ``sigma``; image: (H, W, 3) uint8."""
    sigma = number(victim.params, "sigma")
    return to_uint8(image + victim.generator.normal(0, sigma, size=image.shape))


ATTACK = Attack(
    id="noise_injection",
    title="Noise injection: pixel noise on whole samples",
    kind="availability",
    citation="Hendrycks, Dietterich 2019, ImageNet-C, ICLR, arXiv:1903.12261 (Gaussian noise; its "
    "severity 5 has σ = 0.38·255)",
    params={"sigma": 97.0},
    choose=choose,
    stamp=stamp,
    success="accuracy",
)
