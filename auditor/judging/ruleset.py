"""Rules: `rules/*.toml` read and checked."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import fields
from difflib import get_close_matches
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import pairwise
from pathlib import Path
from typing import get_args

from auditor.errors import UsageError
from auditor.records import Confidence, Rule, Scope, Severity


def rules_folder() -> Traversable:
    """Where the shipped rules lie: inside the wheel, or beside the package in a checkout."""
    shipped = files("auditor") / "rules"
    return shipped if shipped.is_dir() else Path(__file__).parents[2] / "rules"


def load_rules(folder: Traversable | None = None) -> tuple[Rule, ...]:
    """Read every rule, sorted by id.

    Raises:
        UsageError: a rule file is malformed, or two rules share an id.
    """
    source = folder or rules_folder()
    rules = [
        _parse(item.name, item.read_text("utf-8"))
        for item in source.iterdir()
        if item.name.endswith(".toml")
    ]
    rules.sort(key=lambda rule: rule.id)
    for one, other in pairwise(rules):
        if one.id == other.id:
            raise UsageError(f"rule {one.id}: two files claim this id; ids are never reused")
    return tuple(rules)


def _parse(name: str, text: str) -> Rule:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"rule file {name!r}: no valid TOML: {error}") from None
    known = {field.name for field in fields(Rule)}
    for key in data:
        if key not in known:
            close = get_close_matches(key, known, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise UsageError(f"rule file {name!r}: unknown key {key!r}{hint}")
    identifier, _, slug = name.removesuffix(".toml").partition("-")
    if data.get("id") != identifier:
        raise UsageError(f"rule file {name!r}: id is {data.get('id')!r}, expected {identifier!r}")
    if data.get("scope") not in get_args(Scope):
        raise UsageError(f"rule file {name!r}: scope is {data.get('scope')!r}, expected one of "
                         f"{', '.join(get_args(Scope))}")  # fmt: skip
    try:
        data |= {
            "slug": slug,
            "severity": Severity(data["severity"]),
            "confidence": Confidence(data["confidence"]),
            "requires": tuple(data["requires"]),
            "tags": tuple(data["tags"]),
            "probability": _steps(data.get("probability", [])),
        }
        return Rule(**data)
    except (KeyError, ValueError, TypeError) as error:
        raise UsageError(f"rule file {name!r}: {error}") from None


def _steps(given: Sequence[Sequence[float]]) -> tuple[tuple[float, float], ...]:
    """Scores and what each is worth from there on, both rising within 0–1.

    Raises:
        ValueError: they do not.
    """
    steps = tuple((float(start), float(share)) for start, share in given)
    for values in zip(*steps, strict=True):
        if list(values) != sorted(values) or not 0 <= values[0] <= values[-1] <= 1:
            raise ValueError(f"probability is {given!r}, expected [score, share] rising in 0–1")
    return steps


def select_rules(
    rules: Sequence[Rule], select: Sequence[str], ignore: Sequence[str]
) -> tuple[Rule, ...]:
    """Rules whose id starts with one of ``select`` (all, if empty) and none of ``ignore``.

    Raises:
        UsageError: a prefix fits no rule.
    """
    for prefix in (*select, *ignore):
        if not any(rule.id.startswith(prefix.upper()) for rule in rules):
            close = get_close_matches(prefix.upper(), [rule.id for rule in rules], 3)
            hint = f"; did you mean {' or '.join(close)}?" if close else "; see `auditor rules`"
            raise UsageError(f"rule {prefix!r}: no rule id starts like this{hint}")
    wanted = tuple(prefix.upper() for prefix in select) or ("",)
    unwanted = tuple(prefix.upper() for prefix in ignore)
    return tuple(
        rule
        for rule in rules
        if rule.id.startswith(wanted) and not (unwanted and rule.id.startswith(unwanted))
    )
