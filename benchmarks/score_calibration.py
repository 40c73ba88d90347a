"""What a rule's own score of a sample is worth: the ``probability`` of the statistical rules.

    python benchmarks/score_calibration.py --fit BENCH_FOLDER ... --check BENCH_FOLDER ...

Reads what ``auditor bench`` counted for each rule (``tallies`` of its cases): the poisoned and the
clean samples that the rule named, by the step of its own score. Each case has the same weight,
whatever the number of its samples. Rising probabilities are fitted to the shares of ``--fit``
(isotonic regression), and none claims more than the cases support: after c cases, the rule of
succession puts a share at (c + 1) / (c + 2) at most. Writes score-calibration.csv with the shares
that ``--check`` has, and prints the line for each rule's TOML.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.isotonic import IsotonicRegression

from auditor.benching.scoring import SCORE_STEPS

OUT = Path(__file__).with_name("score-calibration.csv")
COLUMNS = (
    "rule", "score_from", "cases", "found", "false", "share", "probability",
    "check_cases", "check_found", "check_false", "check_share",
)  # fmt: skip
FAMILIES = ("BKD", "LBL", "OUT")
DIGITS = 3


@dataclass(frozen=True, slots=True)
class Counts:
    """(C, S) int64 for C cases and S steps: poisoned and clean samples that a rule named."""

    found: np.ndarray
    false: np.ndarray

    @property
    def weights(self) -> np.ndarray:
        """(C, S) share of a case's named samples in each step; each case sums to 1."""
        every = self.found + self.false
        weights: np.ndarray = every / every.sum(axis=1, keepdims=True)
        return weights

    @property
    def shares(self) -> np.ndarray:
        """(S,) poisoned share of each step, every case alike; NaN where a step is empty."""
        part = self.found / (self.found + self.false).sum(axis=1, keepdims=True)
        total = self.weights.sum(axis=0)
        shares: np.ndarray = np.divide(
            part.sum(axis=0), total, out=np.full(total.shape, np.nan), where=total > 0
        )
        return shares


def read(folders: Sequence[Path]) -> Mapping[str, Counts]:
    """Rule → what the cases of some bench folders counted; clean runs count as cases too."""
    tallies: dict[str, list[tuple[list[int], list[int]]]] = {}
    for folder in folders:
        for path in sorted((folder / "cases").glob("*.json")):
            score = json.loads(path.read_text("utf-8"))["score"] or {}
            for rule, tally in score.get("tallies", {}).items():
                if rule.startswith(FAMILIES) and sum(tally["found"]) + sum(tally["false"]):
                    tallies.setdefault(rule, []).append((tally["found"], tally["false"]))
    return {
        rule: Counts(*(np.array(part, np.int64) for part in zip(*cases, strict=True)))
        for rule, cases in sorted(tallies.items())
    }


def fitted(counts: Counts) -> np.ndarray:
    """(S,) rising probabilities for the steps that hold samples, NaN for the others."""
    shares, weight = counts.shares, counts.weights.sum(axis=0)
    held = weight > 0
    steps = np.flatnonzero(held)
    rising = IsotonicRegression(y_min=0.0, y_max=1.0).fit(steps, shares[held], weight[held])
    n = len(counts.found)
    probability = np.full(len(shares), np.nan)
    probability[held] = np.minimum(rising.predict(steps), (n + 1) / (n + 2))
    return probability


def steps_of(probability: np.ndarray) -> list[list[float]]:
    """The steps at which the probability rises, from score 0 on, as a rule's TOML has them."""
    steps: list[list[float]] = []
    for start, share in zip(SCORE_STEPS, probability, strict=True):
        if np.isnan(share):
            continue
        rounded = round(float(share), DIGITS)
        if not steps or rounded > steps[-1][1]:
            steps.append([start if steps else 0.0, rounded])
    return steps


def rows(fit: Mapping[str, Counts], check: Mapping[str, Counts]) -> Iterator[tuple[object, ...]]:
    """The table: one row a rule and step that holds samples of either."""
    for rule, counts in fit.items():
        probability, shares = fitted(counts), counts.shares
        empty = np.zeros((0, len(SCORE_STEPS)), np.int64)
        held = check.get(rule, Counts(empty, empty))
        for step, start in enumerate(SCORE_STEPS):
            found, false = (int(part[:, step].sum()) for part in (counts.found, counts.false))
            kept, lost = (int(part[:, step].sum()) for part in (held.found, held.false))
            if found + false + kept + lost == 0:
                continue
            shown = (
                shares[step],
                probability[step],
                held.shares[step] if len(held.found) else np.nan,
            )
            share, worth, seen = (
                "" if np.isnan(one) else round(float(one), DIGITS) for one in shown
            )
            yield (rule, start, len(counts.found), found, false, share, worth,
                   len(held.found), kept, lost, seen)  # fmt: skip


def shown(share: float) -> float | str:
    """A share in the table; empty where there is none."""
    return "" if np.isnan(share) else round(float(share), DIGITS)


def main() -> None:
    """Fit, check, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fit", type=Path, nargs="+", required=True)
    parser.add_argument("--check", type=Path, nargs="*", default=[])
    asked = parser.parse_args()
    fit, check = read(asked.fit), read(asked.check)
    with OUT.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows(fit, check))
    for rule, counts in fit.items():
        sys.stdout.write(f"{rule}: probability = {steps_of(fitted(counts))}\n")


if __name__ == "__main__":
    main()
