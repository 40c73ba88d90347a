"""One sample's encoded bytes on their way from a reader to the decoder, and the metadata ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pyarrow as pa

Ask = Callable[[Mapping[str, object]], pa.Table]
"""Runs one task in an isolated worker: how a reader looks into a hostile file's structure."""


@dataclass(frozen=True, slots=True)
class EncodedSample:
    """Bytes, or the reason why there are none; ``name`` tells what format the name promises."""

    data: bytes | None
    refusal: str | None = None
    detail: str = ""
    name: str = ""
    label: str | None = None
    source: str | None = None
    time: int | None = None
    """Microseconds since 1970, UTC."""
