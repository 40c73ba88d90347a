"""Detectors: each measures samples from their views, with its own null, and judges nothing.

One detector a file; what they share lies in ``probing``, ``labels`` and ``populations``.
"""

from auditor.detectors.activation_clustering import ACTIVATION_CLUSTERING
from auditor.detectors.edges import EDGES
from auditor.detectors.impostor import IMPOSTOR
from auditor.detectors.inflow import INFLOW
from auditor.detectors.label_consistency import LABEL_CONSISTENCY
from auditor.detectors.loss import LOSS
from auditor.detectors.moving import MOVING
from auditor.detectors.outlier import OUTLIER
from auditor.detectors.sharpness import SHARPNESS
from auditor.detectors.shortcut import SHORTCUT
from auditor.detectors.spectral import SPECTRAL
from auditor.detectors.texture import TEXTURE
from auditor.detectors.victim_impostor import VICTIM_IMPOSTOR
from auditor.interfaces import Detector

DETECTORS: tuple[Detector, ...] = (
    SHORTCUT,
    MOVING,
    TEXTURE,
    EDGES,
    LABEL_CONSISTENCY,
    INFLOW,
    LOSS,
    SHARPNESS,
    SPECTRAL,
    ACTIVATION_CLUSTERING,
    IMPOSTOR,
    OUTLIER,
)
"""Every detector a scan runs, in the order of the report."""

THOROUGH: tuple[Detector, ...] = (VICTIM_IMPOSTOR,)
"""What the thorough profile runs besides: detectors of a network that learnt the whole dataset."""

__all__ = ["DETECTORS", "THOROUGH"]
