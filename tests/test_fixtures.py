"""The recipes do what they say, and the ready-made set is what its recipe makes."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest
from typer.testing import CliRunner

from auditor.attacks.requests.recipes import read_recipe
from auditor.cli.commands import app
from auditor.config import Config
from auditor.interfaces import PoisonPlan
from auditor.poisoning import poison
from auditor.scanning import scan

FIXTURES = Path(__file__).parents[1] / "fixtures"
READY = FIXTURES / "ready"


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_fixtures", FIXTURES / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def digits(builder: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("fixtures")
    builder.write_clean(home / "clean", home / "digits")
    return home / "clean"


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_poisons_the_digits(path: Path, digits: Path, tmp_path: Path) -> None:
    recipe = read_recipe(path)
    result = poison(PoisonPlan(digits, tmp_path / "copy", **asdict(recipe)))
    truth = pl.read_parquet(result.truth)
    assert result.n_poisoned == round(recipe.rate * 600) == truth["poisoned"].sum()


def test_the_ready_made_set_is_what_its_recipe_makes(builder: ModuleType, tmp_path: Path) -> None:
    builder.build(tmp_path)
    for name in ("digits-badnets.truth.parquet", "digits-badnets/train.parquet"):
        made, kept = pl.read_parquet(tmp_path / name), pl.read_parquet(READY / name)
        others = [column for column in kept.columns if column != "image"]
        assert made.select(others).equals(kept.select(others))


def test_the_poison_of_the_ready_made_set_is_found(tmp_path: Path) -> None:
    config = Config(profile="fast", cache_dir=str(tmp_path))
    report = scan(READY / "digits-badnets", config=config)
    truth = pl.read_parquet(READY / "digits-badnets.truth.parquet").with_columns(
        pl.col("record").cast(pl.UInt64)
    )
    found = report.flagged.join(truth, on=["uri", "record"])
    assert report.verdict == "fail"
    assert found["poisoned"].sum() >= 29
    assert found.height - found["poisoned"].sum() <= 2


def test_a_written_recipe_makes_the_same_copy_again(digits: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke
    written = str(tmp_path / "a.recipe.json")
    first = ["poison", str(digits), str(tmp_path / "a"), "--recipe", str(FIXTURES / "sig.toml")]
    assert run(app, first).exit_code == 0
    again = [
        "poison",
        str(digits),
        str(tmp_path / "b"),
        "--recipe",
        written,
    ]
    assert run(app, again).exit_code == 0
    assert (tmp_path / "a" / "train.parquet").read_bytes() == (
        tmp_path / "b" / "train.parquet"
    ).read_bytes()
    other = ["poison", str(digits), str(tmp_path / "c"), "--recipe", written,
             "--seed", "9"]  # fmt: skip
    assert run(app, other).exit_code == 0
    a, c = (pl.read_parquet(tmp_path / f"{name}.truth.parquet") for name in "ac")
    assert not a["poisoned"].equals(c["poisoned"])
