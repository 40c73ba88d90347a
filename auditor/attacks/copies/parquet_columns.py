"""Which columns of a Parquet dataset hold images and labels, and what its classes are called."""

from __future__ import annotations

import json
from collections.abc import Callable

import pyarrow as pa

from auditor.errors import UsageError

SUFFIXES = frozenset({".parquet"})


def class_names_of(schema: pa.Schema, label: str | None) -> tuple[str, ...] | None:
    """Class names from the Hugging Face schema metadata (``ClassLabel.names``), or None."""
    raw = (schema.metadata or {}).get(b"huggingface")
    if raw is None or label is None:
        return None
    try:
        feature = json.loads(raw)["info"]["features"][label]
        names = feature.get("names") if isinstance(feature, dict) else None
    except (ValueError, KeyError, TypeError):
        return None
    return tuple(str(n) for n in names) if isinstance(names, list) and names else None


def find_column(
    schema: pa.Schema,
    asked: str | None,
    usual: tuple[str, ...],
    what: str,
    fits: Callable[[pa.DataType], bool],
) -> str | None:
    """The column asked for, else the first usual name that fits; for images, else any that fits.

    Raises:
        UsageError: there is no column of the name asked for.
    """
    if asked is not None:
        if asked not in schema.names:
            raise UsageError(
                f"--{what}: no column {asked!r}; the dataset has {', '.join(schema.names)}"
            )
        return asked
    candidates = [n for n in schema.names if fits(schema.field(n).type)]
    for name in usual:
        if name in candidates:
            return name
    return candidates[0] if what == "image" and candidates else None


def holds_images(kind: pa.DataType) -> bool:
    """Whether values may be encoded images: binary, or a struct with ``bytes``."""
    if pa.types.is_struct(kind):
        names = [kind.field(i).name for i in range(kind.num_fields)]
        return "bytes" in names
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def holds_labels(kind: pa.DataType) -> bool:
    """Whether values may be labels: integers or strings, dictionary-encoded or not."""
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(
        pa.types.is_integer(value) or pa.types.is_string(value) or pa.types.is_large_string(value)
    )
