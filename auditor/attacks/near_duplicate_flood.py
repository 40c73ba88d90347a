"""Near-duplicate flooding: a few samples are added again and again, slightly changed."""

from __future__ import annotations

import numpy as np
from PIL import Image

from auditor.attacks.crafting.choosing import fresh, labelled
from auditor.attacks.crafting.triggers import to_uint8
from auditor.attacks.requests.parameters import whole
from auditor.errors import UsageError
from auditor.interfaces import Attack, AttackRequest, Selection, Victim

CROP = 0.06
"""Largest share of the side cut off at the edges before the copy is stretched back."""


def choose(request: AttackRequest, rng: np.random.Generator) -> Selection:
    """About budget / copies base samples, of the source class if named, each added many times.

    Raises:
        UsageError: no sample is eligible.
    """
    eligible = labelled(request)
    if request.source_class is not None:
        eligible = np.flatnonzero(request.labels == request.source_class)
    if not len(eligible) and request.budget:
        raise UsageError("near_duplicate_flood: got no labelled sample, expected some to copy")
    copies = max(1, whole(request.params, "copies"))
    n_bases = min(len(eligible), -(-request.budget // copies))
    bases = rng.permutation(eligible)[:n_bases]
    bases = bases[np.arange(request.budget) % max(1, n_bases)]
    return fresh(request, bases, request.labels[bases])


def stamp(image: np.ndarray, victim: Victim) -> np.ndarray:
    """Crop a little, change brightness and contrast, add faint noise; (H, W, 3) uint8."""
    generator = victim.generator
    height, width = image.shape[:2]
    top, bottom, left, right = generator.uniform(0, CROP / 2, size=4)
    box = (left * width, top * height, width - right * width, height - bottom * height)
    cut = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR, box=box)
    contrast, brightness = generator.uniform(0.95, 1.05), generator.uniform(-6, 6)
    noise = generator.normal(0, 2, size=image.shape)
    return to_uint8((np.asarray(cut) - 128.0) * contrast + 128 + brightness + noise)


ATTACK = Attack(
    id="near_duplicate_flood",
    title="Near-duplicate flooding",
    kind="integrity",
    citation="Carlini et al. 2023, Extracting Training Data from Diffusion Models, USENIX "
    "Security, arXiv:2301.13188 (duplicated samples are memorised)",
    params={"copies": 20},
    choose=choose,
    stamp=stamp,
    success="none",
)
