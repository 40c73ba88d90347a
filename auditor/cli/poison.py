"""``auditor poison`` and ``auditor attacks``: data to test a scan with."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from auditor.cli.options import Colour, parse_params
from auditor.errors import UsageError


def poison(
    dataset: Annotated[Path, typer.Argument(help="The clean dataset; it is only read.")],
    out: Annotated[Path, typer.Argument(help="The poisoned copy; must not exist.")],
    attack: Annotated[str | None, typer.Option(help="See `auditor attacks`.")] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Poisoned samples ÷ all samples, 0–1.")
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(help="Do what this TOML recipe, or the recipe.json of a copy, says; options "
                     "named beside it win."),
    ] = None,
    target: Annotated[str | None, typer.Option(help="Class the poison points to.")] = None,
    source_class: Annotated[
        str | None, typer.Option(help="Poison samples of this class only.")
    ] = None,
    param: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Attack parameter; repeatable.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="[default: 0]")] = None,
    progress: Annotated[bool | None, typer.Option("--progress/--no-progress")] = None,
    color: Annotated[Colour, typer.Option()] = Colour.auto,
) -> None:  # fmt: skip
    """Write a poisoned copy of a dataset, with OUT.truth.parquet and OUT.recipe.json beside it."""
    from auditor.cli.display import Display
    from auditor.interfaces import PoisonPlan
    from auditor.poisoning import poison as run

    display = Display(color.value, progress, 0)
    asked = {
        "attack": attack, "rate": rate, "target": target, "source_class": source_class,
        "params": parse_params(param), "seed": seed,
    }  # fmt: skip
    plan = PoisonPlan(dataset, out, **_with_recipe(recipe, asked))
    with display.stage("Poisoning a copy") as advance:
        result = run(plan, advance)
    display.say(
        f"{result.n_poisoned:,} of {result.n_samples:,} samples poisoned with {result.attack}"
        + (f" towards {result.target}" if result.target else "")
        + f"\ncopy    {result.out}\ntruth   {result.truth}\nrecipe  {result.recipe}"
    )


def _with_recipe(recipe: Path | None, asked: dict[str, Any]) -> dict[str, Any]:
    """What to do to a dataset: the recipe's values, and over them those that were named."""
    named = {key: value for key, value in asked.items() if value is not None}
    if recipe is not None:
        from auditor.attacks.requests.recipes import read_recipe

        base = asdict(read_recipe(recipe))
        # Another attack has other parameters.
        kept = base["params"] if named.get("attack", base["attack"]) == base["attack"] else {}
        named = {**base, **named, "params": {**kept, **named["params"]}}
    for option in ("attack", "rate"):
        if option not in named:
            raise UsageError(f"--{option}: is needed, unless --recipe names a file that says it")
    return {"target": None, "source_class": None, "seed": 0, **named}


def attacks(color: Annotated[Colour, typer.Option()] = Colour.auto) -> None:
    """List the bundled attacks with their parameters and citations."""
    from auditor.attacks import ATTACKS
    from auditor.cli.display import Display

    display = Display(color.value, False, 0)
    for known in ATTACKS:
        params = " ".join(f"{name}={value}" for name, value in known.params.items())
        display.entry(known.id, known.title, params, known.citation)
