"""What image files hold beside the picture: appended data, text, thumbnails, positions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from auditor.interfaces import Check, Evidence

POLYGLOT = ("zip", "pdf", "markup", "program")
"""Payloads that other programs open or run; a second picture or unknown bytes are none."""


def measure(samples: pl.DataFrame, views: Mapping[str, np.ndarray]) -> Evidence:
    """Name what the worker found beside the picture.

    Returns:
        ``sample``: ``metadata_payload`` (what the bytes beside the picture hold; null if nothing),
        ``metadata_trailing`` (bytes after the image's end; null where that is not known),
        ``metadata_polyglot`` (the file is also a zip, PDF, page, script or program),
        ``metadata_appended`` (a second picture or unknown data follow), ``metadata_text`` and
        ``metadata_profile`` (bytes of text and of the colour profile), ``metadata_thumbnail``
        (1 − correlation of thumbnail and picture, 0–2), ``metadata_located`` (holds a position).
    """
    payload = pl.col("payload")
    known = pl.col("status") == "scanned"
    polyglot = payload.is_in(POLYGLOT).fill_null(False)
    appended = payload.is_in(["image", "other"]).fill_null(False) & (pl.col("trailing") > 0)
    sample = samples.select(
        "row",
        metadata_payload=payload,
        metadata_trailing=pl.col("trailing"),
        metadata_polyglot=pl.when(known).then(polyglot),
        metadata_appended=pl.when(known).then(appended),
        metadata_text=pl.col("text_bytes"),
        metadata_profile=pl.col("icc_bytes"),
        metadata_thumbnail=pl.col("thumbnail"),
        metadata_located=pl.col("located"),
    )
    return {"sample": sample}


METADATA = Check("metadata", "1", "Data beside the picture", measure)
