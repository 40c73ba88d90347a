"""What changed since a dataset was accepted: new samples, new labels, other proportions."""

from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl

from auditor.baseline.accepted import Accepted
from auditor.interfaces import Evidence

IDENTITY = ("sha256", "class_name", "split")
"""A sample is the accepted one if its bytes, label and split are; its name may be another."""

SHOWN = 5
"""Former labels that a class's evidence lists."""

SMOOTHING = 0.5
"""Added to each count before proportions are compared (Haldane 1955, Anscombe 1956), so that a
class or source that was not there before has a finite effect."""


def review_of(samples: pl.DataFrame, accepted: Accepted) -> pl.DataFrame:
    """Which scanned samples have to be judged.

    Bytes that were accepted under other labels only are relabelled. Copies beyond the accepted ones
    are new: they weigh more in training than what was accepted.

    Returns:
        ``row, change_new, change_relabelled, change_was`` (the former label) of the scanned rows.
    """
    scanned = samples.filter(pl.col("status") == "scanned").select("row", *IDENTITY)
    copies = accepted.samples.group_by(IDENTITY).agg(accepted=pl.len())
    former = accepted.samples.group_by("sha256").agg(
        labels=pl.col("class_name").unique().sort(nulls_last=True)
    )
    return (
        scanned.with_columns(copy=pl.col("row").rank("ordinal").over(IDENTITY))
        .join(copies, on=IDENTITY, how="left", nulls_equal=True, maintain_order="left")
        .join(former, on="sha256", how="left", maintain_order="left")
        .with_columns(
            same_label=pl.col("labels").list.contains(pl.col("class_name"), nulls_equal=True)
        )
        .select(
            "row",
            change_new=(pl.col("copy") > pl.col("accepted").fill_null(0))
            & pl.col("same_label").fill_null(True),
            change_relabelled=~pl.col("same_label").fill_null(True),
            change_was=pl.when(~pl.col("same_label").fill_null(True)).then(
                pl.col("labels").list.eval(pl.element().fill_null("none")).list.join(", ")
            ),
        )
    )


def measure(samples: pl.DataFrame, review: pl.DataFrame, accepted: Accepted) -> Evidence:
    """Describe the change.

    Args:
        samples: the ledger with the evidence of the checks.
        review: see `review_of`.
        accepted: what was accepted.

    Returns:
        ``sample``: ``review`` and ``change_conflict``: nearly the same as an accepted sample of
        another class. ``class``: ``change_relabelled_n``, ``change_relabelled_from``.
        ``dataset``: ``change_n_new``, ``change_n_relabelled``, ``change_n_removed`` (accepted bytes
        that are gone), and of the new samples against the accepted ones, for labels (``priors``)
        and sources: ``change_<of>_p`` (G-test), ``change_<of>_effect`` (Cohen's w).
    """
    table = samples.join(review, on="row", how="inner", maintain_order="left")
    return {
        "sample": review.join(_conflicts(table), on="row", how="left", maintain_order="left"),
        "class": _relabelled(table),
        "dataset": _summary(table, accepted),
    }


def _conflicts(table: pl.DataFrame) -> pl.DataFrame:
    """Reviewed samples whose group of near-duplicates holds an accepted sample of another class."""
    if "near_duplicates_of" not in table.columns:
        return table.select("row", change_conflict=pl.lit(None, pl.Boolean))
    known = ~pl.col("change_new") & ~pl.col("change_relabelled")
    grouped = table.with_columns(group=pl.coalesce("near_duplicates_of", "row"))
    labels = (
        grouped.filter(known & pl.col("label").is_not_null())
        .group_by("group")
        .agg(accepted=pl.col("label").unique())
    )
    others = pl.col("accepted").list.set_difference(pl.concat_list("label")).list.len() > 0
    return grouped.join(labels, on="group", how="left", maintain_order="left").select(
        "row", change_conflict=pl.when(~known).then(others.fill_null(False)).otherwise(False)
    )


def _relabelled(table: pl.DataFrame) -> pl.DataFrame:
    """One row a class with relabelled samples: how many, and what they were."""
    changed = table.filter("change_relabelled", pl.col("label").is_not_null())
    rows = []
    for (label,), part in changed.sort("label").group_by("label", maintain_order=True):
        former = Counter(part["change_was"].to_list())
        ranked = sorted(former.items(), key=lambda item: (-item[1], item[0]))
        listed = ", ".join(f"{name} ({n})" for name, n in ranked[:SHOWN])
        rows.append((label, part.height, listed + (" …" if len(ranked) > SHOWN else "")))
    return pl.DataFrame(
        rows,
        schema={
            "label": pl.Int64, "change_relabelled_n": pl.Int64, "change_relabelled_from": pl.String
        },
        orient="row",
    )  # fmt: skip


def _summary(table: pl.DataFrame, accepted: Accepted) -> pl.DataFrame:
    new = table.filter("change_new")
    gone = accepted.samples.select("sha256").join(table.select("sha256"), on="sha256", how="anti")
    labels = drift(accepted.samples["class_name"], new["class_name"])
    sources = drift(accepted.samples["source"], new["source"])
    figures = {
        "change_n_new": new.height,
        "change_n_relabelled": int(table["change_relabelled"].sum()),
        "change_n_removed": gone["sha256"].n_unique(),
        "change_priors_p": labels[0],
        "change_priors_effect": labels[1],
        "change_sources_p": sources[0],
        "change_sources_effect": sources[1],
    }
    floats = {name: pl.Float64 for name in figures if not name.startswith("change_n_")}
    return pl.DataFrame([figures], schema_overrides=floats)


def drift(was: pl.Series, now: pl.Series) -> tuple[float | None, float | None]:
    """Compare the proportions of new samples with those of the accepted ones.

    Args:
        was: a category an accepted sample; null is none.
        now: likewise for the new samples.

    Returns:
        (p of the G-test of homogeneity, Cohen's w of the new proportions against the accepted
        ones), or nulls where there are under two categories or nothing is new. Sources: Sokal &
        Rohlf 1995, §17.2; Cohen 1988, ch. 7: 0.1 is a small effect, 0.3 medium, 0.5 large.
    """
    from scipy.stats import chi2_contingency

    counts = pl.concat([
        was.drop_nulls().value_counts(name="was").rename({was.name: "category"}),
        now.drop_nulls().value_counts(name="now").rename({now.name: "category"}),
    ], how="diagonal").group_by("category").agg(pl.col("was", "now").sum())  # fmt: skip
    before = counts["was"].to_numpy().astype(float)
    after = counts["now"].to_numpy().astype(float)
    if len(counts) < 2 or not before.sum() or not after.sum():
        return None, None
    p = float(chi2_contingency([before, after], lambda_="log-likelihood").pvalue)
    expected = (before + SMOOTHING) / (before + SMOOTHING).sum()
    observed = after / after.sum()
    return p, float(np.sqrt(((observed - expected) ** 2 / expected).sum()))
