"""What every attack promises, whatever it does: counts, identity, determinism, formats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from auditor.attacks import ATTACKS
from auditor.attacks.requests.planning import find_attack
from auditor.interfaces import Attack, PoisonPlan
from auditor.poisoning import PoisonResult, poison

RATE = 0.1
IDS = [a.id for a in ATTACKS]
CASES = [
    ("folder", 28, "L", "PNG"),
    ("folder", 224, "RGB", "JPEG"),
    ("parquet", 28, "L", "PNG"),
    ("parquet", 32, "RGB", "JPEG"),
]
FEW = {"steps": 3, "rounds": 3}
"""Optimisation steps: the promises tested here hold whatever their number."""
Make = Callable[..., Path]


@pytest.fixture(autouse=True)
def quick_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """An untrained network of the right shape: what attacks promise does not hang on its skill."""

    def train(pixels: np.ndarray, labels: np.ndarray, n_classes: int, seed: int) -> Any:
        import torch
        from torch import nn

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            body = nn.Sequential(
                nn.Conv2d(3, 4, 8, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
            )
            network = nn.Sequential(body, nn.Linear(4, n_classes))
        return network, np.full(3, 120.0), np.full(3, 60.0)

    monkeypatch.setattr("auditor.poisoning.train_surrogate", train)


def content(root: Path) -> dict[tuple[str, int | None], tuple[bytes | None, str]]:
    """(uri, record) → (encoded image, label) of every sample of a copy."""
    if (root / "README.md").exists():
        paths = [p for p in root.rglob("*") if p.is_file() and p.name != "README.md"]
        return {
            (p.relative_to(root).as_posix(), None): (p.read_bytes(), p.parent.name) for p in paths
        }
    (path,) = root.glob("*.parquet")
    rows = pq.read_table(path).to_pylist()
    return {
        (path.name, i): (row["image"]["bytes"], str(row["label"])) for i, row in enumerate(rows)
    }


def run(attack: str, dataset: Path, out: Path, rate: float = RATE, **more: object) -> PoisonResult:
    params = {k: v for k, v in FEW.items() if k in find_attack(attack).params}
    settings = {"seed": 3, "workers": 1, "params": params} | more
    return poison(PoisonPlan(dataset, out, attack, rate, **settings))  # type: ignore[arg-type]


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}-{c[1]}{c[2]}")
@pytest.mark.parametrize("attack", ATTACKS, ids=IDS)
def test_alters_exactly_the_budget_and_leaves_the_rest(
    attack: Attack,
    case: tuple[str, int, str, str],
    image_folder: Make,
    parquet_file: Make,
    tmp_path: Path,
) -> None:
    n = 30
    dataset = (image_folder if case[0] == "folder" else parquet_file)(n, *case[1:])
    clean = content(run(attack.id, dataset, tmp_path / "clean", rate=0).out)
    result = run(attack.id, dataset, tmp_path / "out")
    truth = pl.read_parquet(result.truth)
    copy = content(result.out)

    assert truth["poisoned"].sum() == round(RATE * n) == result.n_poisoned
    assert truth["attack"].is_not_null().sum() == result.n_poisoned + result.n_cover
    assert set(truth.select("uri", "record").rows()) == set(copy)
    assert len(copy) == n + result.n_added
    left, touched = [], []
    for uri, record, _, name, _ in truth.rows():
        (left if name is None else touched).append(copy[uri, record])
        if not result.n_added and name is None:
            assert copy[uri, record] == clean[uri, record]
        if not result.n_added and name is not None:
            assert copy[uri, record] != clean.get((uri, record))
    assert Counter(left) <= Counter(clean.values()), "what was left alone is as in the clean copy"
    assert len(left) == n - (len(touched) - result.n_added)


@pytest.mark.parametrize("attack", ATTACKS, ids=IDS)
def test_same_seed_same_bytes_and_another_seed_other_rows(
    attack: Attack, image_folder: Make, tmp_path: Path
) -> None:
    dataset = image_folder(60)
    first = run(attack.id, dataset, tmp_path / "one")
    second = run(attack.id, dataset, tmp_path / "two")
    assert content(first.out) == content(second.out)
    assert pl.read_parquet(first.truth).equals(pl.read_parquet(second.truth))
    third = run(attack.id, dataset, tmp_path / "three", seed=4)
    assert content(third.out) != content(first.out)


@pytest.mark.parametrize("attack", ATTACKS, ids=IDS)
def test_rate_zero_is_identity(attack: Attack, parquet_file: Make, tmp_path: Path) -> None:
    """PNG is lossless, so the only change could come from the attack."""
    dataset = parquet_file(12)
    result = run(attack.id, dataset, tmp_path / "out", rate=0)
    truth = pl.read_parquet(result.truth)
    assert not truth["poisoned"].any()
    assert truth["attack"].is_null().all()
    again = run(attack.id, result.out, tmp_path / "again", rate=0)
    assert content(again.out) == content(result.out)


@pytest.mark.parametrize("attack", ATTACKS, ids=IDS)
def test_record_says_what_it_is(attack: Attack) -> None:
    assert attack.title
    assert any(c.isdigit() for c in attack.citation)
    assert set(attack.files) <= set(attack.params)
    assert attack.success != "trigger" or attack.stamp is not None


def test_ids_are_unique() -> None:
    assert len(set(IDS)) == len(IDS)
