"""What several commands take: the values of their options, and how one is parsed."""

from __future__ import annotations

from enum import StrEnum

from auditor.errors import UsageError


class Level(StrEnum):
    """Severities, as the command line takes them."""

    info = "info"
    low = "low"
    medium = "medium"
    high = "high"
    critical = "critical"


class Surety(StrEnum):
    """Confidences, as the command line takes them."""

    low = "low"
    medium = "medium"
    high = "high"


class Colour(StrEnum):
    """When to colour."""

    auto = "auto"
    always = "always"
    never = "never"


class Profile(StrEnum):
    """How much work a scan may do."""

    fast = "fast"
    default = "default"
    thorough = "thorough"


class Device(StrEnum):
    """Where the reference network runs."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


def parse_params(items: list[str] | None) -> dict[str, str]:
    """``KEY=VALUE`` items as a mapping.

    Raises:
        UsageError: an item has no key or no value.
    """
    found: dict[str, str] = {}
    for item in items or []:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise UsageError(f"--param {item!r}: expected KEY=VALUE, such as --param side=5")
        found[name] = value
    return found
