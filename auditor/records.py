"""The frozen records that travel through the pipeline: what was found, and what was judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

Scope = Literal["sample", "class", "source", "file", "dataset"]
Verdict = Literal["pass", "fail", "incomplete"]
RunStatus = Literal["ok", "inapplicable", "failed"]

SCOPE_KEYS: Mapping[Scope, str | None] = {
    "sample": "row",
    "class": "label",
    "source": "source",
    "file": "uri",
    "dataset": None,
}
"""The key column of each scope's evidence table; ``dataset`` has one row and no key."""


class Severity(StrEnum):
    """How bad it is to train on what was found; ordered from ``info`` to ``critical``."""

    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Position in the order, 0 (info) … 4 (critical)."""
        return list(Severity).index(self)


class Confidence(StrEnum):
    """How sure the rule is of what it says; ordered from ``low`` to ``high``."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"

    @property
    def rank(self) -> int:
        """Position in the order, 0 (low) … 2 (high)."""
        return list(Confidence).index(self)


@dataclass(frozen=True, slots=True)
class Coverage:
    """What was looked at: ``discovered = scanned + refused``; files that are no samples apart."""

    discovered: int
    scanned: int
    refused: int
    by_reason: Mapping[str, int]
    not_samples: Mapping[str, int] = field(default_factory=dict)
    """Files that are no samples, counted by kind (``README.md``, ``.csv`` …)."""


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """What the scanned dataset is, and the fingerprint that binds a report to its content."""

    root: str
    format: str
    modality: str
    n_samples: int
    n_classes: int
    class_names: tuple[str, ...]
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Reference:
    """The network that the features came from; ``accuracy`` is out-of-fold, a fraction."""

    name: str
    digest: str
    device: str
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class DetectorRun:
    """What became of one detector or check: ``reason`` says why it failed or did not apply."""

    id: str
    version: str
    status: RunStatus
    seconds: float
    params: Mapping[str, object]
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A written judgement over evidence columns (``rules/<ID>-<slug>.toml``).

    ``when`` is an SQL expression over the scope's evidence. For a rule of a wider scope than
    ``sample``, ``members`` is an SQL expression over the sample evidence that says which samples
    of the key the finding names. ``score`` (0–1, higher is worse) and ``suggested_label`` are SQL
    expressions over the sample evidence too, ``reason`` a format string over its columns.
    ``probability`` says what the score is worth: from each score on, the share of such samples that
    were poisoned in benchmarks/score-calibration.csv; without it the score stands for itself.
    ``settles`` is an SQL expression over the scope's evidence like ``when``: where both hold, group
    and rest lie so far apart that other rules of the family, where they name mostly samples of this
    group, name no others (see `judging.judge`).
    """

    id: str
    slug: str
    title: str
    severity: Severity
    confidence: Confidence
    scope: Scope
    requires: tuple[str, ...]
    when: str
    message: str
    why: str
    remedy: str
    since: str
    tags: tuple[str, ...]
    members: str | None = None
    score: str | None = None
    probability: tuple[tuple[float, float], ...] = ()
    suggested_label: str | None = None
    reason: str | None = None
    settles: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule that fired: on which key, for how many samples, on which evidence."""

    rule: str
    title: str
    severity: Severity
    confidence: Confidence
    scope: Scope
    key: str | None
    """The class name, source, file; ``None`` for samples and the dataset."""
    n_samples: int
    message: str
    evidence: Mapping[str, float | int | str | bool | None]
    remedy: str
    witness_of: tuple[str, str | None] | None = None
    """Rule and key of the finding that tells of the same samples, where another does."""


@dataclass(frozen=True, slots=True)
class TriggerPictures:
    """What an estimated trigger looks like; every picture is a PNG.

    Attributes:
        pattern: 32×32; mid-grey is no change, brighter adds, darker takes away.
        gain: how many times the change is enlarged there.
        opaque: share of the pixels that the trigger replaces, 0–1.
        before: images that do not carry it, side by side.
        after: the same images, stamped.
    """

    pattern: bytes
    gain: float
    opaque: float
    before: bytes
    after: bytes


@dataclass(frozen=True, slots=True)
class ClassSummary:
    """One line of the report's per-class table."""

    label: int
    name: str
    n_samples: int
    n_flagged: int
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Power:
    """How many poisoned samples of an attack it takes to be caught with 95 % probability.

    Attributes:
        variant: the attack, with its parameters.
        profile: of the scans.
        n_samples: of the scanned cuts.
        runs: how many were made.
        largest: the largest count that was tried.
        count: the smallest count that is caught with 95 % probability (median of what the runs
            leave open), or None where it lies beyond ``largest``.
        low, high: 90 % credible interval; ``high`` None where it ends beyond ``largest``.
    """

    variant: str
    profile: str
    n_samples: int
    runs: int
    largest: int
    count: int | None
    low: int | None
    high: int | None

    def __str__(self) -> str:
        """The answer in words."""
        if self.count is None:
            return f"not caught reliably up to {self.largest}"
        end = f"{self.high}" if self.high is not None else f"more than {self.largest}"
        return f"{self.count} (90 % between {self.low} and {end})"
