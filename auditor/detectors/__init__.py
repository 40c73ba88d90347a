"""Detectors: each measures samples from their views, with its own null, and judges nothing."""

from auditor.detectors.shortcut import SHORTCUT
from auditor.interfaces import Detector

DETECTORS: tuple[Detector, ...] = (SHORTCUT,)
"""Every detector a scan runs, in the order of the report."""

__all__ = ["DETECTORS"]
