"""Where the work runs: isolated worker processes on this machine."""

from auditor.engines.local import Limits, WorkerPool

__all__ = ["Limits", "WorkerPool"]
