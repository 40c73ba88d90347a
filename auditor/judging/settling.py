"""Groups that lie clearly apart settle who belongs to them.

A clear trigger shows in many views, and the faint ones blur its edge: they name look-alikes too.
Where one view leaves clear room between the group and the rest of its class, other rules of the
family that are mostly about that group name no sample that it leaves out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from auditor.judging.matching import named_by, where
from auditor.records import Rule

SAME = 0.5
"""Share of a finding's samples above which it is about a group that a clearer one has settled. In
30 cases of 10,000 CIFAR-10 images nothing found is lost, and false samples are: 1 % blended noise
42 without this and 0 with it, 0.3 % 21 and 0, label-consistent 9 and 0, low-frequency 9 and 1."""


def settled_rows(
    hits: Sequence[tuple[Rule, pl.DataFrame]], samples: pl.DataFrame
) -> dict[str, pl.Series]:
    """By family, the rows of all groups that lie clearly apart from the rest of their class."""
    rows: dict[str, list[pl.Series]] = {}
    for rule, fired in hits:
        if rule.settles is not None:
            for row in where(rule, fired, rule.settles).iter_rows(named=True):
                rows.setdefault(rule.id[:3], []).append(named_by(rule, row, samples)["row"])
    return {family: pl.concat(parts).unique() for family, parts in rows.items()}


def less_settled(rule: Rule, named: pl.DataFrame, settled: Mapping[str, pl.Series]) -> pl.DataFrame:
    """The named samples without those that a clearer view of the same group leaves out."""
    clear = settled.get(rule.id[:3])
    if clear is None or rule.settles is not None:
        return named
    inside = named.filter(pl.col("row").is_in(clear.implode()))
    return inside if inside.height > SAME * named.height else named
