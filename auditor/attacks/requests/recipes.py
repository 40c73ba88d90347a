"""Recipes: what an attack does to a dataset, written down so that it can be done again.

A TOML file holds ``attack``, ``rate``, ``seed`` and, where wanted, ``target``, ``source_class``,
a table ``params``, and for the reader ``base`` (the dataset it is meant for) and ``note``. The
``recipe.json`` that `auditor poison` writes beside each copy is a recipe too.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditor.attacks.requests.planning import closest, find_attack, listed, typed_params
from auditor.errors import UsageError

NAMES = ("base", "note", "attack", "rate", "seed", "target", "source_class", "params")
MAX_BYTES = 1_000_000
"""A recipe is a page of text; a larger file is something else."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What `auditor poison` is told, without the dataset."""

    attack: str
    rate: float
    seed: int
    target: str | None
    source_class: str | None
    params: Mapping[str, str]


def read_recipe(path: Path) -> Recipe:
    """Read a TOML recipe, or the JSON that `auditor poison` wrote.

    Raises:
        UsageError: no such file, no recipe, an unknown key, attack or parameter.
    """
    written = path.suffix == ".json"
    values = _loaded(path, written)
    if not written:
        for key in values:
            if key not in NAMES:
                hint = closest(key, NAMES) or f"; known: {listed(NAMES)}"
                raise UsageError(f"recipe {str(path)!r}: unknown key {key!r}{hint}")
    params = values.get("params", {})
    texts = (("target", str), ("source_class", str), ("attack", str), ("params", dict))
    for key, kind in (*texts, ("rate", (int, float)), ("seed", int)):
        value = values.get(key)
        wanted = key in ("attack", "rate")
        if (value is None and wanted) or (
            value is not None and (not isinstance(value, kind) or isinstance(value, bool))
        ):
            raise UsageError(f"recipe {str(path)!r}: {key} is {value!r}; see fixtures/ for recipes")
    attack = find_attack(values["attack"])
    given = {
        name: _typed(path, written, name, value)
        for name, value in params.items()
        if value is not None
    }
    typed_params(attack, given)
    return Recipe(
        attack.id, float(values["rate"]), values.get("seed", 0), values.get("target"),
        values.get("source_class"), given,
    )  # fmt: skip


def _loaded(path: Path, written: bool) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise UsageError(f"recipe {str(path)!r}: larger than 1 MB; expected a page of text")
        text = data.decode("utf-8")
        values = json.loads(text) if written else tomllib.loads(text)
    except OSError as error:
        raise UsageError(f"recipe {str(path)!r}: {error.strerror}; check --recipe") from None
    except (ValueError, RecursionError) as error:
        kind = "JSON" if written else "TOML"
        raise UsageError(f"recipe {str(path)!r}: no valid {kind}: {error}") from None
    if not isinstance(values, dict):
        raise UsageError(f"recipe {str(path)!r}: got a {type(values).__name__}, expected keys")
    return values


def _typed(path: Path, written: bool, name: str, value: object) -> str:
    """A parameter as one would type it after ``--param``.

    A file's path is relative to a TOML recipe; a written one keeps it as it was typed.

    Raises:
        UsageError: the value has no such form.
    """
    if isinstance(value, dict) and isinstance(value.get("path"), str):
        return value["path"] if written else str(path.parent / value["path"])
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, int, float)):
        return str(value)
    raise UsageError(
        f"recipe {str(path)!r}: parameter {name!r} is {value!r}; expected a number, text, true, "
        'false or { path = "trigger.png" }'
    )
