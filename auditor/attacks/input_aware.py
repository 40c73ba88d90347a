"""Input-aware trigger: every image gets a pattern of its own, at places of its own."""

from __future__ import annotations

import numpy as np
import scipy.ndimage

from auditor.attacks.crafting.choosing import dirty_label, labelled, with_cover
from auditor.attacks.crafting.patterns import key_of, smooth_field
from auditor.attacks.crafting.triggers import resized, to_uint8
from auditor.attacks.requests.parameters import number
from auditor.interfaces import Attack, AttackMaterial, AttackRequest, Selection, Victim

CANVAS = 32


def choose(request: AttackRequest, rng: np.random.Generator) -> Selection:
    """Dirty-label poison and ``cover_ratio`` times as many with another image's trigger."""
    ratio = number(request.params, "cover_ratio")
    return with_cover(request, dirty_label(request, rng), labelled(request), ratio, rng)


def prepare(
    request: AttackRequest, selection: Selection, rng: np.random.Generator
) -> AttackMaterial:
    """A key, and for every sample another image: cover samples wear that one's trigger."""
    others = rng.integers(len(request.labels), size=len(selection.rows))
    shared = {"key": rng.integers(2**32, size=1)}
    return AttackMaterial(shared, request.images(others, CANVAS))


def trigger(image: np.ndarray, key: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Pattern (32, 32, 3) float 0–255 and mask (32, 32) bool, both functions of the image.

    Two fixed random filters stand for the paper's generator networks: the mask is where the first
    responds most, the colour is a keyed field whose sign the second one turns.
    """
    small = resized(image, CANVAS, CANVAS).astype(np.float64)
    filters = np.random.default_rng([key, 5]).normal(size=(2, 5, 5, 3))
    filters -= filters.mean(axis=(1, 2, 3), keepdims=True)
    responses = []
    for kernel in filters:
        parts = [scipy.ndimage.convolve(small[..., c], kernel[..., c]) for c in range(3)]
        responses.append(np.sum(parts, axis=0))
    strength = scipy.ndimage.gaussian_filter(np.abs(responses[0]), 0.7)
    mask = strength >= np.quantile(strength, 1 - share)
    colour = np.sign(smooth_field(key, CANVAS, CANVAS, 4) + 1e-9)
    turned = np.where(responses[1] > np.median(responses[1]), 1.0, -0.3)
    return 127.5 + 127.5 * colour * turned[..., None], mask


def stamp(image: np.ndarray, victim: Victim) -> np.ndarray:
    """Paint the image's own trigger, a cover sample another image's; (H, W, 3) uint8."""
    height, width = image.shape[:2]
    base = victim.own if victim.role == "cover" and victim.own is not None else image
    pattern, mask = trigger(base, key_of(victim), number(victim.params, "share"))
    weight = resized((mask * 255).astype(np.uint8), height, width, smooth=False)[..., None] / 255
    colours = resized(to_uint8(pattern), height, width, smooth=False)
    return to_uint8(image * (1 - weight) + colours * weight)


ATTACK = Attack(
    id="input_aware",
    title="Input-aware: a trigger of its own for every image, with cross-trigger cover",
    kind="dirty_label",
    citation="Nguyen, Tran 2020, Input-Aware Dynamic Backdoor Attack, NeurIPS, arXiv:2010.08138; "
    "as many cross-trigger as poisoned samples",
    params={"share": 0.05, "cover_ratio": 1.0},
    choose=choose,
    prepare=prepare,
    stamp=stamp,
    deviations="Fixed random filters instead of generators trained along with the victim, which "
    "needs control of its training.",
)
