"""What the flagged samples have in common: sources, encoders, sizes and times, tested exactly.

Statistics find a group; provenance says where it came from. Both run after the rules, on what the
rules flagged, and compare within classes, so that a source or an encoder that belongs to a whole
class says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from auditor.interfaces import Evidence
from auditor.judging.judge import Judgement
from auditor.provenance.enrichment import counts, holm, stratified_p
from auditor.records import Confidence, Finding
from auditor.tables import members

FAMILIES = ("BKD", "LBL", "OUT", "DUP")
"""Rules that judge content. What FMT, PRV and INT judge is where and how a file was made."""

ALPHA = 1e-3
"""Chance of naming any trait by accident in one scan, over findings, traits and values."""

MIN_GROUP = 5
MIN_SHARE = 0.5
MIN_LIFT = 2.0
"""A trait is named if most of the group has it, and twice as many as its classes would give."""

MAX_SOURCES = 100
"""Sources with the most flagged samples that are tested one by one; all count in the correction."""


@dataclass(frozen=True, slots=True)
class Shared:
    """A trait that most samples of a group have."""

    trait: str
    value: str
    seen: int
    group: int
    usual: float
    """Share of the samples of the same classes that have it."""
    p: float

    @property
    def words(self) -> str:
        """The trait in a sentence of a finding's message."""
        chance = f"p < 1e{int(np.ceil(np.log10(self.p)))}" if self.p < 0.1 else f"p = {self.p:.2f}"
        return (
            f"{self.seen:,} of {self.group:,} share {_TRAITS[self.trait]} {self.value[:80]!r}, "
            f"which {self.usual:.1%} of their classes have; {chance}."
        )


_TRAITS = {
    "source": "the source",
    "encoder": "the encoder",
    "software": "the software",
    "size": "the size",
    "time": "the time",
}

VALUES = ("source", "encoder", "software", "size")
"""Traits of which samples have the same value or not; times are close or not."""


def concentration(samples: pl.DataFrame, flagged: pl.DataFrame) -> Evidence:
    """Test each source for more flagged samples than its classes explain.

    Returns:
        ``source``: ``concentration_n``, ``concentration_flagged``, ``concentration_share`` (of the
        source's samples, 0–1), ``concentration_usual`` (of all samples of the same classes),
        ``concentration_p`` (corrected after Holm over all sources), for the `MAX_SOURCES` sources
        with the most flagged samples. Nothing if the dataset has one source or none.
    """
    known = samples.filter((pl.col("status") == "scanned") & pl.col("source").is_not_null())
    n_sources = known["source"].n_unique()
    marked = np.isin(known["row"].to_numpy(), flagged["row"].to_numpy())
    if n_sources < 2 or not marked.any():
        return {}
    strata, n_strata = _strata(known)
    table = known.select("source").with_columns(marked=pl.Series(marked))
    top = (
        table.group_by("source")
        .agg(n=pl.len().cast(pl.Int64), flagged=pl.col("marked").sum().cast(pl.Int64))
        .filter(pl.col("flagged") > 0)
        .sort(["flagged", "source"], descending=[True, False])
        .head(MAX_SOURCES)
    )
    total = counts(strata, np.ones(len(strata), bool), n_strata)
    hits = counts(strata, marked, n_strata)
    usual, chances = [], []
    for source, seen in top.select("source", "flagged").iter_rows():
        drawn = counts(strata, (known["source"] == source).to_numpy(), n_strata)
        usual.append(float((drawn * hits / np.maximum(total, 1)).sum() / drawn.sum()))
        chances.append(stratified_p(total, hits, drawn, seen))
    corrected = holm([*chances, *[1.0] * (n_sources - len(chances))])[: len(chances)]
    evidence = top.select(
        "source",
        concentration_n="n",
        concentration_flagged="flagged",
        concentration_share=pl.col("flagged") / pl.col("n"),
        concentration_usual=pl.Series(usual, dtype=pl.Float64),
        concentration_p=pl.Series(corrected, dtype=pl.Float64),
    )
    return {"source": evidence.sort("source")}


def fuse(judgement: Judgement, samples: pl.DataFrame) -> Judgement:
    """Add what a finding's samples share to its message and evidence; confidence rises one step."""
    scanned = _traits(samples)
    strata, n_strata = _strata(scanned)
    rows = scanned["row"].to_numpy()
    candidates = [f for f in judgement.findings if f.rule.startswith(FAMILIES)]
    groups = {
        id(f): np.isin(rows, members(judgement.flagged, f)["row"].to_numpy()) for f in candidates
    }
    n_tests = sum(_n_values(scanned, group) for group in groups.values())
    findings = []
    for finding in judgement.findings:
        group = groups.get(id(finding))
        best = None
        if group is not None and group.sum() >= MIN_GROUP:
            found = list(_shared(scanned, group, strata, n_strata, n_tests))
            best = min(found, key=lambda one: one.p, default=None)
        findings.append(finding if best is None else _raised(finding, best))
    order = sorted(
        findings, key=lambda f: (-f.severity.rank, -f.confidence.rank, f.rule, f.key or "")
    )
    return replace(judgement, findings=tuple(order))


def _traits(samples: pl.DataFrame) -> pl.DataFrame:
    scanned = samples.filter(pl.col("status") == "scanned")
    return scanned.select(
        "row", "label", "source", "encoder", "software",
        size=pl.format("{}×{}", "width", "height"), time=pl.col("time").to_physical(),
    )  # fmt: skip


def _strata(samples: pl.DataFrame) -> tuple[np.ndarray, int]:
    """(N,) the class as 0…S−1, those without a label in a stratum of their own, and S."""
    labels = samples["label"].fill_null(-1).to_numpy() + 1
    return labels, int(labels.max(initial=0)) + 1


def _n_values(scanned: pl.DataFrame, group: np.ndarray) -> int:
    """How many values a group's most frequent ones are chosen from, over all traits.

    Time counts once: `_spanned` corrects for its many windows itself.
    """
    part = scanned.filter(pl.Series(group))
    n_values = sum(part[trait].drop_nulls().n_unique() for trait in VALUES)
    return n_values + (part["time"].count() > 0)


def _shared(
    scanned: pl.DataFrame, group: np.ndarray, strata: np.ndarray, n_strata: int, n_tests: int
) -> Iterator[Shared]:
    """The traits that most of a group have and its classes do not explain."""
    part = scanned.filter(pl.Series(group))
    drawn = counts(strata, group, n_strata)
    total = np.where(drawn > 0, counts(strata, np.ones(len(group), bool), n_strata), 0)
    for trait in VALUES:
        usual_value = part[trait].drop_nulls().value_counts(sort=True, name="n")
        if usual_value.is_empty():
            continue
        value, seen = usual_value.sort(["n", trait], descending=[True, False]).row(0)
        hits = np.where(
            drawn > 0,
            counts(strata, (scanned[trait] == value).fill_null(False).to_numpy(), n_strata),
            0,
        )
        expected = float((drawn * hits / np.maximum(total, 1)).sum())
        if seen < MIN_SHARE * part.height or seen < MIN_LIFT * expected:
            continue
        p = stratified_p(total, hits, drawn, seen) * max(1, n_tests)
        if p < ALPHA:
            usual = float(hits.sum() / max(1, total.sum()))
            yield Shared(trait, str(value), seen, part.height, usual, p)
    yield from _spanned(scanned, group, strata, n_strata, n_tests)


def _spanned(
    scanned: pl.DataFrame, group: np.ndarray, strata: np.ndarray, n_strata: int, n_tests: int
) -> Iterator[Shared]:
    """The shortest time that holds half of a group, if the times of its classes do not explain it.

    The samples at both ends are in the group because they make the window, so they are left out of
    the test; it is corrected for every pair that could have made it.
    """
    timed = scanned["time"].is_not_null().to_numpy()
    times = scanned["time"].fill_null(-1).to_numpy()
    size, least = int(group.sum()), int(np.ceil(MIN_SHARE * group.sum()))
    members = np.flatnonzero(group & timed)
    members = members[np.argsort(times[members], kind="stable")]
    if len(members) < least:
        return
    first = int(np.argmin(times[members[least - 1 :]] - times[members[: len(members) - least + 1]]))
    begin, end = times[members[first]], times[members[first + least - 1]]
    inside = timed & (times >= begin) & (times <= end)
    seen = int((inside & group).sum())
    total, hits, drawn = (counts(strata, one, n_strata) for one in (timed, inside, group & timed))
    total, hits = np.where(drawn > 0, total, 0), np.where(drawn > 0, hits, 0)
    expected = float((drawn * hits / np.maximum(total, 1)).sum())
    if seen < MIN_LIFT * expected:
        return
    ends = np.bincount(strata[members[[first, first + least - 1]]], minlength=n_strata)
    n_pairs = len(members) * (len(members) - 1) // 2
    chance = stratified_p(total - ends, hits - ends, drawn - ends, seen - 2)
    p = chance * n_pairs * max(1, n_tests)
    if p < ALPHA:
        words = [np.datetime_as_string(one.astype("datetime64[us]"), "s") for one in (begin, end)]
        yield Shared("time", " – ".join(words), seen, size, float(hits.sum() / total.sum()), p)


def _raised(finding: Finding, shared: Shared) -> Finding:
    levels = list(Confidence)
    higher = levels[min(finding.confidence.rank + 1, len(levels) - 1)]
    return replace(
        finding,
        confidence=higher,
        message=f"{finding.message} {shared.words}",
        evidence={
            **finding.evidence,
            "fusion_trait": shared.trait,
            "fusion_value": shared.value,
            "fusion_n": shared.seen,
            "fusion_of": shared.group,
            "fusion_usual": round(shared.usual, 6),
            "fusion_p": shared.p,
        },
    )
