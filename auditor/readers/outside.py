"""Where this tool may write: anywhere but inside the dataset."""

from __future__ import annotations

from pathlib import Path

from auditor.errors import UsageError


def keep_outside(path: Path, dataset: Path, what: str) -> None:
    """Nothing is ever written inside the dataset, or over it.

    Raises:
        UsageError: ``path`` is the dataset, or lies inside it.
    """
    if path.resolve().is_relative_to(dataset.resolve()):
        raise UsageError(
            f"{what} {str(path)!r}: lies inside the dataset, which is only read; name another place"
        )
