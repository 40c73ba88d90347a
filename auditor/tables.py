"""The schemas of the tables that travel through the pipeline, and their checks."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from auditor.errors import InternalError
from auditor.records import SCOPE_KEYS, Finding, Scope

SAMPLES: Mapping[str, type[pl.DataType]] = {
    "row": pl.UInt64,
    "uri": pl.String,
    "record": pl.UInt64,
    "sha256": pl.String,
    "label": pl.Int64,
    "class_name": pl.String,
    "split": pl.String,
    "source": pl.String,
    "time": pl.Datetime,
    "n_bytes": pl.UInt64,
    "width": pl.UInt32,
    "height": pl.UInt32,
    "mode": pl.String,
    "format": pl.String,
    "status": pl.String,
    "refusal": pl.String,
}
"""The ledger: one row a discovered sample (DESIGN §3). ``time`` is when the dataset says that the
sample was made or added: microseconds, UTC."""

MEASURES: Mapping[str, type[pl.DataType]] = {
    "promised_format": pl.String,
    "perceptual_hash": pl.UInt64,
    "luma_mean": pl.Float32,
    "luma_deviation": pl.Float32,
    "encoder": pl.String,
    "software": pl.String,
    "trailing": pl.UInt32,
    "payload": pl.String,
    "text_bytes": pl.UInt32,
    "icc_bytes": pl.UInt32,
    "credentials": pl.Boolean,
    "located": pl.Boolean,
    "thumbnail": pl.Float32,
    "scaling": pl.Float32,
    "detail": pl.String,
}
"""What the worker measures beside, for the checks; dropped from what is saved."""

INVENTORY: Mapping[str, type[pl.DataType]] = {
    "uri": pl.String,
    "kind": pl.String,
    "detail": pl.String,
    "calls": pl.String,
    "n_bytes": pl.UInt64,
    "runnable": pl.Boolean,
    "leaves": pl.Boolean,
    "document": pl.String,
    "urls": pl.UInt32,
    "insecure": pl.UInt32,
    "mutable": pl.UInt32,
    "unhashed": pl.UInt32,
    "example": pl.String,
    "declared": pl.String,
    "outs": pl.String,
    "remote_code": pl.Boolean,
}
"""The files that are no samples, one row each (`readers.inventory`); ``kind`` is null for those
that were not looked into."""

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
        if key is None:
            continue
        if key not in frame.columns or frame[key].is_duplicated().any():
            raise InternalError(
                f"detector {detector!r}: {scope} evidence needs one row for each {key!r}"
            )
        if frame[key].dtype != SAMPLES[key]:
            raise InternalError(
                f"detector {detector!r}: {scope} evidence has {key!r} of type {frame[key].dtype}, "
                f"expected {SAMPLES[key].__name__}"
            )


def members(flagged: pl.DataFrame, finding: Finding) -> pl.DataFrame:
    """The flagged samples that a finding names, worst first."""
    chosen = pl.col("rules").list.contains(finding.rule)
    if finding.scope == "class" and finding.key is not None:
        chosen &= pl.col("class_name") == pl.lit(finding.key)
    if finding.scope == "file" and finding.key is not None:
        chosen &= pl.col("uri") == pl.lit(finding.key)
    return flagged.filter(chosen)
