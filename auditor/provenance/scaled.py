"""Pictures that show something else once they are scaled down."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from auditor.interfaces import Check, Evidence


def measure(samples: pl.DataFrame, views: Mapping[str, np.ndarray]) -> Evidence:
    """Hand on what the worker measured (`readers.scaling.discrepancy`).

    Returns:
        ``sample``: ``scaled_discrepancy``: how much more the pixels that unfiltered scaling reads
        differ from their surroundings than all pixels do. 0 where a screen found nothing, null for
        pictures too small to hide one.
    """
    return {"sample": samples.select("row", scaled_discrepancy="scaling")}


SCALED = Check("scaled", "1", "Image scaling", measure)
