"""Image-scaling attack: the image shows something else once it is scaled down."""

from __future__ import annotations

import numpy as np

from auditor.attacks.crafting.choosing import draw, in_place, labelled
from auditor.attacks.crafting.triggers import resized
from auditor.attacks.requests.parameters import whole
from auditor.interfaces import Attack, AttackMaterial, AttackRequest, Selection, Victim

HIDDEN_SIDE = 64


def choose(request: AttackRequest, rng: np.random.Generator) -> Selection:
    """Any labelled sample (of the source class, if named); labels stay."""
    eligible = labelled(request)
    if request.source_class is not None:
        eligible = np.flatnonzero(request.labels == request.source_class)
    rows = draw(request, eligible, request.budget, "labelled", rng)
    return in_place(rows, request.labels[rows])


def prepare(
    request: AttackRequest, selection: Selection, rng: np.random.Generator
) -> AttackMaterial:
    """The hidden pictures: samples of other classes (of the target, if named)."""
    labels = request.labels
    hidden = np.empty(len(selection.rows), dtype=np.int64)
    for i, row in enumerate(selection.rows):
        other = labels >= 0 if request.target is None else labels == request.target
        pool = np.flatnonzero(other & (labels != labels[row]))
        hidden[i] = rng.choice(pool) if len(pool) else row
    return AttackMaterial({}, request.images(hidden, HIDDEN_SIDE))


def taps(size: int, small: int) -> np.ndarray:
    """(small, 2) int64: the source pixels that bilinear scaling without a filter reads.

    Output pixel i lies at (i + ½)·size/small − ½; its two neighbours carry all the weight
    (OpenCV INTER_LINEAR and torch's interpolate without antialiasing).
    """
    centre = (np.arange(small) + 0.5) * size / small - 0.5
    low = np.clip(np.floor(centre).astype(np.int64), 0, size - 1)
    return np.stack([low, np.minimum(low + 1, size - 1)], axis=1)


def stamp(image: np.ndarray, victim: Victim) -> np.ndarray:
    """Write the hidden picture into the pixels that scaling will read; (H, W, 3) uint8."""
    assert victim.own is not None
    height, width = image.shape[:2]
    asked = whole(victim.params, "side")
    # Scaling by less than three would overwrite most of the picture: hide it smaller then.
    small = min(asked, min(height, width) // 3)
    hidden = resized(victim.own, small, small)
    out = image.copy()
    rows, columns = taps(height, small), taps(width, small)
    for i in range(2):
        for j in range(2):
            out[np.ix_(rows[:, i], columns[:, j])] = hidden
    return out


def revealed(image: np.ndarray, side: int) -> np.ndarray:
    """What a pipeline that scales without a filter sees: (side, side, 3) uint8."""
    height, width = image.shape[:2]
    rows, columns = taps(height, side), taps(width, side)
    seen: np.ndarray = image[np.ix_(rows[:, 0], columns[:, 0])]
    return seen


ATTACK = Attack(
    id="image_scaling",
    title="Image-scaling attack: other content after downsampling",
    kind="integrity",
    citation="Xiao et al. 2019, Seeing is Not Believing, USENIX Security; analysed in Quiring "
    "et al. 2020, Adversarial Preprocessing, USENIX Security",
    params={"side": 32},
    choose=choose,
    prepare=prepare,
    stamp=stamp,
    success="none",
    deviations="The pixels are set outright instead of by quadratic programming; JPEG blurs them, "
    "and so the hidden picture.",
)
