"""Numbers of rows that a card declares, against those that are there."""

from __future__ import annotations

import json

import polars as pl

from auditor.interfaces import Evidence, FileCheck
from auditor.provenance.naming import name_some

ABSENT = ("missing_file", "path_escape", "symbolic_link", "special_file", "unreadable_folder")
"""Refusals of what is no sample of this folder."""


def measure(inventory: pl.DataFrame, samples: pl.DataFrame) -> Evidence:
    """Compare declared with discovered samples, split by split.

    A declaration of several configurations is not compared: which files belong to which is not
    known. Nor is a split of which nothing is there, because parts are downloaded by split. Where
    the dataset has no splits by name, a single declared one is compared with all. Nothing is
    compared where links stand for samples, as in a download cache.

    Returns:
        ``dataset``: ``declared_n_splits`` (compared; null if none were), ``declared_n_wrong``,
        ``declared_wrong`` (which, with both numbers).
    """
    whole = not (samples["refusal"].fill_null("") == "symbolic_link").any()
    there = _there(samples) if whole else {}
    wrong: list[str] = []
    compared = 0
    cards = inventory.filter(pl.col("document").is_in(["card", "infos"]))
    for uri, text in cards.select("uri", "declared").iter_rows():
        configurations = list(json.loads(text).values())
        if len(configurations) != 1:
            continue
        for split, n in _comparable(configurations[0], there).items():
            compared += 1
            found = there[split] if split else sum(there.values())
            if found != n:
                wrong.append(f"{uri}: {split or 'all'} {n:,} declared, {found:,} found")
    dataset = pl.DataFrame(
        {
            "declared_n_splits": [compared or None],
            "declared_n_wrong": [len(wrong) if compared else None],
            "declared_wrong": [name_some(pl.Series(wrong, dtype=pl.String))],
        },
        schema={
            "declared_n_splits": pl.Int64, "declared_n_wrong": pl.Int64,
            "declared_wrong": pl.String,
        },
    )  # fmt: skip
    return {"dataset": dataset}


def _there(samples: pl.DataFrame) -> dict[str, int]:
    """Discovered rows by split; the empty name where samples have none."""
    real = samples.filter(~pl.col("refusal").fill_null("").is_in(ABSENT))
    return dict(real.group_by(pl.col("split").fill_null("")).len().iter_rows())


def _comparable(declared: dict[str, int], there: dict[str, int]) -> dict[str, int]:
    """Split → declared rows of what can be compared; the empty name stands for all."""
    if set(there) == {""}:
        return {"": sum(declared.values())} if len(declared) == 1 else {}
    return {split: n for split, n in declared.items() if split in there}


DECLARED = FileCheck("declared", "1", "Declared numbers of rows", measure)
