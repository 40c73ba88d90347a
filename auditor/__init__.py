"""auditor: can this dataset be trusted?

``auditor.scan(path)`` returns a `Report`; ``auditor.poison(plan)`` makes a poisoned copy to test
with; ``auditor.bench(path)`` measures what a scan catches; ``auditor.guard(path, attestation)``
lets a trainer read only what was attested. Nothing heavy is imported before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from auditor.attesting.guard import guard
    from auditor.benching.harness import bench
    from auditor.config import Config
    from auditor.poisoning import poison
    from auditor.report import Report
    from auditor.scanning import scan

_HOMES = {
    "Config": "auditor.config",
    "Report": "auditor.report",
    "bench": "auditor.benching.harness",
    "guard": "auditor.attesting.guard",
    "poison": "auditor.poisoning",
    "scan": "auditor.scanning",
}

__all__ = ["Config", "Report", "__version__", "bench", "guard", "poison", "scan"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'auditor' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
