from __future__ import annotations

import json
from pathlib import Path

import pytest

from auditor.attacks.requests.recipes import Recipe, read_recipe
from auditor.errors import UsageError

RECIPES = sorted((Path(__file__).parents[2] / "fixtures").glob("*.toml"))


def written(folder: Path, text: str, name: str = "recipe.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_recipe_says_what_to_do(tmp_path: Path) -> None:
    text = 'attack = "badnets"\nrate = 0.05\nseed = 3\ntarget = "7"\n'
    text += "[params]\npixels = 5\nalpha = 0.5\n"
    recipe = read_recipe(written(tmp_path, text))
    assert recipe == Recipe("badnets", 0.05, 3, "7", None, {"pixels": "5", "alpha": "0.5"})


def test_a_picture_lies_beside_its_recipe(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (3, 3), (255, 0, 0)).save(tmp_path / "trigger.png")
    text = 'attack = "badnets"\nrate = 0.05\n[params]\ntrigger = { path = "trigger.png" }\n'
    recipe = read_recipe(written(tmp_path, text))
    assert recipe.params == {"trigger": str(tmp_path / "trigger.png")}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('attack = "badnet"\nrate = 0.1', "did you mean 'badnets'"),
        ('attack = "badnets"\nrat = 0.1', "unknown key 'rat', did you mean 'rate'"),
        ('attack = "badnets"', "rate is None"),
        ('attack = "badnets"\nrate = true', "rate is True"),
        ('attack = "badnets"\nrate = 0.1\n[params]\npixel = 5', "no parameter 'pixel'"),
        ('attack = "badnets"\nrate = 0.1\n[params]\npixels = [1]', "parameter 'pixels'"),
        ("attack = ", "no valid TOML"),
        ("rate = 0.1", "attack is None"),
    ],
)
def test_what_is_no_recipe_is_refused_with_a_hint(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_recipe(written(tmp_path, text))


def test_files_that_are_no_recipes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_recipe(tmp_path / "absent.toml")
    with pytest.raises(UsageError, match="got a list"):
        read_recipe(written(tmp_path, "[]", "recipe.json"))
    with pytest.raises(UsageError, match="no valid JSON"):
        read_recipe(written(tmp_path, "[" * 100_000, "recipe.json"))
    with pytest.raises(UsageError, match="larger than 1 MB"):
        read_recipe(written(tmp_path, "#" * 1_000_001))


def test_what_was_written_beside_a_copy_is_a_recipe(tmp_path: Path) -> None:
    record = {
        "auditor": "0.1.0", "attack": "sig", "rate": 0.02, "seed": 4, "target": None,
        "source_class": None, "params": {"delta": 30.0, "f": 6.0, "test_delta": 30.0},
    }  # fmt: skip
    recipe = read_recipe(written(tmp_path, json.dumps(record), "recipe.json"))
    assert (recipe.attack, recipe.rate, recipe.seed, recipe.target) == ("sig", 0.02, 4, None)
    assert recipe.params == {"delta": "30.0", "f": "6.0", "test_delta": "30.0"}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_bundled_recipe_can_be_read(path: Path) -> None:
    assert 0 < read_recipe(path).rate <= 0.2
