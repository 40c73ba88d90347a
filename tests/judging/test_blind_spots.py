"""What a report says that its scan could not see."""

from __future__ import annotations

import polars as pl
import pytest

from auditor.judging.blind_spots import MIN_PATCHED, MIN_TRIGGERED, blind_spots
from auditor.judging.ruleset import load_rules
from auditor.records import Coverage, DetectorRun, Reference, Scope

SAMPLES = pl.DataFrame({"format": ["PNG"], "width": [32], "height": [32]})
SEEN = Coverage(discovered=500, scanned=500, refused=0, by_reason={})


def said(classes: pl.DataFrame, accuracy: float | None = 0.9) -> str:
    evidence: dict[Scope, pl.DataFrame] = {"class": classes}
    reference = Reference("self", "0", "cpu", accuracy)
    return " ".join(blind_spots(SAMPLES, evidence, SEEN, (), reference))


def classes(disputed: float | None) -> pl.DataFrame:
    columns = {"balance_n": [250, 250], "shortcut_disputed": [None, disputed]}
    return pl.DataFrame(columns, schema_overrides={"shortcut_disputed": pl.Float64})


def test_it_says_that_labels_were_not_held_against_content_only_where_they_were_not() -> None:
    assert "which labels the content disputes" in said(classes(None))
    assert "which labels the content disputes" not in said(classes(0.1))
    assert "which labels the content disputes" not in said(pl.DataFrame({"balance_n": [250]}))


def test_it_says_that_a_linear_classifier_alone_held_labels_against_content() -> None:
    evidence: dict[Scope, pl.DataFrame] = {"class": classes(None)}
    for status, told in (("ok", True), ("inapplicable", False)):
        run = DetectorRun("plain", "1", status, 0.1, {}, None)
        text = " ".join(blind_spots(SAMPLES, evidence, SEEN, (run,), None))
        assert ("only a linear classifier" in text) == told
        assert ("Nothing says which labels" in text) != told


def test_a_weak_reference_sees_disputed_triggers_poorly() -> None:
    assert "disputed labels" in said(classes(0.1), accuracy=0.3)
    assert "reference network reaches" not in said(classes(0.1), accuracy=0.9)


@pytest.mark.parametrize(
    ("prefix", "least"), [("shortcut", MIN_TRIGGERED), ("moving", MIN_PATCHED)]
)
def test_the_least_number_of_samples_is_that_of_the_rules(prefix: str, least: int) -> None:
    """One sample fewer and no rule of the probe can fire, whatever else was measured."""
    wanted = f"{prefix}_n >= {least}"
    whens = [rule.when for rule in load_rules() if f"{prefix}_n" in rule.requires]
    assert whens
    assert all(wanted in when for when in whens)
    assert f"fewer than {MIN_TRIGGERED} samples" in said(classes(0.1))
    assert f"({MIN_PATCHED} where" in said(classes(0.1))


PLANTED = {
    "planted_n": 500, "planted_count": 30, "planted_patch_found": 2.0, "planted_patch_missed": 1.0,
    "planted_blend_found": 0.05, "planted_blend_missed": None, "planted_wave_found": None,
    "planted_wave_missed": 30.0, "planted_labels_n": 25, "planted_labels_found": 0.48,
}  # fmt: skip


def test_it_says_what_was_planted_found_and_missed_in_this_very_dataset() -> None:
    evidence: dict[Scope, pl.DataFrame] = {"dataset": pl.DataFrame([PLANTED])}
    text = " ".join(blind_spots(SAMPLES, evidence, SEEN, (), None))
    assert "on 30 samples of a class each: a patch of 2×2 pixels was found, 1×1 missed" in text
    assert "noise blended in at 5% was found; a wave of ±30 grey levels" in text
    assert "images was missed." in text
    assert "25 labels were changed at random in that copy and 48% of them named" in text


def test_it_says_nothing_of_what_was_not_planted() -> None:
    bare = dict.fromkeys(PLANTED) | {"planted_n": 500, "planted_count": 30}
    evidence: dict[Scope, pl.DataFrame] = {"dataset": pl.DataFrame([bare])}
    assert "As a check" not in " ".join(blind_spots(SAMPLES, evidence, SEEN, (), None))


def test_what_one_missing_thing_kept_from_running_is_told_once() -> None:
    """The fast profile leaves out seven detectors, all for want of a network."""
    runs = [
        DetectorRun("loss", "1", "inapplicable", 0.0, {}, "needs fold: no network"),
        DetectorRun("a", "1", "failed", 0.0, {}, "OSError: needs fold: no network"),
        DetectorRun("spectral", "1", "inapplicable", 0.0, {}, "needs fold, logits: no network"),
        DetectorRun("edges", "1", "ok", 0.0, {}, None),
        DetectorRun("moving", "1", "inapplicable", 0.0, {}, "needs labels of two classes"),
        DetectorRun("impostor", "1", "inapplicable", 0.0, {}, "needs logits: no network"),
    ]
    assert blind_spots(SAMPLES, {}, SEEN, runs, None)[:3] == (
        "a failed: OSError: needs fold: no network",
        "loss, spectral and impostor did not run: no network",
        "moving did not run: needs labels of two classes",
    )
