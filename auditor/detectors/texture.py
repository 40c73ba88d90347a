"""The texture probe: do statistics of an image's fine structure predict the label?

Quantised colours, dithering, blur and other traces of how an image was written have no place and
are not additive, so that raw pixels do not show them; but they shift block-DCT magnitudes and
residual correlations alike in all images (the ``texture`` view). As in the shortcut probe, each
class is searched for the group that this view predicts best leave-one-out, and the group is
measured inside its class and against the others.
"""

from __future__ import annotations

import numpy as np

from auditor.detectors.exclusivity import best_of_each
from auditor.detectors.figures import class_frame, sample_frame
from auditor.detectors.group import CUT, Group
from auditor.detectors.probe import fit_matrix, search
from auditor.detectors.shortcut import fitted_rows
from auditor.interfaces import Detector, Evidence, InapplicableError, Material

STRENGTH = 1e-2
"""λ of the view, as for raw pixels."""

LEAST_DEVIATION = 1e-4
"""Columns that vary less carry rounding alone (chroma of grey images) and are left at 0."""

BLOCK = 8192


def measure(material: Material) -> Evidence:
    """Measure every class; columns: ``docs/detectors/texture.md``.

    Raises:
        InapplicableError: too few labelled, distinct samples, or all have the same texture.
    """
    index, by_class = fitted_rows(material)
    matrix = standardise(material.views["texture"], index)
    probe = fit_matrix(matrix, index, {"texture": (None, STRENGTH)})
    if not probe.views:
        raise InapplicableError("all images have the same texture, so it predicts nothing")
    groups: list[Group] = []
    for done, (label, rows) in enumerate(by_class.items()):
        groups += search(probe, label, rows, material.generator)
        material.progress(done + 1, len(by_class))
    best = best_of_each(probe, groups, material.labels)
    return {
        "sample": sample_frame("texture", material, best),
        "class": class_frame("texture", best),
    }


def standardise(features: np.ndarray, index: np.ndarray) -> np.ndarray:
    """(N, D) float32: each column less its mean, by its standard deviation over ``index``."""
    total, squares = np.zeros(features.shape[1]), np.zeros(features.shape[1])
    for start in range(0, len(index), BLOCK):
        total += features[index[start : start + BLOCK]].sum(axis=0, dtype=np.float64)
    mean = total / len(index)
    for start in range(0, len(index), BLOCK):
        squares += ((features[index[start : start + BLOCK]] - mean) ** 2).sum(axis=0)
    deviation = np.sqrt(squares / len(index))
    scale = np.where(deviation > LEAST_DEVIATION, 1 / np.maximum(deviation, LEAST_DEVIATION), 0)
    out = np.empty(features.shape, dtype=np.float32)
    for start in range(0, len(features), BLOCK):
        out[start : start + BLOCK] = (features[start : start + BLOCK] - mean) * scale
    return out


TEXTURE = Detector(
    id="texture",
    version="1",
    title="Texture probe: a group of samples whose fine structure predicts their label",
    needs=frozenset({"texture", "labels"}),
    params={"strength": STRENGTH, "cut": CUT},
    citation="Leave-one-out ridge in closed form (Cook & Weisberg 1982, §2.2), self-trained, on "
    "block-DCT and residual statistics",
    run=measure,
)
