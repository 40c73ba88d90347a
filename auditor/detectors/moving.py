"""The moving-trigger probe: does one small patch, wherever it lies, predict the label?

The shortcut probe sees triggers that keep their place. This one asks the same of each image's most
unusual window (``salient``), whose place does not count: inside each class it looks for the group
whose windows predict one another (``candidates``). A group that stands out is laid over itself and
carried over to every image that has its trigger (``template``), then measured inside its class and
against the others as every group is (``group``, ``exclusivity``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from auditor.detectors.probing.exclusivity import Measured, against_others, best_of_each
from auditor.detectors.probing.figures import figures, figures_schema, nearest, sample_frame
from auditor.detectors.probing.group import CUT, Group
from auditor.detectors.probing.probe import Probe, fit_matrix, is_grey, search
from auditor.detectors.probing.salient import FEATURES, FLOOR, SIDE, fourier, salient
from auditor.detectors.probing.searching import MIN_CLASS_ROWS, Search
from auditor.detectors.probing.standing import fitted_rows
from auditor.detectors.probing.template import REACH, Background, background, grow
from auditor.interfaces import Detector, Evidence, InapplicableError, Material

STRENGTH = 1e-2
"""λ of the view, as for raw pixels."""

MIN_SEED = 8
"""Least members of a group that is carried over: 0.3 % of 10,000 images with an 8×8 square gave
groups of 10 to 19, as its images show different parts of it; all 30 were found from them."""

SEED_CONTRAST = 2.0
SEED_GAP = 0.1
SEED_EXCESS = 0.1
"""A seed is carried over from here on: well under any gate, and few clean classes reach it, so that
clean data costs few templates. A white patch on photos seeds at contrast 2.3 to 2.9."""

CLEAR_SIZE = 20
CLEAR_CONTRAST = 4.0
CLEAR_GAP = 0.3
CLEAR_EXCESS = 0.03
"""Where a class has a group as clear as the certain rule asks, it is searched for another trigger:
of three in one class, two were found instead of one. Further groups count only if as clear."""

MAX_FURTHER = 3


def measure(material: Material) -> Evidence:
    """Measure every class; columns: ``docs/detectors/moving.md``.

    Raises:
        InapplicableError: too few labelled, distinct samples, or no window differs from another.
    """
    index, by_class = fitted_rows(material)
    pixels = material.views["pixels"]
    images = pixels[..., :1] if is_grey(pixels) else pixels
    windows = salient(images, index)
    features = fourier(windows.patches, index, material.generator)
    probe = fit_matrix(features, index, {"salient": (None, STRENGTH)})
    if not probe.views:
        raise InapplicableError("all images are identical, so no window stands out")
    groups: list[Group] = []
    for done, (label, rows) in enumerate(by_class.items()):
        found = search(probe, label, rows, material.generator)
        groups += [group for group in found if group.size >= MIN_SEED]
        material.progress(done + 1, len(by_class) + 1)
    seeds = _without_copies(probe, best_of_each(probe, groups, material.labels), by_class, material)
    scene = _Scene(probe, images, windows.centres, background(images, index), material.labels)
    best = [_carried_over(scene, seed) for seed in seeds]
    further = [
        one for first in best if _is_clear(first) for one in _peel(scene, first, material.generator)
    ]
    material.progress(len(by_class) + 1, len(by_class) + 1)
    grown = [one is not seed for one, seed in zip(best, seeds, strict=True)]
    score = nearest(material.labels, best + further)
    return {
        "sample": sample_frame(material.rows, {"moving": score}),
        "class": _class_table(best, grown),
    }


def _without_copies(
    probe: Probe,
    seeds: Sequence[Measured],
    by_class: Mapping[int, np.ndarray],
    material: Material,
) -> list[Measured]:
    """The seeds; where one is of copies of a picture, the next of its class that is none."""
    looked = Search(probe, material, dict(by_class), np.zeros(len(material.labels), dtype=bool))
    nobody = np.empty(0, np.int64)
    kept = [looked.without_copies(seed, nobody) for seed in seeds]
    return [one for one in kept if one is not None and one.group.size >= MIN_SEED]


def _class_table(best: Sequence[Measured], grown: Sequence[bool]) -> pl.DataFrame:
    """The figures of each class's best group, and whether it was carried over to more images."""
    rows = [
        {"label": one.group.label} | figures("moving", one) | {"moving_grown": more}
        for one, more in zip(best, grown, strict=True)
    ]
    schema = {"label": pl.Int64} | figures_schema("moving") | {"moving_grown": pl.Boolean}
    # No rule on a moving patch asks for these two, so they are not part of its evidence.
    return pl.DataFrame(rows, schema=schema).drop("moving_share", "moving_edge")


@dataclass(frozen=True, slots=True)
class _Scene:
    """What carrying a group over needs: the fitted view, the images and what they are like."""

    probe: Probe
    images: np.ndarray
    centres: np.ndarray
    behind: Background
    labels: np.ndarray


def _carried_over(scene: _Scene, seed: Measured) -> Measured:
    """A seed that stands out, grown to all images with its trigger; another as it is."""
    if not _stands_out(seed):
        return seed
    grown = grow(scene.images, seed.group, scene.centres, scene.behind)
    if grown is None or not _holds(grown[0], seed.group):
        return seed
    return against_others(scene.probe, *grown, scene.labels)


def _peel(scene: _Scene, first: Measured, generator: np.random.Generator) -> list[Measured]:
    """Further clear groups of a class, each searched for without the members of those before."""
    found: list[Measured] = []
    left = first.group.rows[~first.group.members]
    while len(found) < MAX_FURTHER and len(left) >= MIN_CLASS_ROWS:
        groups = search(scene.probe, first.group.label, left, generator)
        seeds = [group for group in groups if group.size >= MIN_SEED]
        for seed in best_of_each(scene.probe, seeds, scene.labels):
            one = _carried_over(scene, seed)
            if not _is_clear(one):
                return found
            found.append(one)
            left = left[~one.group.members]
        if not seeds:
            break
    return found


def _is_clear(one: Measured) -> bool:
    return (
        one.group.size >= CLEAR_SIZE
        and one.group.contrast >= CLEAR_CONTRAST
        and one.group.gap >= CLEAR_GAP
        and one.excess <= CLEAR_EXCESS
    )


def _stands_out(seed: Measured) -> bool:
    return (
        seed.group.contrast >= SEED_CONTRAST
        and seed.group.gap >= SEED_GAP
        and seed.excess <= SEED_EXCESS
    )


def _holds(grown: Group, seed: Group) -> bool:
    """Whether a template kept its seed: one that lost it found something else, or nothing."""
    return 2 * int((grown.members & seed.members).sum()) > seed.size


MOVING = Detector(
    id="moving",
    version="2",
    title="Moving-trigger probe: a small patch that predicts the label wherever it lies",
    needs=frozenset({"pixels", "labels"}),
    params={"side": SIDE, "floor": FLOOR, "features": FEATURES, "reach": REACH, "cut": CUT},
    citation="Leave-one-out ridge (Cook & Weisberg 1982, §2.2) on random Fourier features "
    "(Rahimi & Recht 2007) of each image's most unusual window; matched filter (Turin 1960)",
    run=measure,
)
