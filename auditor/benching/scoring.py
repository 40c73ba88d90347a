"""Recall and false alarms: the truth joined with what a finished scan says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from scipy import stats

from auditor.benching.cases import CLEAN, expected_families
from auditor.judging.judge import judge
from auditor.judging.ruleset import load_rules
from auditor.records import SCOPE_KEYS, Confidence
from auditor.report import Report
from auditor.tables import MEASURES, SAMPLES

FAMILIES = ("any", "BKD", "LBL")
"""Rule families that are counted apart; ``any`` is every flagged sample."""

FALSE_POSITIVE_RATES = (0.001, 0.01)

SCORE_STEPS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Where a step of a rule's own score begins: finer where most flagged samples lie."""

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Ranking:
    """How well one score column ranks poison above clean samples, whatever the threshold.

    Attributes:
        auroc: the chance that a poisoned sample scores above a clean one; ties count half.
        recall: false-positive rate → share of the poison above the threshold that gives it.
        evaluated: share of the poisoned samples that have a score; the others rank last.
    """

    auroc: float
    recall: Mapping[float, float]
    evaluated: float


@dataclass(frozen=True, slots=True)
class Tally:
    """What a rule's own score was worth: samples that it named, by the step of their score.

    Attributes:
        found: poisoned samples in each step of `SCORE_STEPS`.
        false: clean samples; cover samples are neither.
    """

    found: tuple[int, ...]
    false: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """One scan held against the truth.

    ``found`` and ``false`` count poisoned and clean samples flagged, by family (`FAMILIES`). Cover
    samples are neither: an attacker altered them, but they bear their own label.
    """

    n_samples: int
    n_poisoned: int
    n_clean: int
    n_cover: int
    found: Mapping[str, int]
    false: Mapping[str, int]
    cover_flagged: int
    rankings: Mapping[str, Ranking]
    backdoor_findings: int
    rules: tuple[str, ...]
    right: bool
    tallies: Mapping[str, Tally] = field(default_factory=dict)


def score(report: Report, truth: pl.DataFrame, attack: str, kind: str) -> Score:
    """Join the truth with a finished report.

    Args:
        report: of the scan of the poisoned copy.
        truth: ``uri, record, poisoned, attack, original_label``, as `auditor poison` writes it.
        attack: the attack's id, or ``clean``.
        kind: the attack's kind.
    """
    joined = joined_with_truth(report, truth)
    poisoned = joined["poisoned"].to_numpy()
    cover = joined["cover"].to_numpy()
    clean = ~poisoned & ~cover
    flags = {family: _flagged(joined, family) for family in FAMILIES}
    return Score(
        n_samples=joined.height,
        n_poisoned=int(poisoned.sum()),
        n_clean=int(clean.sum()),
        n_cover=int(cover.sum()),
        found={family: int((flag & poisoned).sum()) for family, flag in flags.items()},
        false={family: int((flag & clean).sum()) for family, flag in flags.items()},
        cover_flagged=int((flags["any"] & cover).sum()),
        rankings=_rankings(joined, poisoned, clean),
        backdoor_findings=sum(f.rule.startswith("BKD") for f in report.findings),
        rules=tuple(sorted({f.rule for f in report.findings})),
        right=is_right(report, joined, attack, kind),
        tallies=tallies(report, joined),
    )


def tallies(report: Report, joined: pl.DataFrame) -> Mapping[str, Tally]:
    """Rule → how many of the samples that it names were poisoned, by its own score of them."""
    evidence = {scope: report.evidence[scope] for scope in SCOPE_KEYS if scope in report.evidence}
    names = report.dataset.class_names
    marks = judge(load_rules(), report.samples, evidence, names, Confidence.LOW).marks
    known = marks.join(joined.select("row", "poisoned", "cover"), on="row").filter(
        pl.col("poisoned") | ~pl.col("cover")
    )
    edges = [*SCORE_STEPS, np.inf]
    found = {}
    for (rule,), part in known.group_by("rule"):
        raw = part["raw"].fill_null(0.0).to_numpy()
        poisoned = part["poisoned"].to_numpy()
        counts = (np.histogram(raw[where], edges)[0].tolist() for where in (poisoned, ~poisoned))
        found[str(rule)] = Tally(*map(tuple, counts))
    return dict(sorted(found.items()))


def joined_with_truth(report: Report, truth: pl.DataFrame) -> pl.DataFrame:
    """The report's samples with ``poisoned``, ``cover``, ``original_label`` and their ``rules``."""
    key = truth.select(
        "uri",
        pl.col("record").cast(pl.UInt64),
        "poisoned",
        "original_label",
        cover=pl.col("attack").is_not_null() & ~pl.col("poisoned"),
    )
    joined = report.samples.join(
        key, on=["uri", "record"], how="left", nulls_equal=True, maintain_order="left"
    )
    missing = joined["poisoned"].null_count()
    if missing or joined.height != truth.height:
        raise AssertionError(f"{missing} of {joined.height} samples are not in the truth")
    return joined.join(
        report.flagged.select("row", "rules"), on="row", how="left", maintain_order="left"
    )


def is_right(report: Report, joined: pl.DataFrame, attack: str, kind: str) -> bool:
    """Whether the findings say what was done, and no more.

    A backdoor is caught by a BKD finding on a class that holds poison, which fails the scan; label
    noise by an LBL finding with no BKD one; clean data by the absence of a BKD finding.
    """
    backdoors = [f for f in report.findings if f.rule.startswith("BKD")]
    if attack == CLEAN:
        return not backdoors
    wanted = expected_families(attack, kind)
    if wanted == {"BKD"}:
        names = set(joined.filter("poisoned")["class_name"].to_list())
        named = any(f.key is None or f.key in names for f in backdoors)
        return named and report.verdict == "fail"
    if "BKD" not in wanted and backdoors:
        return False
    return any(f.rule[:3] in wanted for f in report.findings)


def _flagged(joined: pl.DataFrame, family: str) -> np.ndarray:
    rules = pl.col("rules")
    if family == "any":
        expression = rules.is_not_null()
    else:
        expression = rules.list.eval(pl.element().str.starts_with(family)).list.any()
    found: np.ndarray = joined.select(flag=expression.fill_null(False))["flag"].to_numpy()
    return found


def score_columns(samples: pl.DataFrame) -> list[str]:
    """The detectors' sample scores: what is measured on a scale, sorted by name."""
    known = {*SAMPLES, *MEASURES}
    return sorted(
        name for name, kind in samples.schema.items() if kind.is_float() and name not in known
    )


def _rankings(
    joined: pl.DataFrame, poisoned: np.ndarray, clean: np.ndarray
) -> Mapping[str, Ranking]:
    if not poisoned.any() or not clean.any():
        return {}
    found = {}
    for name in score_columns(joined):
        values = joined[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
        evaluated = float(np.isfinite(values[poisoned]).mean())
        # Null means that nothing could be said: nobody would look at such a sample first.
        values = np.where(np.isnan(values), -np.inf, values)
        inside, outside = values[poisoned], values[clean]
        recall = {rate: recall_at(inside, outside, rate) for rate in FALSE_POSITIVE_RATES}
        found[name] = Ranking(auroc(inside, outside), recall, evaluated)
    return found


def auroc(poisoned: np.ndarray, clean: np.ndarray) -> float:
    """Area under the ROC curve by ranks (Mann–Whitney U); (P,) and (C,) scores, higher is worse."""
    ranks = stats.rankdata(np.concatenate([poisoned, clean]))
    n, m = len(poisoned), len(clean)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def recall_at(poisoned: np.ndarray, clean: np.ndarray, rate: float) -> float:
    """Share of the poison above the lowest threshold that flags at most ``rate`` of the clean.

    A sample is flagged when it scores above the threshold, so ties with clean samples beyond the
    allowed share are not counted as found.
    """
    allowed = int(np.floor(rate * len(clean) + 1e-9))
    if allowed >= len(clean):
        return 1.0
    threshold = np.partition(clean, len(clean) - 1 - allowed)[len(clean) - 1 - allowed]
    return float((poisoned > threshold).mean())


def wilson(successes: int, trials: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval of a proportion; (0, 1) without trials.

    Source: Wilson 1927, JASA 22, p. 209; Brown, Cai, DasGupta 2001, equation 4.
    """
    if not trials:
        return 0.0, 1.0
    z = float(stats.norm.ppf(0.5 + confidence / 2))
    share, spread = successes / trials, z * z / trials
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * float(np.sqrt(share * (1 - share) / trials + spread / trials / 4))
    # At 0 and n the ends are exactly 0 and 1, but not in floating point.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    return low, 1.0 if successes == trials else min(1.0, centre + half)


def upper_bound(events: int, trials: int, confidence: float = CONFIDENCE) -> float:
    """Exact one-sided upper bound of a proportion: 3 / n and a bit for none in n.

    Source: Clopper, Pearson 1934, Biometrika 26, p. 404, one-sided.
    """
    if events >= trials:
        return 1.0
    return float(stats.beta.ppf(confidence, events + 1, trials - events))
