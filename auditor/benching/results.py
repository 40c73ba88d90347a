"""The bench's tables: one row a case for CSV, one row a group of cases for the eye."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from auditor.benching.cases import CLEAN, Case
from auditor.benching.picture import draw_curves
from auditor.benching.running import Outcome
from auditor.benching.scoring import FAMILIES, Score, upper_bound, wilson
from auditor.features.store import write_atomically
from auditor.records import Power

SCHEMA_VERSION = "1"


@dataclass(frozen=True, slots=True)
class BenchResult:
    """Everything that a bench measured."""

    suite: str
    dataset: str
    outcomes: tuple[Outcome, ...]
    power: tuple[Power, ...]

    @property
    def table(self) -> pl.DataFrame:
        """One row a case."""
        drops = accuracy_drops(self.outcomes)
        rows = [flat(self.suite, o, drops.get(o.case.slug)) for o in self.outcomes]
        return pl.DataFrame(rows, infer_schema_length=None)

    @property
    def groups(self) -> tuple[Group, ...]:
        """One entry an attack, rate and profile."""
        return grouped(self.outcomes)

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """The cases that broke."""
        return tuple(o for o in self.outcomes if o.status == "failed")

    @property
    def alarms(self) -> Alarms:
        """Backdoor alarms where there is no backdoor."""
        return false_alarms(self.outcomes)

    def save(self, folder: Path) -> None:
        """Write ``results.csv``, ``results.json`` and ``recall.svg``."""
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "results.csv", self.table.write_csv().encode("utf-8"))
        content = {
            "schema_version": SCHEMA_VERSION,
            "suite": self.suite,
            "dataset": self.dataset,
            "alarms": asdict(self.alarms),
            "power": [asdict(p) for p in self.power],
            "cases": [o.as_json() for o in self.outcomes],
        }
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        write_atomically(folder / "results.json", text.encode("utf-8"))
        write_atomically(folder / "recall.svg", draw_curves(self.outcomes).encode("utf-8"))


@dataclass(frozen=True, slots=True)
class Alarms:
    """Runs without a backdoor (clean, label noise) and how many raised a backdoor alarm.

    ``upper`` is the exact 95 % upper bound of the chance of an alarm; ``clean_flagged`` how many of
    the ``clean_samples`` of the clean runs any rule flagged.
    """

    runs: int
    alarms: int
    upper: float
    clean_samples: int
    clean_flagged: int


def false_alarms(outcomes: Sequence[Outcome]) -> Alarms:
    """Count backdoor alarms over the clean and the label-noise runs."""
    scored = [(o.case, o.score) for o in outcomes if o.score is not None]
    harmless = [s for case, s in scored if case.attack in (CLEAN, "label_flip")]
    alarms = sum(s.backdoor_findings > 0 for s in harmless)
    clean = [s for case, s in scored if case.attack == CLEAN]
    return Alarms(
        runs=len(harmless),
        alarms=alarms,
        upper=upper_bound(alarms, len(harmless)),
        clean_samples=sum(s.n_clean for s in clean),
        clean_flagged=sum(s.false["any"] for s in clean),
    )


def accuracy_drops(outcomes: Sequence[Outcome]) -> Mapping[str, float]:
    """Case → accuracy lost on held-out images against the clean case of the same cut, 0–1.

    Only cases that were judged alike are compared: equal seed, size, profile and victim.
    """

    def alike(case: Case) -> tuple[object, ...]:
        return case.seed, case.size, case.profile, case.victim_epochs

    known = [
        (o.case, o.success.clean_accuracy)
        for o in outcomes
        if o.success is not None and o.success.clean_accuracy is not None
    ]
    clean = {alike(case): accuracy for case, accuracy in known if case.attack == CLEAN}
    return {
        case.slug: clean[alike(case)] - accuracy
        for case, accuracy in known
        if case.attack != CLEAN and alike(case) in clean
    }


def flat(suite: str, outcome: Outcome, accuracy_drop: float | None) -> dict[str, Any]:
    """One row of ``results.csv``."""
    case = outcome.case
    row: dict[str, Any] = {
        "suite": suite,
        "case": case.slug,
        "attack": case.attack,
        "params": " ".join(f"{k}={v}" for k, v in sorted(case.params.items())),
        "target": case.target,
        "source_class": case.source_class,
        "rate": case.rate,
        "seed": case.seed,
        "size": case.size,
        "profile": case.profile,
        "victim_epochs": case.victim_epochs,
        "status": outcome.status,
        "reason": outcome.reason,
        "verdict": outcome.verdict,
        "right": outcome.score.right if outcome.score else None,
    }
    row |= _counts(outcome.score)
    success = outcome.success
    row |= {
        "attack_success": success.rate if success else None,
        "attack_success_images": success.n_images if success else None,
        "attack_success_reason": success.reason if success else None,
        "clean_accuracy": success.clean_accuracy if success else None,
        "accuracy_drop": accuracy_drop,
        "reference_accuracy": outcome.reference_accuracy,
    }
    for name, ranking in sorted(outcome.score.rankings.items() if outcome.score else ()):
        row[f"{name}_auroc"] = ranking.auroc
        row |= {f"{name}_tpr_at_fpr_{rate:g}": tpr for rate, tpr in ranking.recall.items()}
        row[f"{name}_evaluated"] = ranking.evaluated
    row |= {f"seconds_{name}": value for name, value in outcome.seconds.items()}
    return row | {"date": outcome.date} | dict(outcome.machine)


def _counts(score: Score | None) -> dict[str, Any]:
    names = ("n_samples", "n_poisoned", "n_cover", "n_clean", "cover_flagged", "backdoor_findings")
    row: dict[str, Any] = {name: getattr(score, name) if score else None for name in names}
    row["rules"] = " ".join(score.rules) if score else None
    for family in FAMILIES:
        for what, hits, trials in (
            ("tpr", score.found[family] if score else 0, score.n_poisoned if score else 0),
            ("fpr", score.false[family] if score else 0, score.n_clean if score else 0),
        ):
            low, high = wilson(hits, trials)
            name = f"{what}_{family.lower()}"
            row[name] = hits / trials if trials else None
            row[f"{name}_low"] = low if trials else None
            row[f"{name}_high"] = high if trials else None
    return row


@dataclass(frozen=True, slots=True)
class Group:
    """The cases that differ in seed alone, their counts added up."""

    variant: str
    rate: float
    profile: str
    size: int | None
    runs: int
    right: int
    n_poisoned: int
    n_clean: int
    found: dict[str, int]
    false: dict[str, int]
    best: str | None
    best_auroc: float | None
    success: float | None
    clean_accuracy: float | None
    accuracy_drop: float | None
    seconds: float
    notes: tuple[str, ...]


def grouped(outcomes: Sequence[Outcome]) -> tuple[Group, ...]:
    """Add up the seeds of each case, in the order of the cases."""
    groups: dict[tuple[object, ...], list[Outcome]] = {}
    for outcome in outcomes:
        case = outcome.case
        key = (case.variant, case.rate, case.profile, case.size, case.victim_epochs)
        groups.setdefault(key, []).append(outcome)
    drops = accuracy_drops(outcomes)
    return tuple(_group(members, drops) for members in groups.values())


def _group(members: list[Outcome], drops: Mapping[str, float]) -> Group:
    case = members[0].case
    scores = [o.score for o in members if o.score is not None]
    best = _best(scores)
    rates = [o.success.rate for o in members if o.success and o.success.rate is not None]
    lost = [drops[o.case.slug] for o in members if o.case.slug in drops]
    accuracies = [
        o.success.clean_accuracy
        for o in members
        if o.success and o.success.clean_accuracy is not None
    ]
    return Group(
        variant=case.variant,
        rate=case.rate,
        profile=case.profile,
        size=case.size,
        runs=len(members),
        right=sum(s.right for s in scores),
        n_poisoned=sum(s.n_poisoned for s in scores),
        n_clean=sum(s.n_clean for s in scores),
        found={f: sum(s.found[f] for s in scores) for f in FAMILIES},
        false={f: sum(s.false[f] for s in scores) for f in FAMILIES},
        best=best[0] if best else None,
        best_auroc=best[1] if best else None,
        success=sum(rates) / len(rates) if rates else None,
        clean_accuracy=sum(accuracies) / len(accuracies) if accuracies else None,
        accuracy_drop=sum(lost) / len(lost) if lost else None,
        seconds=sum(o.seconds.get("total", 0.0) for o in members) / len(members),
        notes=tuple(dict.fromkeys(f"{o.status}: {o.reason}" for o in members if o.reason)),
    )


def _best(scores: Sequence[Score]) -> tuple[str, float] | None:
    """The score column of the highest mean AUROC."""
    names = {name for s in scores for name in s.rankings}
    means = {
        name: sum(s.rankings[name].auroc for s in scores if name in s.rankings)
        / sum(name in s.rankings for s in scores)
        for name in sorted(names)
    }
    return max(means.items(), key=lambda item: item[1]) if means else None
