"""Findings that somebody looked at and accepted: by rule, content and label, for a time."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from auditor.errors import UsageError
from auditor.records import Rule

FIELDS = ("rule", "sha256", "label", "reason", "author", "expires")
MAX_BYTES = 1 << 26
"""A file above 64 MiB, some 300,000 suppressions, is a way to switch the scan off."""


@dataclass(frozen=True, slots=True, order=True)
class Suppression:
    """One accepted finding.

    Attributes:
        rule: the rule's id.
        sha256: 64 hex digits of the sample's encoded bytes.
        label: the class name that was accepted, or "" for none: another label is not covered.
        reason: why.
        author: who.
        expires: the last day on which it holds, or None.
    """

    rule: str
    sha256: str
    label: str
    reason: str
    author: str
    expires: date | None = None

    def expired(self, today: date) -> bool:
        """Whether its last day is over."""
        return self.expires is not None and self.expires < today


def read_suppressions(path: Path, rules: Sequence[Rule]) -> tuple[Suppression, ...]:
    """Read a TOML (``[[suppress]]`` tables) or a JSON-lines file, sorted, repeats left out.

    Raises:
        UsageError: the file can not be read, or an entry is incomplete or names no rule.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"suppressions {str(path)!r}: over 64 MiB; expected some lines")
        text = path.read_text("utf-8")
        entries = _toml(text) if path.suffix == ".toml" else _lines(text)
    except OSError as error:
        raise UsageError(f"suppressions {str(path)!r}: {error.strerror}; check the path") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"suppressions {str(path)!r}: {error}; expected [[suppress]] tables in a .toml file, "
            "or one JSON object a line"
        ) from None
    ids = {rule.id for rule in rules}
    return tuple(sorted({_entry(path, i, item, ids) for i, item in enumerate(entries, 1)},
                        key=_order))  # fmt: skip


def _toml(text: str) -> list[Any]:
    data = tomllib.loads(text)
    if set(data) - {"suppress"} or not isinstance(data.get("suppress", []), list):
        raise ValueError(f"unknown keys {', '.join(sorted(set(data) - {'suppress'}))}")
    found: list[Any] = data.get("suppress", [])
    return found


def _lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def write_suppressions(items: Iterable[Suppression]) -> str:
    """JSON lines, sorted and one a line, so that two people's changes merge."""
    lines = []
    for item in sorted(set(items), key=_order):
        said = {name: getattr(item, name) for name in FIELDS}
        said["expires"] = item.expires.isoformat() if item.expires else None
        lines.append(json.dumps({name: value for name, value in said.items() if value is not None}))
    return "".join(line + "\n" for line in lines)


def _order(item: Suppression) -> tuple[str, ...]:
    expires = item.expires.isoformat() if item.expires else ""
    return (item.rule, item.sha256, item.label, expires, item.author, item.reason)


def _entry(path: Path, number: int, item: Any, rules: set[str]) -> Suppression:
    where = f"suppressions {str(path)!r}: entry {number}"
    if not isinstance(item, dict):
        raise UsageError(f"{where}: got {type(item).__name__}, expected {', '.join(FIELDS)}")
    for key in item:
        if key not in FIELDS:
            close = get_close_matches(key, FIELDS, 1)
            raise UsageError(f"{where}: unknown key {key!r}; known: {', '.join(close or FIELDS)}")
    expires: Any = item.get("expires")
    try:
        if isinstance(expires, str):
            expires = date.fromisoformat(expires)
    except ValueError:
        expires = ""
    texts = {name: str(item.get(name, "")).strip() for name in FIELDS[:-1]}
    problem = (
        f"rule {texts['rule']!r} does not exist" if texts["rule"] not in rules
        else f"sha256 {texts['sha256'][:80]!r} is no sha256 in hex"
        if not re.fullmatch(r"[0-9a-f]{64}", texts["sha256"])
        else "label is missing (\"\" where the sample has none)" if "label" not in item
        else "reason is missing" if not texts["reason"]
        else "author is missing" if not texts["author"]
        else f"expires {item['expires']!r} is no date such as 2026-12-31"
        if expires is not None and type(expires) is not date
        else ""
    )  # fmt: skip
    if problem:
        raise UsageError(f"{where}: {problem}; see docs/baseline.md")
    return Suppression(**texts, expires=expires)
