"""Outcomes made by hand, so that tables, curves and baselines are tested without a scan."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from auditor.benching.cases import CLEAN, Case
from auditor.benching.running import Outcome
from auditor.benching.scoring import Ranking, Score
from auditor.benching.success import Success

MakeOutcome = Callable[..., Outcome]


@pytest.fixture
def outcome() -> MakeOutcome:
    """A function that makes one scored case: (attack, rate, seed, n, found, right, …)."""

    def make(
        attack: str = "badnets",
        rate: float = 0.01,
        seed: int = 0,
        n: int = 100,
        found: int = 99,
        right: bool = True,
        alarms: int = 0,
        size: int = 10_000,
        status: str = "ok",
    ) -> Outcome:
        clean = attack == CLEAN
        poisoned = 0 if clean else n
        hits = 0 if clean else found
        score = Score(
            n_samples=size,
            n_poisoned=poisoned,
            n_clean=size - poisoned,
            n_cover=0,
            found={"any": hits, "BKD": hits, "LBL": 0},
            false={"any": 2, "BKD": 0, "LBL": 2},
            cover_flagged=0,
            rankings={"shortcut_score": Ranking(0.97, {0.001: 0.5, 0.01: 0.75}, 1.0)},
            backdoor_findings=alarms,
            rules=("BKD001",) if alarms else (),
            right=right,
        )
        return Outcome(
            case=Case(attack, 0.0 if clean else rate, seed, size=size, profile="fast"),
            status=status,  # type: ignore[arg-type]
            reason="" if status == "ok" else "it broke",
            score=score if status == "ok" else None,
            success=Success(0.5, 100, 0.8),
            verdict="fail",
            n_classes=10,
            reference_accuracy=0.8,
            seconds={"poison": 1.0, "scan": 2.0, "total": 3.0},
            machine={"python": "3.11"},
            date="2026-01-01T00:00:00+00:00",
        )

    return make
