"""JSON that others wrote: bounded in size and depth, and no key twice in one object."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from auditor.errors import UsageError

MAX_BYTES = 1 << 26
"""64 MiB; the largest metadata file among those that MLCommons publishes has 0.3 MB."""

MAX_DEPTH = 64
"""Levels; Croissant's own vocabulary needs about ten."""


def load_json(path: Path, data: bytes) -> tuple[Any, tuple[str, ...]]:
    """Parse; also return the keys that stood twice in one object, of which parsers take either.

    Raises:
        UsageError: no JSON, too deep, or not UTF-8.
    """
    twice: list[str] = []

    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, value in pairs:
            if key in values:
                twice.append(key)
            values[key] = value
        return values

    try:
        value = json.loads(data, object_pairs_hook=build, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise UsageError(f"{str(path)!r}: no valid JSON: {reason}") from None
    if max(_depths(value)) > MAX_DEPTH:
        raise UsageError(f"{str(path)!r}: nested deeper than {MAX_DEPTH} levels; not read")
    return value, tuple(sorted(set(twice)))


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _depths(value: Any) -> Iterator[int]:
    """The depth of every container, without recursion."""
    yield 0
    pending = [(value, 1)]
    while pending:
        item, depth = pending.pop()
        if isinstance(item, dict | list):
            yield depth
            inner = item.values() if isinstance(item, dict) else item
            pending.extend((one, depth + 1) for one in inner)
