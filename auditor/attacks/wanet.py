"""WaNet: an elastic warp of the image as the trigger, with randomly warped cover samples."""

from __future__ import annotations

import functools

import numpy as np
import scipy.ndimage

from auditor.attacks.crafting.choosing import dirty_label, labelled, with_cover
from auditor.attacks.crafting.patterns import draw_key, key_of
from auditor.attacks.crafting.triggers import CANONICAL_SIDE, to_uint8
from auditor.attacks.requests.parameters import number, whole
from auditor.interfaces import Attack, AttackRequest, Selection, Victim


def choose(request: AttackRequest, rng: np.random.Generator) -> Selection:
    """Dirty-label poison, and ``cover_ratio`` times as many warped at random with their label."""
    ratio = number(request.params, "cover_ratio")
    return with_cover(request, dirty_label(request, rng), labelled(request), ratio, rng)


@functools.lru_cache(maxsize=32)
def field(key: int, height: int, width: int, cells: int) -> np.ndarray:
    """(2, H, W) float64: ψ(P_k), the control grid of mean magnitude 1, bicubically enlarged."""
    control = np.random.default_rng([key, 4]).uniform(-1, 1, size=(2, cells, cells))
    control /= np.abs(control).mean()
    rows = np.linspace(0, cells - 1, height)
    columns = np.linspace(0, cells - 1, width)
    grid = np.meshgrid(rows, columns, indexing="ij")
    return np.stack(
        [scipy.ndimage.map_coordinates(c, grid, order=3, mode="nearest") for c in control]
    )


def stamp(image: np.ndarray, victim: Victim) -> np.ndarray:
    """Warp the image, a cover sample by a field with noise of its own; (H, W, 3) uint8.

    In the paper's normalised coordinates (−1…1) the field is s·ψ/H, so it moves pixels by s·ψ/2
    at 32×32; larger images are moved in proportion.
    """
    height, width = image.shape[:2]
    params = victim.params
    scale = min(height, width) / CANONICAL_SIDE / 2
    shift = number(params, "s") * field(key_of(victim), height, width, whole(params, "k"))
    if victim.role == "cover":
        # Noise mode: W(x, M + rand_[−1,1]).
        shift = shift + victim.generator.uniform(-1, 1, size=(2, height, width))
    grid = np.mgrid[:height, :width].astype(np.float64)
    # The authors clip the sampling grid to the image (grid_sample on [−1, 1]).
    where = np.stack(
        [
            np.clip(g + scale * d, 0, n - 1)
            for g, d, n in zip(grid, shift, (height, width), strict=True)
        ]
    )
    channels = [
        scipy.ndimage.map_coordinates(image[..., c].astype(np.float64), where, order=1)
        for c in range(3)
    ]
    return to_uint8(np.stack(channels, axis=2))


ATTACK = Attack(
    id="wanet",
    title="WaNet: imperceptible warping, with cover samples",
    kind="dirty_label",
    citation="Nguyen, Tran 2021, WaNet, ICLR, arXiv:2102.10369; k = 4, s = 0.5, twice as much "
    "noise as attack",
    params={"k": 4, "s": 0.5, "cover_ratio": 2.0},
    choose=choose,
    prepare=draw_key,
    stamp=stamp,
    deviations="Data poisoning only (the paper controls training); displacement grows with the "
    "image, for at 224×224 the published one is a quarter of a pixel.",
)
