"""The texture probe: does the way an image was processed predict its label?

Quantisation, compression and spectral patterns leave no pixel pattern, but shift the statistics of
every image they touch: block-DCT magnitudes, autocorrelations of residuals, colour moments (the
``texture`` view). The search is that of the shortcut probe (``standing``). Honest data has groups
of one processing too, so such a group says most where content disputes its labels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from auditor.detectors.probing.foreign import with_foreignness
from auditor.detectors.probing.group import CUT
from auditor.detectors.probing.probe import fit_matrix
from auditor.detectors.probing.standing import Standing, fitted_rows, stand_apart, tables
from auditor.interfaces import Detector, Evidence, InapplicableError, Material

PREFIX = "texture"

STRENGTH = 1e-3
"""λ of the view, as for pooled pixels: it has fewer columns than any dataset has samples."""

LEAST_DEVIATION = 1e-4
"""Columns that vary less carry rounding alone (chroma of grey images) and stay at the middle."""

STEPS = 24
"""Steps of a standard deviation: ±5 of them fill eight bits, and a rarer value says no more."""

SPREAD_ROWS = 20_000
"""Rows that set median and deviation of the columns."""

BLOCK = 8_192


def quantise(features: np.ndarray) -> np.ndarray:
    """Standardise (N, D) float columns and round them to uint8, 128 at the median.

    A byte a value keeps a million samples in a quarter of a gigabyte.
    """
    some = np.asarray(features[:: -(-len(features) // SPREAD_ROWS)], np.float32)
    middle = np.median(some, axis=0)
    deviation = some.std(axis=0)
    scale = np.where(deviation > LEAST_DEVIATION, STEPS / np.maximum(deviation, LEAST_DEVIATION), 0)
    coded = np.empty(features.shape, np.uint8)
    for start in range(0, len(features), BLOCK):
        part = (features[start : start + BLOCK] - middle) * scale
        coded[start : start + BLOCK] = np.clip(np.rint(part) + 128, 0, 255)
    return coded


def measure(material: Material) -> Evidence:
    """Measure every class and the disputed samples; columns: ``docs/detectors/texture.md``.

    Raises:
        InapplicableError: too few labelled, distinct samples, or nothing varies.
    """
    index, by_class = fitted_rows(material)
    coded = quantise(material.views["texture"])
    probe = fit_matrix(coded, index, {"texture": (None, STRENGTH)})
    if not probe.views:
        raise InapplicableError("all images have the same texture")
    standing = _halfway(stand_apart(probe, by_class, material))
    told = tables(PREFIX, standing, material)
    return with_foreignness(told, PREFIX, standing, material)


def _halfway(standing: Standing) -> Standing:
    """Members begin halfway to the group: no flat patch hides here, for which the cut is lowered.

    All-to-all at 1 % of 10,000 CIFAR-10 images: 139 samples claimed at the lowered cut for 100
    poisoned ones, 97 halfway, all poisoned.
    """
    spread = standing.spread
    return replace(
        standing,
        best=[replace(one, cut=CUT) for one in standing.best],
        further={
            label: [replace(one, cut=CUT) for one in found]
            for label, found in standing.further.items()
        },
        spread=None
        if spread is None
        else replace(spread, measured=replace(spread.measured, cut=CUT)),
    )


TEXTURE = Detector(
    id="texture",
    version="7",
    title="Texture probe: a group of samples whose processing predicts their label",
    needs=frozenset({"pixels", "texture", "labels"}),
    params={"strength": STRENGTH, "steps": STEPS, "cut": CUT},
    citation="Leave-one-out ridge in closed form (Cook & Weisberg 1982, §2.2), self-trained, on "
    "DCT and residual statistics (cf. Fridrich & Kodovský 2012)",
    run=measure,
)
