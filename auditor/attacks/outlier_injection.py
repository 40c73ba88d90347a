"""Outlier injection: new samples that show nothing of the data's kind, with random labels."""

from __future__ import annotations

import numpy as np
from PIL import Image

from auditor.attacks.crafting.choosing import fresh, labelled
from auditor.errors import UsageError
from auditor.interfaces import Attack, AttackRequest, Selection, Victim

KINDS = ("noise", "flat", "stripes", "scrambled")


def choose(request: AttackRequest, rng: np.random.Generator) -> Selection:
    """New samples beside random rows, labelled at random (or all with the target's label).

    Raises:
        UsageError: the dataset has no labelled sample.
    """
    eligible = labelled(request)
    if not len(eligible) and request.budget:
        raise UsageError("outlier_injection: got no labelled sample, expected some to stand beside")
    bases = rng.permutation(eligible)[np.arange(request.budget) % max(1, len(eligible))]
    if request.target is not None:
        return fresh(request, bases, np.full(len(bases), request.target))
    return fresh(request, bases, rng.integers(request.n_classes, size=len(bases)))


def stamp(image: np.ndarray, victim: Victim) -> np.ndarray:
    """Noise, a flat colour, stripes, or the base's own pixels out of order; (H, W, 3) uint8."""
    generator, shape = victim.generator, image.shape
    kind = KINDS[int(generator.integers(len(KINDS)))]
    if kind == "noise":
        return generator.integers(0, 256, size=shape, dtype=np.uint8)
    if kind == "flat":
        flat = np.full(shape, generator.integers(0, 256, size=3), dtype=np.uint8)
        return flat ^ generator.integers(0, 4, size=shape, dtype=np.uint8)
    if kind == "stripes":
        lines = generator.integers(0, 256, size=(max(2, shape[0] // 4), 1, 3), dtype=np.uint8)
        picture = Image.fromarray(lines).resize((shape[1], shape[0]), Image.Resampling.NEAREST)
        return np.asarray(picture)
    scrambled: np.ndarray = generator.permutation(image.reshape(-1, 3)).reshape(shape)
    return scrambled


ATTACK = Attack(
    id="outlier_injection",
    title="Outlier injection: meaningless new samples",
    kind="availability",
    citation="Steinhardt, Koh, Liang 2017, Certified Defenses for Data Poisoning Attacks, "
    "NeurIPS, arXiv:1706.03691 (added outliers)",
    params={},
    choose=choose,
    stamp=stamp,
    success="accuracy",
)
