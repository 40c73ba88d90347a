"""The moving-trigger probe: does one small patch, wherever it lies, predict the label?

The shortcut probe sees triggers that keep their place. This one asks the same of each image's most
unusual window (``salient``), whose place does not count: inside each class it looks for the group
whose windows predict one another (``candidates``). A group that stands out is laid over itself and
carried over to every image that has its trigger (``template``), then measured inside its class and
against the others as every group is (``group``, ``exclusivity``).
"""

from __future__ import annotations

import numpy as np
import polars as pl

from auditor.detectors.exclusivity import Measured, against_others, best_of_each
from auditor.detectors.group import CUT, Group
from auditor.detectors.probe import Probe, fit_matrix, is_grey, search
from auditor.detectors.salient import FEATURES, FLOOR, SIDE, Salient, fourier, salient
from auditor.detectors.standing import fitted_rows
from auditor.detectors.template import REACH, background, grow
from auditor.interfaces import Detector, Evidence, InapplicableError, Material

STRENGTH = 1e-2
"""λ of the view, as for raw pixels."""

MIN_SEED = 8
"""Least members of a group that is carried over: 0.3 % of 10,000 images with an 8×8 square gave
groups of 10 to 19, as its images show different parts of it; all 30 were found from them."""

SEED_CONTRAST = 2.5
SEED_GAP = 0.2
SEED_EXCESS = 0.1
"""A seed is carried over from here on: well under any gate, and few clean classes reach it, so that
clean data costs no template."""

CLASS_SCHEMA = {
    "label": pl.Int64,
    "moving_n": pl.Int64,
    "moving_separation": pl.Float64,
    "moving_contrast": pl.Float64,
    "moving_gap": pl.Float64,
    "moving_shoulder": pl.Float64,
    "moving_excess": pl.Float64,
    "moving_strength": pl.Float64,
    "moving_seed_n": pl.Int64,
    "moving_seed_contrast": pl.Float64,
}


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
    seeds = best_of_each(probe, groups, material.labels)
    best = _carried_over(probe, images, windows, seeds, material.labels)
    material.progress(len(by_class) + 1, len(by_class) + 1)
    return {
        "sample": _samples(material, best),
        "class": pl.DataFrame(
            [_figures(one, seed) for one, seed in zip(best, seeds, strict=True)],
            schema=CLASS_SCHEMA,
        ),
    }


def _carried_over(
    probe: Probe,
    images: np.ndarray,
    windows: Salient,
    seeds: list[Measured],
    labels: np.ndarray,
) -> list[Measured]:
    """Each seed that stands out, grown to all images with its trigger; the others as they are."""
    behind = None
    best = []
    for seed in seeds:
        chosen = seed
        if _stands_out(seed):
            behind = behind or background(images, probe.index)
            grown = grow(images, seed.group, windows.centres, behind)
            if grown is not None and _holds(grown[0], seed.group):
                chosen = against_others(probe, *grown, labels)
        best.append(chosen)
    return best


def _stands_out(seed: Measured) -> bool:
    return (
        seed.group.contrast >= SEED_CONTRAST
        and seed.group.gap >= SEED_GAP
        and seed.excess <= SEED_EXCESS
    )


def _holds(grown: Group, seed: Group) -> bool:
    """Whether a template kept its seed: one that lost it found something else, or nothing."""
    return 2 * int((grown.members & seed.members).sum()) > seed.size


def _samples(material: Material, best: list[Measured]) -> pl.DataFrame:
    """Each row's place beside the best group of its class."""
    score = np.full(len(material.rows), np.nan)
    for one in best:
        score[material.labels == one.group.label] = one.scores(one.places)
    frame = pl.DataFrame({"row": material.rows, "moving_score": score})
    return frame.with_columns(pl.col("moving_score").fill_nan(None)).with_columns(
        moving_member=pl.col("moving_score") > CUT
    )


def _figures(one: Measured, seed: Measured) -> dict[str, float | int]:
    return {
        "label": one.group.label,
        "moving_n": one.group.size,
        "moving_separation": one.group.separation,
        "moving_contrast": one.group.contrast,
        "moving_gap": one.group.gap,
        "moving_shoulder": one.group.shoulder,
        "moving_excess": one.excess,
        "moving_strength": one.group.strength,
        "moving_seed_n": seed.group.size,
        "moving_seed_contrast": seed.group.contrast,
    }


MOVING = Detector(
    id="moving",
    version="1",
    title="Moving-trigger probe: a small patch that predicts the label wherever it lies",
    needs=frozenset({"pixels", "labels"}),
    params={"side": SIDE, "floor": FLOOR, "features": FEATURES, "reach": REACH, "cut": CUT},
    citation="Leave-one-out ridge (Cook & Weisberg 1982, §2.2) on random Fourier features "
    "(Rahimi & Recht 2007) of each image's most unusual window; matched filter (Turin 1960)",
    run=measure,
)
