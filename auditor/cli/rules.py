"""``auditor rules`` and ``auditor explain``: what the tool judges by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from auditor.cli.options import Colour
from auditor.errors import UsageError

if TYPE_CHECKING:
    from auditor.records import Rule


def rules(color: Annotated[Colour, typer.Option()] = Colour.auto) -> None:
    """List every rule: id, severity, confidence, title."""
    from auditor.cli.display import Display
    from auditor.judging.ruleset import load_rules

    Display(color.value, False, 0).rules(load_rules())


def explain(
    rule: Annotated[str, typer.Argument(help="A rule's id, such as BKD001.")],
    color: Annotated[Colour, typer.Option()] = Colour.auto,
) -> None:
    """Explain a rule: what it says, on what evidence, why it matters, what to do."""
    from auditor.cli.display import Display

    Display(color.value, False, 0).explain(_find_rule(rule))


def _find_rule(name: str) -> Rule:
    from difflib import get_close_matches

    from auditor.judging.ruleset import load_rules

    known = {rule.id: rule for rule in load_rules()}
    if name.upper() in known:
        return known[name.upper()]
    close = get_close_matches(name.upper(), known, 3)
    hint = f"did you mean {' or '.join(close)}?" if close else "see `auditor rules`"
    raise UsageError(f"rule {name!r}: no such rule; {hint}")
