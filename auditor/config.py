"""One frozen configuration from a file, ``AUDITOR_*`` variables and arguments."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from auditor.errors import UsageError
from auditor.records import Confidence, Severity

PROFILES = ("fast", "default", "thorough")
"""``fast`` trains no network: checks, duplicates and the training-free detectors only. ``thorough``
also trains a victim on the whole dataset, for detectors that ask what it has learnt."""

DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True, slots=True)
class Config:
    """What a scan is asked to do; field names are the keys of the configuration file.

    ``allow_refused`` is a count if an integer, a fraction of the discovered if a float.
    ``workers`` 0 means one for each CPU.
    """

    fail_on: Severity = Severity.HIGH
    min_confidence: Confidence = Confidence.LOW
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    allow_refused: int | float = 0
    image: str | None = None
    label: str | None = None
    source: str | None = None
    model: str = "self"
    profile: str = "default"
    device: str = "auto"
    seed: int = 0
    workers: int = 0
    sample: int | None = None
    cache_dir: str | None = None
    no_cache: bool = False
    offline: bool = True
    baseline: str | None = None
    suppressions: str | None = None

    @property
    def n_workers(self) -> int:
        """Decoding processes to start."""
        return self.workers or len(os.sched_getaffinity(0))

    @property
    def cache_root(self) -> Path | None:
        """Where features are kept, or None without a cache."""
        if self.no_cache:
            return None
        return Path(self.cache_dir).expanduser() if self.cache_dir else user_cache_path("auditor")


NAMES = tuple(field.name for field in fields(Config))
"""The keys of a configuration."""

TEXTS = ("image", "label", "source", "model")
PATHS = ("cache_dir", "baseline", "suppressions")


def load_config(
    dataset: Path,
    file: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Config:
    """Merge, weakest first: the file, ``AUDITOR_*`` variables, ``overrides`` that are not None.

    Without ``file``, ``auditor.toml`` or ``[tool.auditor]`` of ``pyproject.toml`` in the current
    folder is taken — unless that folder is inside the dataset, or holds the dataset's one file:
    a dataset's wishes are not obeyed.

    Raises:
        UsageError: a key is unknown or a value does not fit.
    """
    values: dict[str, Any] = {}
    found = file or (None if _inside(dataset) else _present())
    if found is not None:
        values |= _read(found)
    variables = os.environ if environment is None else environment
    for name, value in variables.items():
        key = name.removeprefix("AUDITOR_").lower()
        if not name.startswith("AUDITOR_"):
            continue
        if key in NAMES:
            values[key] = value
        elif close := get_close_matches(key, NAMES, 1, 0.8):
            # Other AUDITOR_* variables may mean something to others, such as AUDITOR_TEST_DATA.
            raise UsageError(f"variable {name}: unknown; did you mean AUDITOR_{close[0].upper()}?")
    values |= {key: value for key, value in (overrides or {}).items() if value is not None}
    return _checked(values)


def ignored_config(dataset: Path, file: Path | None) -> Path | None:
    """The configuration in the current folder that is not obeyed because the dataset brought it."""
    return _present() if file is None and _inside(dataset) else None


def _inside(dataset: Path) -> bool:
    """Whether the current folder is part of the dataset; a single file's folder came with it."""
    home = dataset.resolve()
    if home.is_file():
        home = home.parent
    return Path.cwd().resolve().is_relative_to(home)


def _present() -> Path | None:
    here = Path.cwd()
    own = here / "auditor.toml"
    if own.is_file():
        return own
    project = here / "pyproject.toml"
    if project.is_file() and "[tool.auditor" in project.read_text("utf-8", "replace"):
        return project
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"configuration {str(path)!r}: {error.strerror}; check --config") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"configuration {str(path)!r}: no valid TOML: {error}") from None
    if path.name == "pyproject.toml":
        data = data.get("tool", {})
        data = data.get("auditor", {}) if isinstance(data, dict) else data
    if not isinstance(data, dict):
        raise UsageError(f"configuration {str(path)!r}: [tool.auditor] is no table")
    for key in data:
        if key.replace("-", "_") not in NAMES:
            close = get_close_matches(key.replace("-", "_"), NAMES, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(NAMES)}"
            raise UsageError(f"configuration {str(path)!r}: unknown key {key!r}; {hint}")
    return {key.replace("-", "_"): value for key, value in data.items()}


def _checked(values: Mapping[str, Any]) -> Config:
    for key in values:
        if key not in NAMES:
            close = get_close_matches(key, NAMES, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise UsageError(f"option {key!r}: unknown{hint}")
    return replace(Config(), **{key: _convert(key, value) for key, value in values.items()})


def _convert(key: str, value: Any) -> Any:
    try:
        match key:
            case "fail_on":
                return Severity(value)
            case "min_confidence":
                return Confidence(value)
            case "select" | "ignore":
                return _names(value)
            case "seed" | "workers" | "sample":
                return _count(value)
            case "allow_refused":
                return _allowance(value)
            case "no_cache" | "offline":
                return _truth(value)
            case "profile":
                return _one_of(value, PROFILES)
            case "device":
                return _one_of(value, DEVICES)
            case _ if key in PATHS:
                return _text(os.fspath(value))
            case _:
                return _text(value)
    except (ValueError, TypeError):
        raise UsageError(f"option {key!r}: got {value!r}, expected {_expected(key)}") from None


def _expected(key: str) -> str:
    return {
        "fail_on": "one of " + ", ".join(Severity),
        "min_confidence": "one of " + ", ".join(Confidence),
        "profile": "one of " + ", ".join(PROFILES),
        "device": "one of " + ", ".join(DEVICES),
        "allow_refused": "a count such as 10 or a fraction such as 0.01",
        "no_cache": "true or false",
        "offline": "true or false",
        "select": "rule ids or their beginnings",
        "ignore": "rule ids or their beginnings",
        **dict.fromkeys(TEXTS, "text"),
        **dict.fromkeys(PATHS, "a path"),
    }.get(key, "a number of 0 or more")


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return tuple(str(part) for part in value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _count(value: Any) -> int:
    if isinstance(value, bool | float) or int(value) < 0:
        raise ValueError
    return int(value)


def _allowance(value: Any) -> int | float:
    if isinstance(value, str):
        value = int(value) if value.strip().isdecimal() else float(value)
    if isinstance(value, bool) or value < 0 or (isinstance(value, float) and not value <= 1):
        raise ValueError
    number: int | float = value
    return number


def _truth(value: Any) -> bool:
    word = str(value).lower()
    if word not in {"true", "1", "yes", "false", "0", "no"}:
        raise ValueError
    return word in {"true", "1", "yes"}


def _one_of(value: Any, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError
    return str(value)
