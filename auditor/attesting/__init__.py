"""Signed results: attest a scan, verify it before training, guard each read while training."""

from auditor.attesting.opening import AttestationError, Trust

__all__ = ["AttestationError", "Trust"]
