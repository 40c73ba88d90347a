"""How attacks choose their rows: from labels alone, exactly round(rate·N) of them."""

from __future__ import annotations

import numpy as np

from auditor.errors import UsageError
from auditor.interfaces import AttackRequest, Selection


def in_place(
    rows: np.ndarray,
    labels: np.ndarray,
    cover: np.ndarray | None = None,
    donors: np.ndarray | None = None,
) -> Selection:
    """A selection that alters existing rows; rows, labels, donors: (M,) int64; cover: (M,) bool."""
    none = np.zeros(len(rows), dtype=bool)
    rows = rows.astype(np.int64)
    return Selection(
        rows=rows,
        labels=labels.astype(np.int64),
        cover=none if cover is None else cover,
        added=none,
        donors=rows if donors is None else donors.astype(np.int64),
    )


def target_class(request: AttackRequest) -> int:
    """The target class; the first class where none is asked for, as in the literature."""
    return 0 if request.target is None else request.target


def draw(
    request: AttackRequest, eligible: np.ndarray, count: int, what: str, rng: np.random.Generator
) -> np.ndarray:
    """Draw ``count`` of the eligible rows (E,) without replacement.

    A larger count extends the draw of a smaller one, so rates are nested for one seed.

    Raises:
        UsageError: fewer rows are eligible than the rate asks for.
    """
    if count > len(eligible):
        n = len(request.labels)
        raise UsageError(
            f"rate {request.rate:g}: asks for {count} of {n} samples, but only {len(eligible)} are "
            f"{what}; expected a rate of at most {len(eligible) / max(n, 1):.6g}; lower --rate or "
            "choose another class"
        )
    return rng.permutation(eligible)[:count]


def not_in_target(request: AttackRequest) -> np.ndarray:
    """Rows a dirty-label attack may take: labelled, not of the target, of the source class."""
    labels = request.labels
    allowed = (labels >= 0) & (labels != target_class(request))
    if request.source_class is not None:
        allowed &= labels == request.source_class
    return np.flatnonzero(allowed)


def dirty_label(request: AttackRequest, rng: np.random.Generator) -> Selection:
    """Samples of other classes (or of the source class) that get the target's label."""
    target = target_class(request)
    rows = draw(request, not_in_target(request), request.budget, "outside the target class", rng)
    return in_place(rows, np.full(len(rows), target))


def clean_label(request: AttackRequest, rng: np.random.Generator) -> Selection:
    """Samples of the target class, which keep their label."""
    target = target_class(request)
    eligible = np.flatnonzero(request.labels == target)
    rows = draw(request, eligible, request.budget, "of the target class", rng)
    return in_place(rows, np.full(len(rows), target))


def with_cover(
    request: AttackRequest,
    poison: Selection,
    eligible: np.ndarray,
    ratio: float,
    rng: np.random.Generator,
) -> Selection:
    """Add cover samples: stamped, but with their own label, so that the trigger tells less.

    Args:
        request: what was asked for.
        poison: the samples already chosen; none of them becomes cover.
        eligible: (E,) rows that may be cover.
        ratio: cover samples per poisoned sample.
        rng: draws them.

    Raises:
        UsageError: fewer rows are eligible than the ratio asks for.
    """
    free = np.setdiff1d(eligible, poison.rows)
    rows = draw(request, free, round(ratio * len(poison.rows)), "free to serve as cover", rng)
    joined = np.concatenate([poison.rows, rows])
    labels = np.concatenate([poison.labels, request.labels[rows]])
    return in_place(joined, labels, cover=np.arange(len(joined)) >= len(poison.rows))


def labelled(request: AttackRequest) -> np.ndarray:
    """Rows that have a label."""
    return np.flatnonzero(request.labels >= 0)


def fresh(
    request: AttackRequest, bases: np.ndarray, labels: np.ndarray, donors: np.ndarray | None = None
) -> Selection:
    """A selection of new samples; bases: (M,) rows they stand beside, labels: (M,) theirs."""
    bases = bases.astype(np.int64)
    return Selection(
        rows=bases,
        labels=labels.astype(np.int64),
        cover=np.zeros(len(bases), dtype=bool),
        added=np.ones(len(bases), dtype=bool),
        donors=bases if donors is None else donors.astype(np.int64),
    )
