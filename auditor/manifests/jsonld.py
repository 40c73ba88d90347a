"""Just enough JSON-LD to read one object's properties, however its keys are prefixed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def local(name: str) -> str:
    """The last part of a key or type: ``sc:sha256``, ``https://schema.org/sha256`` → ``sha256``."""
    for mark in "#/:":
        name = name.rpartition(mark)[2]
    return name


def items(node: Mapping[str, Any], name: str) -> list[Any]:
    """Every value of a property, under whatever prefixes it stands; lists are opened."""
    found: list[Any] = []
    for key, value in node.items():
        if key == name or local(key) == name:
            found.extend(value if isinstance(value, list) else [value])
    return [value for value in found if value is not None]


def texts(node: Mapping[str, Any], name: str) -> list[str]:
    """The values of a property as text; ``{"@value": …}`` and ``{"@id": …}`` are opened."""
    found: list[str] = []
    for value in items(node, name):
        if isinstance(value, dict):
            value = value.get("@value", value.get("@id"))
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            found.append(str(value))
    return found


def reference(node: Mapping[str, Any], name: str) -> list[str]:
    """The names of other nodes that a property refers to, in 0.8's and 1.0's spelling."""
    found: list[str] = []
    for value in items(node, name):
        if isinstance(value, dict):
            inner = [*texts(value, "@id"), *(t for k in ("fileObject", "fileSet", "field",
                     "distribution", "recordSet") for t in texts(value, k))]  # fmt: skip
            found.extend(inner)
        elif isinstance(value, str):
            found.append(value)
    return found
