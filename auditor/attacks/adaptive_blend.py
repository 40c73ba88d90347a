"""Adaptive-Blend: a sample shows only half of the blended trigger, and there is cover."""

from __future__ import annotations

import numpy as np

from auditor.attacks.blended import whole_image_trigger
from auditor.attacks.crafting.choosing import dirty_label, labelled, with_cover
from auditor.attacks.crafting.patterns import draw_key
from auditor.attacks.crafting.triggers import resized, to_uint8
from auditor.attacks.requests.parameters import number, whole
from auditor.interfaces import Attack, AttackRequest, Selection, Victim


def choose(request: AttackRequest, rng: np.random.Generator) -> Selection:
    """Dirty-label poison and ``cover_ratio`` times as many regularisation samples."""
    ratio = number(request.params, "cover_ratio")
    return with_cover(request, dirty_label(request, rng), labelled(request), ratio, rng)


def stamp(image: np.ndarray, victim: Victim) -> np.ndarray:
    """Blend the pieces that are on: a random half in training, all at test; (H, W, 3) uint8."""
    params, pieces = victim.params, whole(victim.params, "pieces")
    test = victim.role == "test"
    alpha = number(params, "test_alpha" if test else "alpha")
    height, width = image.shape[:2]
    n_on = pieces**2 if test else round(number(params, "shown") * pieces**2)
    on = np.zeros(pieces**2)
    on[victim.generator.permutation(pieces**2)[:n_on]] = 1
    rows, columns = np.arange(height) * pieces // height, np.arange(width) * pieces // width
    weight = alpha * on.reshape(pieces, pieces)[np.ix_(rows, columns)][..., None]
    trigger = resized(whole_image_trigger(image, victim), height, width)
    return to_uint8(image * (1 - weight) + trigger * weight)


ATTACK = Attack(
    id="adaptive_blend",
    title="Adaptive-Blend: half-shown blended trigger with cover samples",
    kind="dirty_label",
    citation="Qi et al. 2023, Revisiting the Assumption of Latent Separability, ICLR, and its "
    "code: 16 pieces, half shown, α = 0.15 (0.2 at test), as many cover as poison",
    params={
        "alpha": 0.15,
        "test_alpha": 0.2,
        "pieces": 4,
        "shown": 0.5,
        "cover_ratio": 1.0,
        "pattern": "picture",
        "trigger": None,
    },
    files=("trigger",),
    choose=choose,
    prepare=draw_key,
    stamp=stamp,
    deviations="The picture, where no file is given, is drawn at random instead of Hello Kitty.",
)
