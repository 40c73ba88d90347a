"""An attack's parameters as numbers: a request holds values of any type."""

from __future__ import annotations

from collections.abc import Mapping


def number(params: Mapping[str, object], name: str) -> float:
    """One parameter as a float."""
    return float(str(params[name]))


def whole(params: Mapping[str, object], name: str) -> int:
    """One parameter as an int."""
    return int(str(params[name]))
