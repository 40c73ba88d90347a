"""The schemas of the tables that travel through the pipeline, and their checks."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
import pyarrow as pa

from auditor.errors import InternalError
from auditor.records import SCOPE_KEYS, Scope

SAMPLES: Mapping[str, type[pl.DataType]] = {
    "row": pl.UInt64,
    "uri": pl.String,
    "record": pl.UInt64,
    "sha256": pl.String,
    "label": pl.Int64,
    "class_name": pl.String,
    "split": pl.String,
    "source": pl.String,
    "n_bytes": pl.UInt64,
    "width": pl.UInt32,
    "height": pl.UInt32,
    "mode": pl.String,
    "format": pl.String,
    "status": pl.String,
    "refusal": pl.String,
}
"""The ledger: one row a discovered sample (DESIGN §3)."""

MEASURES: Mapping[str, type[pl.DataType]] = {
    "promised_format": pl.String,
    "perceptual_hash": pl.UInt64,
    "luma_mean": pl.Float32,
    "luma_deviation": pl.Float32,
    "detail": pl.String,
}
"""What the worker measures beside, for the checks; dropped from what is saved."""

FLAGGED: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "row": pl.UInt64,
    "uri": pl.String,
    "record": pl.UInt64,
    "sha256": pl.String,
    "label": pl.Int64,
    "class_name": pl.String,
    "rules": pl.List(pl.String),
    "severity": pl.String,
    "score": pl.Float64,
    "suggested_label": pl.String,
    "reason": pl.String,
}
"""``flagged.parquet``: one row a flagged sample, worst first."""


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


def check_evidence(detector: str, evidence: Mapping[Scope, pl.DataFrame]) -> None:
    """Require keys without repeats and columns named ``<detector>_<quantity>``.

    Raises:
        InternalError: a detector broke the contract.
    """
    for scope, frame in evidence.items():
        key = SCOPE_KEYS[scope]
        columns = [name for name in frame.columns if name != key]
        stray = [name for name in columns if not name.startswith(f"{detector}_")]
        if stray:
            raise InternalError(
                f"detector {detector!r}: {scope} evidence has columns {stray}, expected names "
                f"that start with {detector}_; please report it"
            )
        if key is None and frame.height != 1:
            raise InternalError(f"detector {detector!r}: {frame.height} dataset rows, expected 1")
        if key is not None and (key not in frame.columns or frame[key].is_duplicated().any()):
            raise InternalError(
                f"detector {detector!r}: {scope} evidence needs one row for each {key!r}"
            )
