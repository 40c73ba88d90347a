"""How often would the backdoor gates alarm on honest data? Family-wise p, fitted and tested.

    python benchmarks/gate_calibration.py

reads gate-null.csv (``gate_null.py``); fits on its ``tune`` draws, tests on its ``report`` draws.
Writes gate-calibration.csv (a row a gate), gate-reliability.csv (how often p was at most α) and
docs/images/gate-reliability.svg. docs/calibration.md says what is meant.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from gate_null import as_evidence, held
from gate_tails import GATES, TAIL_SHARE, Tail, fit_tail, nearness, p_of_draw
from reliability_picture import draw_reliability
from scipy import stats

from auditor.benching.scoring import upper_bound

HERE = Path(__file__).parent
PICTURE = HERE.parent / "docs" / "images" / "gate-reliability.svg"

DRAW = ("split", "dataset", "size", "seed", "noise")

LEVELS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
RESAMPLES = 200
CONFIDENCE = 0.95


def near_table(table: pl.DataFrame) -> pl.DataFrame:
    """A row a draw, gate and class (or the disputed samples): ``DRAW``, ``gate``, ``near``."""
    parts = []
    for gate in GATES:
        evidence = as_evidence(table, gate.probe, gate.scope)
        near = pl.Series(nearness(evidence, gate))
        parts.append(evidence.select(*DRAW, gate=pl.lit(gate.name), near=near))
    return pl.concat(parts)


def fit_all(near: pl.DataFrame) -> Mapping[str, Mapping[str, Tail]]:
    """Gate → dataset → null."""
    values = {key: part["near"].to_numpy() for key, part in near.group_by("gate", "dataset")}
    datasets = sorted({dataset for _, dataset in values})
    return {
        gate.name: {
            dataset: fit_tail(values[gate.name, dataset], TAIL_SHARE[gate.scope])
            for dataset in datasets
        }
        for gate in GATES
    }


def scans(near: pl.DataFrame, nulls: Mapping[str, Mapping[str, Tail]]) -> pl.DataFrame:
    """A row a draw and gate, and one for all gates: ``DRAW``, ``gate``, ``near``, ``p``.

    Over the gates p is Bonferroni's, the first step of Holm's: their number times the smallest.
    """
    drawn = near.group_by(*DRAW, "gate").agg(near=pl.col("near").max(), looks=pl.len())
    parts = []
    for name, tails in nulls.items():
        one = drawn.filter(pl.col("gate") == name)
        p = p_of_draw(list(tails.values()), one["near"].to_numpy(), one["looks"].to_numpy())
        parts.append(one.drop("looks").with_columns(p=pl.Series(p)))
    each = pl.concat(parts)
    family = each.group_by(*DRAW).agg(
        gate=pl.lit("all gates"), near=pl.col("near").max(),
        p=(pl.col("p").min() * len(nulls)).clip(0, 1),
    )  # fmt: skip
    return pl.concat([each, family.select(each.columns)]).sort(*DRAW, "gate")


def exact(events: int, trials: int) -> tuple[float, float]:
    """Clopper and Pearson's 95 % interval of a proportion (1934, Biometrika 26, p. 404)."""
    found = stats.binomtest(events, trials).proportion_ci(CONFIDENCE, "exact")
    return float(found.low), float(found.high)


def reliability(found: pl.DataFrame, fitted: str) -> pl.DataFrame:
    """How often p was at most α: by gate and dataset, with exact 95 % intervals."""
    rows = []
    whole = found.with_columns(dataset=pl.lit("all"))
    for (gate, dataset), part in sorted(pl.concat([whole, found]).group_by("gate", "dataset")):
        for level in LEVELS:
            hits = int((part["p"] <= level).sum())
            low, high = exact(hits, part.height)
            rows.append(
                {"fitted": fitted, "gate": gate, "dataset": dataset, "alpha": level,
                 "draws": part.height, "hits": hits, "share": round(hits / part.height, 4),
                 "low": round(low, 4), "high": round(high, 4)}
            )  # fmt: skip
    return pl.DataFrame(rows)


def others(near: pl.DataFrame) -> pl.DataFrame:
    """The reliability on each dataset of tails that were fitted without it."""
    parts = []
    for dataset in sorted(near["dataset"].unique()):
        own = pl.col("dataset") == dataset
        tails = fit_all(near.filter(pl.col("split") == "tune", ~own))
        tested = reliability(scans(near.filter(pl.col("split") == "report", own), tails), "others")
        parts.append(tested.filter(pl.col("dataset") != "all"))
    return pl.concat(parts)


def at_gate(near: pl.DataFrame) -> dict[str, float]:
    """Chance that a draw of ten classes reaches each gate, and that it reaches any of them."""
    chances = {}
    for gate, (name, tails) in zip(GATES, fit_all(near).items(), strict=True):
        looks = np.array([10 if gate.scope == "class" else 1])
        chances[name] = float(p_of_draw(list(tails.values()), np.ones(1), looks)[0])
    return chances | {"all gates": sum(chances.values())}


def resampled(near: pl.DataFrame) -> dict[str, float]:
    """95 % upper bounds of `at_gate`. Whole draws are resampled: classes of one are kin."""
    rng = np.random.default_rng(0)
    pools = [part.partition_by(*DRAW) for part in near.partition_by("dataset")]
    seen = []
    for _ in range(RESAMPLES):
        picks = [[own[i] for i in rng.integers(len(own), size=len(own))] for own in pools]
        seen.append(at_gate(pl.concat([draw for some in picks for draw in some])))
    return {name: float(np.quantile([one[name] for one in seen], CONFIDENCE)) for name in seen[0]}


def calibration(near: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    """A row a gate: its tail, the chance of a false alarm a scan, and what later draws gave."""
    tune = near.filter(pl.col("split") == "tune")
    tails, chance, bound = fit_all(tune), at_gate(tune), resampled(tune)
    rules = {gate.name: " ".join(gate.rules) for gate in GATES}
    rows = []
    for name in chance:
        later = found.filter(pl.col("gate") == name)
        alarms = int((later["near"] >= 1).sum())
        own = tails.get(name, {})
        worst = max(own, key=lambda dataset: own[dataset].survival(np.ones(1))[0], default="")
        tail = own.get(worst)
        rows.append(
            {"gate": name, "rules": rules.get(name, ""), "worst": worst,
             "tail_start": tail and round(tail.start, 4),
             "tail_share": tail and round(tail.above, 4),
             "shape": tail and round(tail.shape, 4), "scale": tail and round(tail.scale, 5),
             "p_scan": float(f"{chance[name]:.2g}"), "p_scan_high": float(f"{bound[name]:.2g}"),
             "nearest_tune": round(float(tune.filter(pl.col("gate") == name)["near"].max() or 0), 4)
             if tail else None,
             "nearest_report": round(float(later["near"].max()), 4),
             "report_draws": later.height, "report_alarms": alarms,
             "report_alarms_high": round(upper_bound(alarms, later.height), 4)}
        )  # fmt: skip
    return pl.DataFrame(rows, infer_schema_length=None)


def main() -> None:
    """Fit, test, write the tables and the picture."""
    near = near_table(held())
    tails = fit_all(near.filter(pl.col("split") == "tune"))
    found = scans(near.filter(pl.col("split") == "report"), tails)
    tested = reliability(found, "all")
    table = calibration(near, found)
    table.write_csv(HERE / "gate-calibration.csv")
    pl.concat([tested, others(near)]).write_csv(HERE / "gate-reliability.csv")
    picture = draw_reliability(tested.filter(pl.col("dataset") == "all"))
    PICTURE.write_text(picture, encoding="utf-8")
    sys.stdout.write(table.write_csv())


if __name__ == "__main__":
    main()
