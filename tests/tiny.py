"""Tiny datasets that tests write: pictures, folders of them, Parquet files."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image


def picture(seed: int, width: int = 40, height: int = 36, mode: str = "RGB") -> Image.Image:
    """A smooth random picture: no two seeds look alike."""
    generator = np.random.default_rng(seed)
    small = generator.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    large = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    return large.convert(mode)


def encode(image: Image.Image, format_: str = "PNG", **options: Any) -> bytes:
    """The image's file bytes."""
    out = io.BytesIO()
    image.save(out, format_, **options)
    return out.getvalue()


def write_folder(
    root: Path, classes: Mapping[str, int], seed: int = 0, format_: str = "PNG"
) -> Path:
    """``root/<class>/<n>.<format>``; the pictures of all classes differ."""
    suffix = {"PNG": "png", "JPEG": "jpg"}[format_]
    for place, (name, n) in enumerate(classes.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            data = encode(picture(seed + 1000 * place + i), format_)
            (root / name / f"{i:03d}.{suffix}").write_bytes(data)
    return root


def pictures(n: int, seed: int = 0) -> list[bytes]:
    """``n`` different PNG files."""
    return [encode(picture(seed + i)) for i in range(n)]


def features(names: Mapping[str, Sequence[object]]) -> dict[bytes, bytes]:
    """Schema metadata as Hugging Face writes it, with class names a column."""
    kinds = {name: {"names": list(values), "_type": "ClassLabel"} for name, values in names.items()}
    return {b"huggingface": json.dumps({"info": {"features": kinds}}).encode()}


def write_parquet(
    path: Path,
    columns: Mapping[str, Any],
    metadata: Mapping[bytes, bytes] | None = None,
    **options: Any,
) -> Path:
    """A Parquet file of these columns (lists or Arrow arrays)."""
    table = pa.table(dict(columns))
    if metadata:
        table = table.replace_schema_metadata(dict(metadata))
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, **options)
    return path


def structs(images: Sequence[bytes | None], paths: Sequence[str | None] | None = None) -> pa.Array:
    """The Hugging Face image column: struct<bytes, path>."""
    names = paths or [f"{i}.png" for i in range(len(images))]
    rows = [{"bytes": b, "path": p} for b, p in zip(images, names, strict=True)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.array(rows, kind)


def list_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every folder is listed from its last name to its first."""
    real = os.scandir

    class Backwards:
        def __init__(self, folder: str) -> None:
            self.entries = sorted(real(folder), key=lambda entry: entry.name, reverse=True)

        def __enter__(self) -> list[os.DirEntry[str]]:
            return self.entries

        def __exit__(self, *_: object) -> None:
            return None

    monkeypatch.setattr(os, "scandir", Backwards)
