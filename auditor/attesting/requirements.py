"""What a user asks of an attestation before training: ``--require`` and ``--max-age``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from auditor.errors import UsageError
from auditor.records import Severity

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

FORMS = "pass, complete, no-SEVERITY, detector:ID, power:ATTACK<=N, any"

SKEW = timedelta(minutes=5)
"""How far ahead another machine's clock may be; Kerberos allows as much (RFC 4120, 5 minutes)."""


def parse_age(text: str) -> timedelta:
    """Read an age such as ``30d``, ``12h``, ``90m`` or ``2w``.

    Raises:
        UsageError: it is none.
    """
    match = re.fullmatch(r"(\d{1,5})([mhdw])", text.strip())
    if not match:
        raise UsageError(f"--max-age {text!r}: expected a number and m, h, d or w, such as 30d")
    return timedelta(**{UNITS[match[2]]: int(match[1])})


def check_age(predicate: Mapping[str, Any], limit: timedelta | None, now: datetime) -> list[str]:
    """Say what is wrong with a statement's age; nothing if it may be used."""
    try:
        scanned = datetime.fromisoformat(str(predicate["timeScanned"]))
    except (KeyError, ValueError):
        scanned = None
    if scanned is None or scanned.tzinfo is None:
        return ["the attestation does not say when the scan was made"]
    age = now - scanned
    if age < -SKEW:
        return [f"the scan is dated in the future ({scanned:%Y-%m-%d %H:%M} UTC)"]
    if limit is not None and age > limit:
        return [
            f"the scan is too old: made on {scanned.astimezone(UTC):%Y-%m-%d %H:%M} UTC, "
            f"{_spoken(age)} ago, allowed are {_spoken(limit)}; scan and attest again"
        ]
    return []


def check_requirements(predicate: Mapping[str, Any], wanted: Iterable[str]) -> list[str]:
    """Say which requirements a scan's predicate does not meet.

    Args:
        predicate: the signed predicate of a scan.
        wanted: requirements as typed; each may hold several, separated by commas.

    Raises:
        UsageError: a requirement is none.
    """
    problems = []
    for item in wanted:
        for text in item.split(","):
            problem = _unmet(text.strip(), predicate)
            if problem:
                problems.append(problem)
    return problems


def validate(wanted: Iterable[str]) -> None:
    """Refuse what is no requirement, before anything is read.

    Raises:
        UsageError: a requirement is none.
    """
    empty = {"findings": {}, "coverage": {}, "detectors": [], "power": [], "verdict": ""}
    check_requirements(empty, wanted)


def _unmet(text: str, predicate: Mapping[str, Any]) -> str | None:
    """What is missing for one requirement, or None."""
    kind, _, rest = text.partition(":")
    if text == "any":
        return None
    if text == "pass":
        verdict = predicate.get("verdict")
        return None if verdict == "pass" else f"required pass, the scan's verdict is {verdict!r}"
    if text == "complete":
        return _incomplete(predicate)
    if text.startswith("no-") and text[3:] in set(Severity):
        return _findings(predicate, Severity(text[3:]))
    if kind == "detector" and rest:
        ran = [run for run in predicate.get("detectors", []) if run.get("id") == rest]
        if any(run.get("status") == "ok" for run in ran):
            return None
        said = ran[0].get("status") if ran else "absent"
        return f"required detector {rest}, in the scan it was {said}"
    if kind == "power" and (match := re.fullmatch(r"([^<=]+)<=\s*(\d{1,12})", rest)):
        return _power(predicate, match[1].strip(), int(match[2]))
    raise UsageError(f"--require {text!r}: expected {FORMS}, such as no-high or power:badnets<=50")


def _findings(predicate: Mapping[str, Any], limit: Severity) -> str | None:
    counts = predicate.get("findings", {})
    missing = [level.value for level in Severity if level.value not in counts]
    found = {
        level.value: counts[level.value]
        for level in Severity
        if level.rank >= limit.rank and counts.get(level.value)
    }
    if found:
        listed = ", ".join(f"{n:g} {name}" for name, n in found.items())
        return f"required no finding of {limit.value} severity or above, the scan has {listed}"
    return f"the attestation does not count findings ({', '.join(missing)})" if missing else None


def _incomplete(predicate: Mapping[str, Any]) -> str | None:
    coverage = predicate.get("coverage", {})
    refused = coverage.get("refused")
    failed = [run["id"] for run in predicate.get("detectors", []) if run.get("status") == "failed"]
    if predicate.get("config", {}).get("options", {}).get("baseline"):
        return "required complete, the scan judged only what was new since a baseline"
    if refused != 0:
        return f"required complete, {refused} samples were not scanned"
    return f"required complete, {', '.join(failed)} failed" if failed else None


def _power(predicate: Mapping[str, Any], attack: str, limit: int) -> str | None:
    """A promise counts by its worse end: the upper end of the interval of what may be missed."""
    for line in predicate.get("power") or []:
        if str(line.get("attack", "")) != attack:
            continue
        high = line.get("high")
        if high is None:
            return f"required power {attack} <= {limit}, the scan can not promise any count"
        if high <= limit:
            return None
        return (
            f"required power {attack} <= {limit}, as many as {high:g} poisoned samples may be "
            "needed to be caught (upper end of the interval)"
        )
    return f"required power {attack} <= {limit}, the attestation has no figure for {attack!r}"


def _spoken(age: timedelta) -> str:
    hours = age / timedelta(hours=1)
    return f"{hours / 24:.3g} days" if hours >= 48 else f"{hours:.3g} hours"
