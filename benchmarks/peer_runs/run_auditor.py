"""Runs one of auditor's detectors on given activations, or its label judgement alone.

    python run_auditor.py METHOD FOLDER OUT REPEATS RATE

METHOD is a detector's id or ``judge_labels``. Flags are what the shipped rule makes of the
evidence. RATE is not used: a scan is told none.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
from timed import load, timed, write

from auditor.detectors import DETECTORS
from auditor.detectors.labels.noise import judge_labels
from auditor.interfaces import Evidence, InapplicableError, Material
from auditor.judging.ruleset import load_rules
from auditor.records import Rule

RULES = {"spectral": "BKD003", "activation_clustering": "BKD004", "label_consistency": "LBL001"}
"""The rule that flags samples by each detector's evidence."""


def flagged(rule: Rule, evidence: Evidence, labels: np.ndarray) -> np.ndarray:
    """(N,) bool: the samples that a rule over samples or classes names."""
    sample = evidence["sample"].with_columns(label=pl.Series(labels))
    if rule.scope == "sample":
        return sample.select(pl.sql_expr(rule.when).fill_null(False)).to_series().to_numpy()
    hits = evidence["class"].filter(pl.sql_expr(rule.when))["label"]
    named = pl.col("label").is_in(hits.implode()) & pl.sql_expr(rule.members or "TRUE")
    return sample.select(named.fill_null(False)).to_series().to_numpy()


def material(folder: Path, labels: np.ndarray) -> Material:
    """A set as a detector sees it."""
    views = {name: load(folder, name) for name in ("penultimate", "probabilities", "fold")}
    return Material(
        rows=np.arange(len(labels), dtype=np.uint64),
        labels=labels,
        n_classes=views["probabilities"].shape[1],
        views=views,
        duplicate_of=np.full(len(labels), -1),
        generator=np.random.default_rng(0),
        progress=lambda done, total: None,
    )


def main(method: str, folder: str, out: str, repeats: str, _rate: str) -> None:
    """Load, run, write."""
    labels = np.array(load(Path(folder), "labels"))

    def judge() -> np.ndarray:
        probabilities = np.asarray(load(Path(folder), "probabilities"), np.float32)
        return np.asarray(judge_labels(probabilities, labels).posterior > 0.5)

    def detect() -> np.ndarray:
        detector = next(one for one in DETECTORS if one.id == method)
        rule = next(one for one in load_rules() if one.id == RULES[method])
        try:
            evidence = detector.run(material(Path(folder), labels))
        except InapplicableError:
            return np.zeros(len(labels), bool)  # no evidence: the rule can not fire
        return flagged(rule, evidence, labels)

    run = judge if method == "judge_labels" else detect
    write(Path(out), *timed(run, int(repeats)), "dataset-auditor")


if __name__ == "__main__":
    main(*sys.argv[1:])
