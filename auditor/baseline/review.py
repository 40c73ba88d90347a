"""The scan's side of a baseline: what to look at, with which network, judged how."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np

from auditor.baseline.accepted import Accepted, load_accepted
from auditor.baseline.change import measure, review_of
from auditor.baseline.focus import Part, focus
from auditor.baseline.judging import Judged, judge_change
from auditor.baseline.reuse import reuse_reference
from auditor.baseline.suppressions import Suppression, read_suppressions
from auditor.config import Config
from auditor.errors import UsageError
from auditor.ingest import Ledger
from auditor.measure import Measurements, attempt
from auditor.records import Confidence, Reference, Rule

Made = tuple[Reference, Mapping[str, np.ndarray]]


@dataclass(frozen=True, slots=True)
class Review:
    """What a user accepted: before (``accepted``) and since (``suppressions``)."""

    accepted: Accepted | None
    suppressions: tuple[Suppression, ...]
    today: date

    @property
    def key(self) -> tuple[str, ...]:
        """What a dataset's cached results depend on beside the dataset."""
        return () if self.accepted is None else ("baseline", self.accepted.fingerprint)

    def part(self, ledger: Ledger, taken: Measurements) -> Part:
        """Measure the change, and choose what the detectors look at: all without a baseline."""
        accepted = self.accepted
        if accepted is None:
            return Part(ledger, taken)
        review = review_of(taken.samples, accepted)
        attempt("change", "1", {}, taken, lambda: measure(taken.samples, review, accepted))
        return focus(ledger, taken)

    def reference(
        self,
        settings: Config,
        part: Part,
        home: Callable[[str], Path],
        make: Callable[[Ledger], Made],
        whole: Ledger,
    ) -> Made:
        """The reference's views of the part: of the accepted dataset's network where there is one.

        Args:
            settings: of the scan.
            part: what is looked at.
            home: fingerprint → cache folder of that dataset.
            make: ledger → a reference for it.
            whole: the dataset.
        """
        if self.accepted is None:
            return make(whole)
        kept = reuse_reference(settings, self.accepted, part, home(self.accepted.fingerprint))
        if kept is not None:
            return kept
        if settings.model == "self":
            return make(part.ledger)
        reference, views = make(whole)
        return reference, part.take(views)

    def judge(
        self,
        rules: Sequence[Rule],
        taken: Measurements,
        class_names: Sequence[str],
        min_confidence: Confidence,
    ) -> Judged:
        """Apply the rules to the evidence so far; see `judging.judge_change`."""
        return judge_change(
            rules, taken, class_names, min_confidence, self.accepted, self.suppressions, self.today
        )


def open_review(settings: Config, rules: tuple[Rule, ...], dataset: Path) -> Review:
    """Read the baseline and the suppressions that the user named.

    Raises:
        UsageError: one can not be read, or comes with the dataset, whose wishes are not obeyed.
    """
    for option, value in (("baseline", settings.baseline), ("suppressions", settings.suppressions)):
        if value is not None and Path(value).resolve().is_relative_to(dataset.resolve()):
            raise UsageError(
                f"--{option} {value!r}: lies inside the dataset, whose wishes are not obeyed; keep "
                "it elsewhere"
            )
    accepted = load_accepted(Path(settings.baseline)) if settings.baseline else None
    silenced = settings.suppressions
    suppressions = read_suppressions(Path(silenced), rules) if silenced else ()
    return Review(accepted, suppressions, datetime.now(UTC).date())
