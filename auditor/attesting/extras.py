"""Import what only some users need, and say which extra to install where it is absent."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from auditor.errors import UsageError


def need(module: str, extra: str, purpose: str) -> Any:
    """Import ``module``, which belongs to the extra of that name.

    Args:
        module: dotted name of the module.
        extra: the extra of this package that brings it.
        purpose: what it is for, as in "signing needs …".

    Raises:
        UsageError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise UsageError(
            f"{purpose} needs {module.partition('.')[0]!r}, which is not installed ({error}); "
            f"install it with: pip install 'dataset-auditor[{extra}]'"
        ) from None
