"""What one run of the bench is: an attack at a rate on a cut of a dataset, and what it asks for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from auditor.judging.ruleset import rules_folder

CLEAN = "clean"
"""The name of a case without an attack: the same copy, re-encoded alike, with nothing altered."""

BACKDOOR = frozenset({"BKD"})
LABELS = frozenset({"LBL"})

EXPECTED: Mapping[str, frozenset[str]] = {
    "label_swap": LABELS,
    "replaced_bytes": LABELS,
    "noise_injection": frozenset({"OUT"}),
    "outlier_injection": frozenset({"OUT", "LBL"}),
    "foreign_injection": frozenset({"BKD", "OUT", "LBL"}),
    "near_duplicate_flood": frozenset({"DUP"}),
    "source_concentration": BACKDOOR,
    "image_scaling": frozenset({"BKD", "OUT", "FMT"}),
    "direct_gradient": frozenset({"BKD", "OUT", "LBL"}),
    "generative": frozenset({"BKD", "OUT", "LBL"}),
    "feature_collision": frozenset({"BKD", "OUT", "LBL"}),
    "bullseye": frozenset({"BKD", "OUT", "LBL"}),
    "gradient_matching": frozenset({"BKD", "OUT", "LBL"}),
}
"""Families of which one finding makes a verdict right, where the attack's kind does not say it: the
last five leave no trigger and may have right labels, so any finding on samples is a catch. Foreign
images were processed elsewhere and carry labels at random, and pictures hidden for the scaler carry
its trace under labels that what they then show disputes: two backdoor rules say just that."""

BY_KIND: Mapping[str, frozenset[str]] = {
    "dirty_label": BACKDOOR,
    "clean_label": BACKDOOR,
    "availability": LABELS,
    "integrity": frozenset({"BKD", "OUT", "LBL", "DUP", "FMT", "INT", "PRV"}),
}

UNSEEN = ("cli", "reports", "benching", "judging/blind_spots.py", "illustrate.py")
"""Parts of the package that can not change what a scan flags: no case is run again for them."""


@dataclass(frozen=True, slots=True)
class Case:
    """One run: poison a cut of ``size`` samples, scan it, compare with the truth.

    Attributes:
        attack: an attack's id, or `CLEAN`.
        rate: poisoned / all samples of the cut, a fraction; 0 for `CLEAN`.
        seed: of the cut, of the attack's choices and patterns. The scan keeps its own.
        target, source_class: class names or numbers, as `auditor poison` takes them.
        params: the attack's parameters that are not canonical.
        size: samples of the cut; None takes all but the held-out ones.
        profile: ``fast``, ``default`` or ``thorough``, as `auditor scan` has it.
        victim_epochs: whether the attack works is asked of a network trained on the whole copy for
            so many epochs; 0 asks the networks that the scan trained for itself.
    """

    attack: str
    rate: float
    seed: int = 0
    target: str | None = None
    source_class: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    size: int | None = None
    profile: str = "default"
    victim_epochs: int = 0

    @property
    def variant(self) -> str:
        """The attack with what is not canonical about it, such as ``all_to_all with=ssba``."""
        parts = [f"{name}={value}" for name, value in sorted(self.params.items())]
        if self.source_class is not None:
            parts.append(f"from={self.source_class}")
        if self.target is not None:
            parts.append(f"to={self.target}")
        return " ".join([self.attack, *parts])

    @property
    def slug(self) -> str:
        """One line that names the case within a suite and a dataset."""
        size = "" if self.size is None else f" n={self.size}"
        victim = f" victim={self.victim_epochs}" if self.victim_epochs else ""
        return f"{self.variant} rate={self.rate:g} seed={self.seed}{size} {self.profile}{victim}"

    def digest(self, dataset: str, tool: str | None = None) -> str:
        """What a stored result is found by: the definition, the dataset's digest, the tool's."""
        tool = tool_digest() if tool is None else tool
        parts = {**asdict(self), "dataset": dataset, "tool": tool}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def expected_families(attack: str, kind: str) -> frozenset[str]:
    """The rule families of which a finding is right for an attack; none for `CLEAN`."""
    if attack == CLEAN:
        return frozenset()
    return EXPECTED.get(attack, BY_KIND[kind])


@cache
def tool_digest() -> str:
    """sha256 of the code and the rules that decide what a scan flags and an attack alters."""
    digest = hashlib.sha256()
    for name, item in sorted(_sources(files("auditor"), "")):
        if not name.startswith(UNSEEN):
            digest.update(f"{name}:{len(item)}\n".encode() + item)
    for name, item in sorted(_sources(rules_folder(), "rules/")):
        digest.update(f"{name}:{len(item)}\n".encode() + item)
    return digest.hexdigest()


def _sources(folder: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    found = []
    for item in folder.iterdir():
        if item.is_dir() and item.name not in ("__pycache__", "rules"):
            found.extend(_sources(item, f"{prefix}{item.name}/"))
        elif item.name.endswith((".py", ".toml")):
            found.append((prefix + item.name, item.read_bytes()))
    return found
