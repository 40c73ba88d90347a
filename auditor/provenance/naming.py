"""How a check names files in its evidence: the first few, and how many more."""

from __future__ import annotations

import polars as pl

SHOWN = 3
LONGEST = 80
"""Characters of one name: a message that a hostile name fills says nothing else."""


def name_some(names: pl.Series) -> str | None:
    """``a, b, c and 4 more``, sorted; None where there is nothing to name."""
    if names.is_empty():
        return None
    ordered = names.drop_nulls().unique().sort()
    shown = [_cut(name) for name in ordered.head(SHOWN).to_list()]
    more = len(ordered) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")


def _cut(name: str) -> str:
    half = LONGEST // 2
    return name if len(name) <= LONGEST else f"{name[:half]}…{name[1 - half :]}"
