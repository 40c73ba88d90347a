"""Detectors: each measures samples from their views, with its own null, and judges nothing."""

from auditor.detectors.activation_clustering import ACTIVATION_CLUSTERING
from auditor.detectors.label_consistency import LABEL_CONSISTENCY
from auditor.detectors.loss import LOSS
from auditor.detectors.moving import MOVING
from auditor.detectors.outlier import OUTLIER
from auditor.detectors.shortcut import SHORTCUT
from auditor.detectors.spectral import SPECTRAL
from auditor.detectors.texture import TEXTURE
from auditor.interfaces import Detector

DETECTORS: tuple[Detector, ...] = (
    SHORTCUT,
    MOVING,
    TEXTURE,
    LABEL_CONSISTENCY,
    LOSS,
    SPECTRAL,
    ACTIVATION_CLUSTERING,
    OUTLIER,
)
"""Every detector a scan runs, in the order of the report."""

__all__ = ["DETECTORS"]
