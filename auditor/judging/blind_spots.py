"""What a scan could not see, said in plain words from what this scan did and measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from auditor.records import Coverage, DetectorRun, Reference, Scope

MIN_TRIGGERED = 25
"""Least samples of the gates of patterns that keep their place, and of disputed groups."""

MIN_PATCHED = 20
"""Least samples of the gates of patches that move."""

MIN_STARK = 8
"""Least samples of the gate of stark patterns whose labels the content disputes."""

WEAK_ACCURACY = 0.6
"""Out-of-fold accuracy of the reference under which its word on single labels means little."""


def blind_spots(
    samples: pl.DataFrame,
    evidence: Mapping[Scope, pl.DataFrame],
    covered: Coverage,
    runs: Sequence[DetectorRun],
    reference: Reference | None,
) -> tuple[str, ...]:
    """Sentences for the report, the most serious first."""
    spots: list[str] = []
    if covered.refused:
        spots.append(
            f"{covered.refused:,} samples or files were refused: nothing is known of their content."
        )
    spots.extend(_absent_spots(runs))
    spots.extend(_size_spots(evidence))
    spots.extend(_content_spots(evidence, runs))
    spots.extend(_planted_spots(evidence))
    if reference is not None and reference.accuracy is not None:
        spots.extend(_reference_spots(reference.accuracy))
    formats = set(samples["format"].drop_nulls().unique().to_list())
    if formats & {"GIF", "WEBP", "TIFF"}:
        spots.append("Only the first frame of animated or multi-page images was looked at.")
    large = samples.filter((pl.col("width") > 64) & (pl.col("height") > 64)).height
    if large:
        spots.append(
            f"{large:,} images are larger than 64×64 and were judged at reduced size: a trigger "
            "finer than that, or one that only appears at another scale, may not show."
        )
    spots.append(
        "Warps and faint pictures with few samples or one source class, patches that samples carry "
        "in parts, triggers on photos that are invisible or differ from sample to sample, and "
        "clean-label poison made with a surrogate network, are not reliably found by this version."
    )
    return tuple(spots)


def _absent_spots(runs: Sequence[DetectorRun]) -> list[str]:
    """What failed, one by one; what did not run, together where one thing was missing for all."""
    spots = [f"{run.id} failed: {run.reason}" for run in runs if run.status == "failed"]
    why: dict[str, list[str]] = {}
    for run in runs:
        if run.status not in ("ok", "failed"):
            why.setdefault(_missing(run.reason or "no reason was given"), []).append(run.id)
    for reason, ids in why.items():
        listed = ids[0] if len(ids) == 1 else f"{', '.join(ids[:-1])} and {ids[-1]}"
        spots.append(f"{listed} did not run: {reason}")
    return spots


def _missing(reason: str) -> str:
    """Why views are absent, without which views a detector needs."""
    needs, _, absent = reason.partition(": ")
    return absent if needs.startswith("needs ") and absent else reason


def _size_spots(evidence: Mapping[Scope, pl.DataFrame]) -> list[str]:
    classes = evidence.get("class")
    if classes is None or "balance_n" not in classes.columns or not classes.height:
        return []
    smallest = classes["balance_n"].min()
    spots = [
        f"A trigger on fewer than {MIN_TRIGGERED} samples of a class ({MIN_PATCHED} where it is a "
        f"small patch that moves, {MIN_STARK} where it stands out and the content disputes the "
        "labels) can not be told from chance."
    ]
    if isinstance(smallest, int) and smallest < 5 * MIN_TRIGGERED:
        n = classes.filter(pl.col("balance_n") < 5 * MIN_TRIGGERED).height
        have = "class has" if n == 1 else "classes have"
        spots.append(f"{n} {have} fewer than {5 * MIN_TRIGGERED} samples: too few to judge well.")
    return spots


def _content_spots(
    evidence: Mapping[Scope, pl.DataFrame], runs: Sequence[DetectorRun]
) -> list[str]:
    """The probes could not ask a network whether the content disputes the labels of a group."""
    classes = evidence.get("class")
    if classes is None or "shortcut_disputed" not in classes.columns:
        return []
    if classes["shortcut_disputed"].null_count() < classes.height:
        return []
    if any(run.id == "plain" and run.status == "ok" for run in runs):
        return [
            "No network says which labels the content disputes, only a linear classifier: triggers "
            "that samples of other classes show too could not be told, nor could warps, faint "
            "pictures and noise that lead to many classes."
        ]
    return [
        "Nothing says which labels the content disputes: triggers that lead to many classes, and "
        "those that samples of other classes show too, could not be told."
    ]


_PATTERNS = {
    "patch": ("a patch of {0:.0f}×{0:.0f} pixels", "{0:.0f}×{0:.0f}"),
    "blend": ("noise blended in at {:.0%}", "{:.0%}"),
    "wave": ("a wave of ±{:g} grey levels on a class's own images", "±{:g}"),
}
"""How a planted pattern of a strength is said, in full and again."""


def _planted_spots(evidence: Mapping[Scope, pl.DataFrame]) -> list[str]:
    """What was found of the poison that the scan planted in a copy (``planting``)."""
    table = evidence.get("dataset")
    if table is None or "planted_n" not in table.columns:
        return []
    known = table.row(0, named=True)
    told = [said for name in _PATTERNS if (said := _told(known, name))]
    spots = []
    if told:
        spots.append(
            f"As a check, patterns were planted in a copy of these images, on "
            f"{known['planted_count']} samples of a class each: {'; '.join(told)}. What is "
            "fainter, or on fewer samples, would have been missed too."
        )
    share = known["planted_labels_found"]
    if share is not None:
        spots.append(
            f"As a check, {known['planted_labels_n']:,} labels were changed at random in that copy "
            f"and {share:.0%} of them named: at most as many wrong ones would have been, and fewer "
            "where one class looks like the other."
        )
    return spots


def _told(known: Mapping[str, float | None], name: str) -> str:
    """What became of one pattern; nothing where it was not planted."""
    found, missed = known[f"planted_{name}_found"], known[f"planted_{name}_missed"]
    first, again = _PATTERNS[name]
    if found is None:
        return f"{first.format(missed)} was missed" if missed is not None else ""
    also = f", {again.format(missed)} missed" if missed is not None else ""
    return f"{first.format(found)} was found{also}"


def _reference_spots(accuracy: float) -> list[str]:
    if accuracy >= WEAK_ACCURACY:
        return []
    return [
        f"The reference network reaches only {accuracy:.0%} on held-out samples: single wrong "
        "labels, triggers told by disputed labels, and hidden groups are seen poorly."
    ]
