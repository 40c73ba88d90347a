"""Small datasets made on the spot: image folders and Parquet files of every kind that counts."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

NAMES = ["cat", "dog", "emu"]


def picture(i: int, side: int, mode: str, file_format: str) -> bytes:
    """A smooth picture of its own for each ``i``, encoded with Pillow's defaults."""
    generator = np.random.default_rng([i, side])
    channels = 1 if mode == "L" else 3
    coarse = generator.integers(40, 215, size=(4, 4, channels), dtype=np.uint8)
    image = Image.fromarray(coarse.squeeze()).resize((side, side), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    image.save(out, file_format)
    return out.getvalue()


@pytest.fixture
def image_folder(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes class folders: (n, side, mode, file_format) → root."""

    def make(n: int = 30, side: int = 32, mode: str = "RGB", file_format: str = "PNG") -> Path:
        root = tmp_path / f"folder-{side}-{mode}-{file_format}"
        for i in range(n):
            path = root / NAMES[i % 3] / f"img_{i:04d}.{file_format.lower()}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture(i, side, mode, file_format))
        (root / "README.md").write_text("three animals")
        return root

    return make


@pytest.fixture
def parquet_file(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a Hugging Face Parquet file: (n, side, mode, file_format) → path."""

    def make(n: int = 30, side: int = 32, mode: str = "RGB", file_format: str = "PNG") -> Path:
        path = tmp_path / f"data-{side}-{mode}-{file_format}.parquet"
        features = {"image": {"_type": "Image"}, "label": {"names": NAMES, "_type": "ClassLabel"}}
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        schema = pa.schema(
            [("image", kind), ("label", pa.int64()), ("note", pa.string())],
            metadata={"huggingface": json.dumps({"info": {"features": features}})},
        )
        rows = [
            {
                "image": {"bytes": picture(i, side, mode, file_format), "path": None},
                "label": i % 3,
                "note": f"note {i}",
            }
            for i in range(n)
        ]
        table = pa.Table.from_pylist(rows, schema=schema)
        pq.write_table(table, path, row_group_size=8, compression="zstd")
        return path

    return make
