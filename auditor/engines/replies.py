"""What a worker answers for a shard: a row a sample, and a pack of what it decoded anew."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import numpy as np
import pyarrow as pa

from auditor.engines.wire import REPLY, pack_schema
from auditor.features import N_FEATURES, perceptual_hash, pixel_view, texture_view
from auditor.features.pixels import SIDE, luma
from auditor.readers.decode import Decoded
from auditor.readers.exif import Exif
from auditor.readers.sample import EncodedSample
from auditor.readers.signatures import EXTENSIONS


def blank_row(sample: EncodedSample) -> dict[str, Any]:
    """What is known of a sample before its bytes are looked at."""
    suffix = PurePath(sample.name).suffix.lower()
    return {
        "sha256": None, "n_bytes": None, "label": utf8(sample.label),
        "source": utf8(sample.source), "time": sample.time,
        "promised_format": EXTENSIONS.get(suffix),
        "refusal": sample.refusal, "detail": utf8(sample.detail) or None, "known": -1,
        "decoded": -1,
    }  # fmt: skip


def utf8(value: str | None) -> str | None:
    """Valid UTF-8 for Arrow."""
    return None if value is None else value.encode("utf-8", "backslashreplace").decode("utf-8")


def refused_reply(size: int, reason: str, detail: str) -> pa.Table:
    """The reply for a shard of ``size`` samples of which none could be read."""
    blank = blank_row(EncodedSample(None, reason, detail))
    return shard_reply([blank] * size, [])


def shard_reply(rows: list[dict[str, Any]], fresh: list[tuple[bytes, Decoded]]) -> pa.Table:
    """The rows as one table, with the pack of newly decoded samples in its schema's metadata."""
    table = pa.Table.from_pylist(rows, schema=REPLY)
    if not fresh:
        return table
    sink = pa.BufferOutputStream()
    pack = _pack(fresh)
    with pa.ipc.new_file(sink, pack.schema) as writer:
        writer.write_table(pack)
    return table.replace_schema_metadata({b"pack": sink.getvalue().to_pybytes()})


def _pack(fresh: list[tuple[bytes, Decoded]]) -> pa.Table:
    """Views and measures of the newly decoded samples, a batch for each canvas size."""
    size = len(fresh)
    pixels = np.empty((size, SIDE, SIDE, 3), np.uint8)
    texture = np.empty((size, N_FEATURES), np.float32)
    for side in sorted({decoded.pixels.shape[0] for _, decoded in fresh}):
        at = [i for i, (_, decoded) in enumerate(fresh) if decoded.pixels.shape[0] == side]
        canvas = np.stack([fresh[i][1].pixels for i in at])
        pixels[at] = pixel_view(canvas)
        texture[at] = texture_view(canvas)
    light = luma(pixels).reshape(size, -1)
    schema = pack_schema(pixels[0].size, N_FEATURES)
    decoded_rows = [decoded for _, decoded in fresh]
    columns = [
        pa.array([digest for digest, _ in fresh], pa.binary(32)),
        pa.array([row.width for row in decoded_rows], pa.uint32()),
        pa.array([row.height for row in decoded_rows], pa.uint32()),
        pa.array([row.mode for row in decoded_rows]),
        pa.array([row.format for row in decoded_rows]),
        pa.array(perceptual_hash(pixels)),
        pa.array(light.mean(axis=1)),
        pa.array(light.std(axis=1)),
        *_making(decoded_rows),
        _fixed(pixels.reshape(size, -1)),
        _fixed(texture.view(np.uint8)),
    ]
    return pa.table(columns, schema=schema)


def _making(rows: list[Decoded]) -> list[pa.Array]:
    """How the samples were made: the columns ``encoder`` to ``scaling`` of a pack."""
    made = [row.encoding for row in rows]
    exif = [row.exif or Exif() for row in rows]
    software = [one.software or other.software for one, other in zip(made, exif, strict=True)]
    return [
        pa.array([utf8(one.encoder) for one in made], pa.string()),
        pa.array([utf8(one) for one in software], pa.string()),
        pa.array([one.trailing for one in made], pa.uint32()),
        pa.array([one.payload for one in made], pa.string()),
        pa.array([one.text_bytes for one in made], pa.uint32()),
        pa.array([one.icc_bytes for one in made], pa.uint32()),
        pa.array([one.credentials for one in made], pa.bool_()),
        pa.array([one.located for one in exif], pa.bool_()),
        pa.array([one.disagreement for one in exif], pa.float32()),
        pa.array([row.scaling for row in rows], pa.float32()),
    ]


def _fixed(rows: np.ndarray) -> pa.Array:
    """(B, W) uint8 → B fixed-size binaries of W bytes, without a copy a row."""
    buffer = pa.py_buffer(np.ascontiguousarray(rows))
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(rows.shape[1]), len(rows), [None, buffer])
