"""What the scan and its workers say to each other: JSON tasks one way, Arrow tables back.

A worker handles hostile bytes and may have been taken over by them, so nothing it says is ever
unpickled: a reply is an Arrow IPC stream behind its length, checked before it is believed.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import BinaryIO

import pyarrow as pa

LENGTH = struct.Struct("<Q")
PROGRESS = struct.Struct("<qQ")
"""(index of the sample in hand or −1, steps taken): the shared page that names a culprit."""

MAX_REPLY = 1 << 31
"""Bytes; a shard's reply is a few MB, so a larger length is a broken or hostile worker."""


def encode_task(task: Mapping[str, object]) -> bytes:
    """One line of ASCII JSON; lone surrogates of undecodable file names survive the trip."""
    return json.dumps(task, ensure_ascii=True).encode("ascii") + b"\n"


def decode_task(line: bytes) -> dict[str, object]:
    """The inverse of `encode_task`."""
    task: dict[str, object] = json.loads(line)
    return task


def write_reply(stream: BinaryIO, table: pa.Table) -> None:
    """Send a table as one length-prefixed Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    payload = sink.getvalue()
    stream.write(LENGTH.pack(payload.size))
    stream.write(payload)
    stream.flush()


def parse_reply(payload: bytes | bytearray) -> pa.Table:
    """Read a reply and validate every buffer (``validate(full=True)``).

    Raises:
        pa.ArrowException, OSError, ValueError, KeyError: the payload is no well-formed stream.
    """
    with pa.ipc.open_stream(pa.py_buffer(payload)) as reader:
        table = reader.read_all()
    table.validate(full=True)
    return table


def pack_schema(n_pixels: int, n_texture: int) -> pa.Schema:
    """What is stored of a decoded sample, keyed by the sha256 of its bytes.

    Args:
        n_pixels: values of the uint8 pixel view.
        n_texture: values of the float32 texture view.
    """
    return pa.schema(
        [
            ("sha256", pa.binary(32)),
            ("width", pa.uint32()),
            ("height", pa.uint32()),
            ("mode", pa.string()),
            ("format", pa.string()),
            ("perceptual_hash", pa.uint64()),
            ("luma_mean", pa.float32()),
            ("luma_deviation", pa.float32()),
            ("encoder", pa.string()),
            ("software", pa.string()),
            ("trailing", pa.uint32()),
            ("payload", pa.string()),
            ("text_bytes", pa.uint32()),
            ("icc_bytes", pa.uint32()),
            ("credentials", pa.bool_()),
            ("located", pa.bool_()),
            ("thumbnail", pa.float32()),
            ("scaling", pa.float32()),
            ("pixels", pa.binary(n_pixels)),
            ("texture", pa.binary(4 * n_texture)),
        ]
    )


REPLY = pa.schema(
    [
        ("sha256", pa.binary(32)),
        ("n_bytes", pa.uint64()),
        ("label", pa.string()),
        ("source", pa.string()),
        ("time", pa.int64()),
        ("promised_format", pa.string()),
        ("refusal", pa.string()),
        ("detail", pa.string()),
        ("known", pa.int64()),
        ("decoded", pa.int64()),
    ]
)
"""What a worker says of each sample of a shard, in order.

``known`` is its place in the index of stored samples, or −1; ``decoded`` its place among the
shard's newly decoded samples, or −1. Refused samples have neither.
"""
