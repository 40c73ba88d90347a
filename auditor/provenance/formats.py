"""File formats: samples that could not be read, or are not what their name says."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from auditor.interfaces import Check, Evidence

BLANK_DEVIATION = 1.0
"""Standard deviation of luma, 0–255, under which an image shows nothing."""


def measure(samples: pl.DataFrame, views: Mapping[str, np.ndarray]) -> Evidence:
    """Compare what each file is with what it claims to be.

    Returns:
        ``sample``: ``formats_refused``, ``formats_mismatch`` (the name's extension promises
        another format; null without an extension), ``formats_blank`` (no visible content),
        ``formats_minority`` (the encoding format is another than nearly all others').
        ``dataset``: ``formats_n_refused``, ``formats_n_formats``.
    """
    counts = samples.filter(pl.col("status") == "scanned")["format"].value_counts(sort=True)
    scanned = samples.filter(pl.col("status") == "scanned").height
    rare = counts.filter(pl.col("count") < 0.05 * max(scanned, 1))["format"].to_list()
    sample = samples.select(
        "row",
        formats_refused=pl.col("status") == "refused",
        formats_mismatch=pl.col("format") != pl.col("promised_format"),
        formats_blank=pl.col("luma_deviation") < BLANK_DEVIATION,
        formats_minority=pl.col("format").is_in(rare),
    )
    dataset = pl.DataFrame(
        {
            "formats_n_refused": [samples.height - scanned],
            "formats_n_formats": [counts.height],
            "formats_n_blank": [int(sample["formats_blank"].fill_null(False).sum())],
        }
    )
    return {"sample": sample, "dataset": dataset}


FORMATS_CHECK = Check("formats", "1", "File formats", measure)
