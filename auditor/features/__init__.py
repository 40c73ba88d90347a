"""Views of a sample: what detectors look at instead of the files."""

from auditor.features.pixels import perceptual_hash, pixel_view
from auditor.features.texture import N_FEATURES, texture_view

VIEWS_VERSION = "3"
"""Part of the key of stored views: raise it when decoding or a training-free view changes."""

__all__ = ["N_FEATURES", "VIEWS_VERSION", "perceptual_hash", "pixel_view", "texture_view"]
