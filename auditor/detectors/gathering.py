"""Gathering: who else belongs to a foreign group, by all that was measured of its class.

The impostor detector looks at activations and finds the part of a group that the networks have
learnt best; the texture probe finds the part whose processing shows best. Once one of them stands,
the other scores of its class say something too, each too little to raise an alarm: a trigger that
differs from sample to sample still leaves traces in texture, in unusual patches, in what the
networks say of the content. Two populations with one covariance are fitted to all of them together,
starting from the group that is known.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy.special import ndtri
from scipy.stats import rankdata

from auditor.detectors.probing.figures import sample_frame
from auditor.detectors.probing.group import CUT
from auditor.interfaces import Evidence

VERSION = "2"

SCORES = (
    "impostor_score", "texture_score", "moving_score", "shortcut_score", "sharpness_score",
    "sharpness_tint_score", "label_consistency_given", "label_consistency_neighbours",
    "spectral_plain", "spectral_score", "loss_value", "loss_score", "edges_score",
    "texture_any_score", "sharpness_any_score", "outlier_rough", "outlier_off",
)  # fmt: skip
"""What is joined; only its order within the class counts. The log-probabilities of all classes come
beside it. The last five were added on seeds 1 and 2 of 10,000 images of CIFAR-10 with an
input-aware trigger: of 500 poisoned samples they find 466 with 7 clean ones and 416 with 21,
without them 447 with 9 and 285 with 30; with seeds 0 and 3, 450 with 11 and 418 with 13, before 431
and 414 with 14 each. Without log-probabilities, seeds 0 and 3 had given 403 with 12 and 413 with
22."""

CLEARLY_FOREIGN = 0.75
CLEARLY_FOREIGN_Z = 10.0
"""Foreignness of a processing group that is begun from: it is the purer beginning. With seed 2 (see
`SCORES`) 253 of its 281 samples are poisoned, and 389 of 554 impostors, from which the fit ends at
283 with 23 clean ones."""

LEAST = 1e-3
"""Added to probabilities before the logarithm: below it a network's answer is rounding."""

SHRINKAGE = 0.1
"""Share of the covariance that is replaced by its mean variance, so that few members suffice; how
much hardly counts. With 0.3 the figures above are 2,257 with 70, 440 with 16 and 435 with 27."""

MIN_GROUP = 10
"""Seeds below which a class is not fitted; members below which the fit is dropped."""

MAX_ROUNDS = 150
TOLERANCE = 1e-3
MIN_SHARE, MAX_SHARE = 0.005, 0.95


def gather(samples: pl.DataFrame, classes: pl.DataFrame, probabilities: np.ndarray) -> Evidence:
    """Join the evidence of each class that holds impostors, or pictures of others processed alike.

    Args:
        samples: the scanned samples with their evidence, N rows.
        classes: the evidence of the classes.
        probabilities: (N, K) out-of-fold class probabilities.

    Returns:
        ``sample``: ``gathered_score``, the chance of belonging to the group of one's class, and
        ``gathered_member``, above a half; null in classes without such a group.
    """
    labels = samples["label"].fill_null(-1).to_numpy()
    scores = [samples[name].to_numpy().astype(float) for name in SCORES if name in samples.columns]
    chance = np.full(len(labels), np.nan)
    for label, known in beginnings(classes).items():
        rows = np.flatnonzero(labels == label)
        seed = samples[f"{known}_member"].fill_null(False).to_numpy()[rows]
        if min(seed.sum(), (~seed).sum()) < MIN_GROUP:
            continue
        found = belonging(evidence_of(rows, scores, probabilities), seed)
        held = (found > CUT).sum() >= MIN_GROUP
        chance[rows] = found if held else samples[f"{known}_score"].to_numpy()[rows]
    return {"sample": sample_frame(samples["row"].to_numpy(), {"gathered": chance})}


def beginnings(classes: pl.DataFrame) -> dict[int, str]:
    """Label → the detector whose group is begun from, of the classes that hold a foreign one."""
    foreign = classes.filter(pl.col("impostor_foreign") > 0)
    begun = dict.fromkeys(foreign["label"].to_list(), "impostor")
    if "texture_foreign" in classes.columns:
        clearly = (pl.col("texture_foreign") >= CLEARLY_FOREIGN) & (
            pl.col("texture_foreign_z") >= CLEARLY_FOREIGN_Z
        )
        begun |= dict.fromkeys(classes.filter(clearly)["label"].to_list(), "texture")
    return begun


def evidence_of(
    rows: np.ndarray, scores: list[np.ndarray], probabilities: np.ndarray
) -> np.ndarray:
    """(n, D) float64: normal scores of ranks, and standardised log-probabilities, of some rows.

    Columns that do not vary within the class, or were not measured there, are left out.
    """
    ranked = [normal_scores(score[rows]) for score in scores]
    logs = np.log(np.asarray(probabilities[rows], np.float64) + LEAST)
    columns = np.stack([*(one for one in ranked if one is not None), *logs.T], axis=1)
    spread = columns.std(axis=0)
    varied = spread > 0
    standard: np.ndarray = (columns - columns.mean(axis=0))[:, varied] / spread[varied]
    return standard


def normal_scores(values: np.ndarray) -> np.ndarray | None:
    """(n,) normal quantiles of the ranks (van der Waerden); what is not known ranks lowest."""
    known = np.isfinite(values)
    if not known.any():
        return None
    filled = np.where(known, values, values[known].min())
    scores: np.ndarray = ndtri(rankdata(filled) / (len(filled) + 1))
    return scores


def belonging(evidence: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """Chance of belonging to the seeds' one of two normal populations with one covariance, by EM.

    Args:
        evidence: (n, D) float64.
        seed: (n,) bool, where to begin. A seed may leave again: with 122 clean samples among 525,
            the fit ends at 14 among 428, as it does from the surest 47 % of them.

    Returns:
        (n,) float64, 0–1.
    """
    chance = np.where(seed, 0.95, 0.05)
    for _ in range(MAX_ROUNDS):
        before, chance = chance, step(evidence, chance)
        if np.abs(chance - before).max() < TOLERANCE:
            break
    return chance


def step(evidence: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """One round: fit both populations to the chances (n,), and judge everyone anew."""
    share = float(np.clip(chance.mean(), MIN_SHARE, MAX_SHARE))
    weights = np.stack([chance, 1 - chance])
    means = weights @ evidence / weights.sum(axis=1, keepdims=True)
    covariance = np.zeros((evidence.shape[1],) * 2)
    for weight, mean in zip(weights, means, strict=True):
        centred = evidence - mean
        covariance += (centred * weight[:, None]).T @ centred / len(evidence)
    level = np.trace(covariance) / len(covariance)
    covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * level * np.eye(len(covariance))
    direction = np.linalg.solve(covariance, means[0] - means[1])
    logit = (evidence - means.mean(axis=0)) @ direction + np.log(share / (1 - share))
    judged: np.ndarray = 1 / (1 + np.exp(-np.clip(logit, -50, 50)))
    return judged
