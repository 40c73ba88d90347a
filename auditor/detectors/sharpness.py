"""Sharpness: do samples with implausible labels share a trait, of sharpness or of tint?

A warp between pixels leaves no pattern of pixels, and weakens fine detail in the same places of
every image it is stamped on (``detail.py``). A picture blended faintly over part of an image shifts
its colours a little in the same places. Both are too faint to gather samples without help: the
other probes, which start from what samples share, do not see them. Here the content starts: do the
samples of a class whose label is implausible predict one another, in one view or the other
(``shared_trait.py``)?
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from auditor.detectors.labels.implausible import DEPTH, MIN_IMPLAUSIBLE, ROUNDS, implausible
from auditor.detectors.populations.subpopulation import nullable
from auditor.detectors.probing.detail import BLOCK, SIDE, WARP_SCALE, local_detail
from auditor.detectors.probing.probe import fill_leverage, fit_matrix
from auditor.detectors.probing.shared_trait import (
    ANYWHERE,
    COUNTS,
    RANKS,
    Question,
    anywhere,
    chances,
    chances_anywhere,
    counts,
    fitted_of,
    ranks,
)
from auditor.detectors.probing.standing import fitted_rows
from auditor.interfaces import Detector, Evidence, InapplicableError, Material

PATCH = 4
"""Pixels that tint averages over, across and down. By 2×2, where 768 columns take more samples to
fit, two classes with 30 blended ones of 10,000 stand out by 9 and 11 standard errors and other
classes by up to 4.7; by 4×4 it is 10 and 11, and 2.7."""

ANYWHERE_CUT = 0.98
"""Chance of being wrong from which a sample is named where all classes are asked together: there
are more to doubt than in one class. Whole scans of 10,000 CIFAR-10 images, SSBA 1 % all-to-all:
99 of 100 found with 10 of 9,900 clean ones; at 0.9 the same 99 with 20, at 0.5 with 52. At 5 %: 482
of 500 with 9; at 0.9, 490 with 12."""


@dataclass(frozen=True, slots=True)
class View:
    """One way to look at images.

    Attributes:
        prefix: of its columns of evidence.
        columns: (N, 32, 32, 3) uint8 images to (N, D) uint8.
        strength: λ, relative to the mean diagonal of the Gram.
        rounds: of predicting and judging who is wrong.
        cut: chance of being wrong from which a sample is a member.
    """

    prefix: str
    columns: Callable[[np.ndarray], np.ndarray]
    strength: float
    rounds: int
    cut: float


def sharpness_of(pixels: np.ndarray) -> np.ndarray:
    """(N, D) uint8 sharpness of (N, 32, 32, 3) uint8 images."""
    return local_detail(pixels, WARP_SCALE)


def tint_of(pixels: np.ndarray) -> np.ndarray:
    """(N, 192) uint8 means of `PATCH`×`PATCH` pixels of (N, 32, 32, 3) uint8 images."""
    n = SIDE // PATCH
    coded = np.empty((len(pixels), n * n * 3), np.uint8)
    for start in range(0, len(pixels), BLOCK):
        part = pixels[start : start + BLOCK].reshape(-1, n, PATCH, n, PATCH, 3)
        means = np.rint(part.mean(axis=(2, 4), dtype=np.float32))
        coded[start : start + BLOCK] = means.reshape(len(part), -1)
    return coded


VIEWS: Mapping[str, View] = {
    "sharpness": View("sharpness", sharpness_of, 0.1, ROUNDS, 0.5),
    "tint": View("sharpness_tint", tint_of, 3e-3, 3, 0.5),
}
"""Sharpness, measured on WaNet 5 % of 10,000 CIFAR-10 images, two seeds. λ: 0.05 and 0.2 find 335
and 334 (337 and 347) of 500. Cut: at 0.8, 67 % and 67 % found with 9 and 22 of 9,500 clean ones; at
0.5, 80 % and 86 % with 23 and 50. Of 49,000 images, one seed: at 0.8, 75 % with 21 of 46,550, at
0.5, 88 % with 61, at 0.3, 92 % with 106.

Tint, on adaptive blending of 30 of 10,000. λ: with 1e-2 the two classes stand out by 9.8 and 10.2
standard errors, with 3e-3 by 11.1 and 10.2; 0.1 ranks poison lower. Rounds and cut, mean of seven
more classes that fire: 24.4 of 30 found with 10 false; at 0.8, 21.4 with 4; after six rounds 23.7
with 8, as so few samples drift to what their first companions look like."""


def measure(material: Material) -> Evidence:
    """Measure classes and samples in every view; columns: ``docs/detectors/sharpness.md``.

    Raises:
        InapplicableError: too few labelled, distinct samples, or images that do not differ.
    """
    index, by_class = fitted_rows(material)
    deep = implausible(material.labels, material.views["probabilities"])
    asked = {
        label: rows[deep[rows]]
        for label, rows in by_class.items()
        if MIN_IMPLAUSIBLE <= deep[rows].sum() < len(rows)
    }
    table = _counted(material, index, deep, list(asked))
    n = int(deep[index].sum())
    everywhere: dict[str, object] = {"sharpness_any_n": n}
    samples: dict[str, object] = {"row": material.rows}
    seen = 0
    for done, view in enumerate(VIEWS.values()):
        question = question_of(material, view, index, deep)
        seen += question is not None
        found = ranks(question, asked) if question is not None else {}
        table = table.hstack(_ranked(view, found, list(asked)))
        together = question if MIN_IMPLAUSIBLE <= n < len(index) else None
        figures = anywhere(together) if together is not None else dict.fromkeys(ANYWHERE)
        everywhere |= {f"{view.prefix}_any_{name}": figures[name] for name in ANYWHERE}
        samples |= _named(view, question, asked, by_class, len(deep))
        chance = _chance_anywhere(view, together, len(deep))
        everywhere[f"{view.prefix}_any_doubt"] = doubt(chance)
        samples |= _columns(f"{view.prefix}_any", chance, ANYWHERE_CUT)
        material.progress(done + 1, len(VIEWS))
    if not seen:
        raise InapplicableError("all images are the same")
    table = _compared(table)
    schema = {name: pl.Int64 if name == "sharpness_any_n" else pl.Float64 for name in everywhere}
    return {
        "sample": pl.DataFrame(samples),
        "class": table,
        "dataset": pl.DataFrame([everywhere], schema=schema),
    }


def question_of(
    material: Material, view: View, index: np.ndarray, deep: np.ndarray
) -> Question | None:
    """One view fitted on the rows ``index``; None where it shows no difference between images."""
    columns = view.columns(material.views["pixels"])
    probe = fit_matrix(columns, index, {view.prefix: (None, view.strength)})
    if not probe.views:
        return None
    fill_leverage(probe, index)
    return Question(probe, deep, material)


def _named(
    view: View,
    question: Question | None,
    asked: Mapping[int, np.ndarray],
    by_class: Mapping[int, np.ndarray],
    n: int,
) -> dict[str, pl.Series]:
    """Chance of being wrong, and membership, of the samples of the classes that are asked."""
    score = np.full(n, np.nan)
    if question is not None:
        for label, members in asked.items():
            own = chances(question, label, by_class[label], members, view.rounds)
            score[question.material.labels == label] = own
    return _columns(view.prefix, score, view.cut)


def _chance_anywhere(view: View, question: Question | None, n: int) -> np.ndarray:
    """(n,) the same of all labelled samples, whatever their label; NaN where it is not known."""
    score = np.full(n, np.nan)
    if question is not None:
        score[question.material.labels >= 0] = chances_anywhere(question, view.rounds)
    return score


def doubt(chance: np.ndarray) -> float | None:
    """Wrong decisions to expect at a chance of a half, for each sample expected to be wrong.

    Args:
        chance: (N,) float, 0–1, NaN where it is not known.

    Returns:
        0–1, near 0 where nearly all are certain; None where nothing is known.
    """
    known = chance[np.isfinite(chance)]
    if not known.sum():
        return None
    return float(np.minimum(known, 1 - known).sum() / known.sum())


def _columns(prefix: str, score: np.ndarray, cut: float) -> dict[str, pl.Series]:
    member = np.where(np.isnan(score), np.nan, score > cut)
    return {
        f"{prefix}_score": nullable(score, pl.Float64),
        f"{prefix}_member": nullable(member, pl.Boolean),
    }


def _counted(
    material: Material, index: np.ndarray, deep: np.ndarray, asked: list[int]
) -> pl.DataFrame:
    """A row per class that is asked: label, and what every view has in common."""
    fitted = fitted_of(material, index, deep)
    found = [counts(fitted, label, material.n_classes) for label in asked]
    columns = {f"sharpness_{name}": [one[name] for one in found] for name in COUNTS}
    schema: dict[str, type[pl.DataType]] = {"label": pl.Int64}
    schema |= {name: pl.Int64 if name == "sharpness_n" else pl.Float64 for name in columns}
    return pl.DataFrame({"label": asked} | columns, schema=schema)


def _ranked(
    view: View, found: Mapping[int, Mapping[str, float | None]], asked: list[int]
) -> pl.DataFrame:
    """A row per class that is asked: how its implausible samples stand in one view."""
    nothing = dict.fromkeys(RANKS)
    rows = [found.get(label, nothing) for label in asked]
    columns = {f"{view.prefix}_{name}": [row[name] for row in rows] for name in RANKS}
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.Float64))


def _compared(table: pl.DataFrame) -> pl.DataFrame:
    """Beside each class, what other classes show too (`elsewhere`).

    Labels that depend on the image, as tired people's do, leave traces in many classes at once; a
    trigger does in the one it points to, and one that leads to all shows in all taken together.
    """
    least = table.select(
        pl.min_horizontal(f"sharpness_{name}" for name in ("within", "among", "alike"))
    ).to_series()
    told = {
        "sharpness_elsewhere": least,
        "sharpness_tint_elsewhere": table["sharpness_tint_excess"],
    }
    columns = {
        name: nullable(elsewhere(values.cast(pl.Float64).fill_null(np.nan).to_numpy()), pl.Float64)
        for name, values in told.items()
    }
    return table.with_columns(**columns)


def elsewhere(values: np.ndarray) -> np.ndarray:
    """For each class, the second greatest value of the other classes.

    Args:
        values: (K,) float, NaN where a class was not measured.

    Returns:
        (K,) float, NaN where fewer than two others were measured.
    """
    ranked = np.sort(values[np.isfinite(values)])[::-1]
    found = np.full(len(values), np.nan)
    for place, value in enumerate(values):
        others = ranked if np.isnan(value) else np.delete(ranked, np.searchsorted(-ranked, -value))
        if len(others) > 1:
            found[place] = others[1]
    return found


SHARPNESS = Detector(
    id="sharpness",
    version="6",
    title="Sharpness and tint: what samples with implausible labels have in common",
    needs=frozenset({"pixels", "probabilities", "labels"}),
    params={
        "strength": {name: view.strength for name, view in VIEWS.items()},
        "rounds": {name: view.rounds for name, view in VIEWS.items()},
        "depth": DEPTH,
        "min_implausible": MIN_IMPLAUSIBLE,
        "cut": {name: view.cut for name, view in VIEWS.items()},
        "anywhere_cut": ANYWHERE_CUT,
    },
    citation="Leave-one-out ridge in closed form (Cook & Weisberg 1982, §2.2) on traces of "
    "resampling (cf. Popescu & Farid 2005) and on averaged pixels; prediction and content are "
    "joined as a mixture",
    run=measure,
)
