"""Impostors: a population inside a class that is recognised as the class, but is not of its kind.

A dirty-label trigger that a network has learnt takes pictures of every other class into one. There
they stand apart in the activations, as Tang et al. say, but so do the kinds of thing that natural
classes are made of. Two more questions tell them apart. What would the network say if it could not
say the label? A natural group has preferences, impostors come from all other classes in
proportion. And do their pictures look like the class's other pictures? Each is asked of rows that
the mixture was not fitted to, and of two networks that share no training sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from auditor.detectors.populations.mixture import (
    Populations,
    even_distribution,
    evenness,
    fit_populations,
)
from auditor.detectors.populations.subpopulation import (
    MIN_BLOCK,
    Block,
    class_blocks,
    class_table,
    read_block,
    whitener,
)
from auditor.detectors.probing.figures import sample_frame
from auditor.detectors.probing.likeness import foreignness, some_of
from auditor.interfaces import Detector, Evidence, InapplicableError, Material

N_DIRECTIONS = 12
"""Leading whitened directions that are kept. With 24, blocks of 250 rows found the group of an
input-aware trigger in half of the splits only; with 12 in nearly all."""

N_SPLITS = 4
"""Ways to halve a block; the gains of one depend on which rows fall where (± 0.1 at 250 rows)."""

MIN_CLASSES = 4
"""With two classes there is one runner-up, with three a half each: no preference to compare."""

MIN_GROUP = 10
"""Rows that stand apart: of fewer, shares of runner-ups and of neighbours mean nothing."""

NOTHING = {
    "activation_gain": 0.0,
    "runner_gain": 0.0,
    "evenness": 0.0,
    "foreign": 0.0,
    "share": 0.0,
}
"""Where no second population was found."""


@dataclass(frozen=True, slots=True)
class Projection:
    """How rows of a block become points: centred, whitened, on the block's leading directions."""

    mean: np.ndarray
    matrix: np.ndarray

    def points(self, features: np.ndarray) -> np.ndarray:
        """(n, D) activations → (n, d) float64."""
        points: np.ndarray = (features.astype(np.float32) - self.mean) @ self.matrix
        return points.astype(np.float64)


def project(features: np.ndarray, block: Block, root: np.ndarray) -> Projection:
    """The leading directions of a block, after whitening with ``root`` (D, D)."""
    rows = read_block(features, block) @ root
    _, vectors = np.linalg.eigh((rows.T @ rows).astype(np.float64))
    leading = vectors[:, ::-1][:, :N_DIRECTIONS].astype(np.float32)
    mean = np.asarray(features[block.index], np.float32).mean(axis=0)
    return Projection(mean, root @ leading)


def halves(points: np.ndarray, column: int) -> np.ndarray:
    """(n,) bool: every other row along one direction, whatever their order in the file."""
    first = np.zeros(len(points), bool)
    first[np.argsort(points[:, column], kind="stable")[::2]] = True
    return first


def split_half(
    points: np.ndarray, runner_up: np.ndarray, even: np.ndarray
) -> tuple[dict[str, float], np.ndarray]:
    """Fit each half of a block and ask the other, for four ways to halve it.

    Args:
        points: (n, d) float64.
        runner_up: (n,) int64.
        even: (K,) as `mixture.even_distribution` gives it.

    Returns:
        ``activation_gain`` and ``runner_gain`` (means of all halves), ``evenness`` and ``share``
        of the rows that stand apart by their activations alone, and (n,) bool: which they are.
    """
    chance = np.zeros(len(points))
    gains = []
    for column in range(min(N_SPLITS, points.shape[1])):
        first = halves(points, column)
        for fitted in (first, ~first):
            model = fit_populations(points[fitted], runner_up[fitted], even)
            if model is None:
                gains.append((0.0, 0.0))
                continue
            gains.append(model.gains(points[~fitted], runner_up[~fitted]))
            chance[~fitted] += model.by_activation(points[~fitted]) / N_SPLITS
    apart = chance > 0.5
    if min(apart.sum(), (~apart).sum()) < MIN_GROUP:
        return dict(NOTHING), apart
    activation, runner = np.mean(gains, axis=0)
    measures = {
        "activation_gain": float(activation),
        "runner_gain": float(runner),
        "evenness": evenness(runner_up[apart], even),
        "share": float(apart.mean()),
    }
    return measures, apart


def measure(material: Material) -> Evidence:
    """Score samples and classes; null where a class has under 60 samples in a fold."""
    blocks = [without_copies(block, material) for block in class_blocks(material)]
    score, found = find(
        material, blocks, material.views["penultimate"], material.views["probabilities"],
        np.asarray(material.views["fold"]),
    )  # fmt: skip
    named = {
        label: [{f"impostor_{name}": one[name] for name in NOTHING} for one in measures]
        for label, measures in found.items()
    }
    sample = sample_frame(material.rows, {"impostor": score})
    return {"sample": sample, "class": class_table(named)}


def find(
    material: Material,
    blocks: Sequence[Block],
    features: np.ndarray,
    answers: np.ndarray,
    fold: np.ndarray,
) -> tuple[np.ndarray, dict[int, list[dict[str, float]]]]:
    """Measure blocks in one or more networks' views.

    Args:
        material: labels, pixels and the generator.
        blocks: rows of one class and network, of which large enough ones are looked at.
        features: (N, D) activations.
        answers: (N, K) probabilities or logits.
        fold: (N,) which network a row belongs to.

    Returns:
        (N,) float64 probability of an impostor, NaN where not evaluated, and the measures of
        `NOTHING` by class, one entry a network.

    Raises:
        InapplicableError: too few classes, or no block is large enough.
    """
    if material.n_classes < MIN_CLASSES:
        raise InapplicableError(f"needs {MIN_CLASSES} classes, there are {material.n_classes}")
    blocks = [block for block in blocks if block.index.size >= MIN_BLOCK]
    if not blocks:
        raise InapplicableError(f"no class has {MIN_BLOCK} distinct samples to be looked at")
    runner_up = runners(answers, material.labels)
    counts = np.bincount(material.labels[material.labels >= 0], minlength=material.n_classes)
    roots = {
        number: whitener(features, [block for block in blocks if block.fold == number])
        for number in {block.fold for block in blocks}
    }
    reference = some_of(np.flatnonzero(material.labels >= 0), material.generator)
    score = np.full(len(material.labels), np.nan)
    found: dict[int, list[dict[str, float]]] = {}
    for done, block in enumerate(blocks):
        even = even_distribution(counts, block.label)
        projection = project(features, block, roots[block.fold])
        points = projection.points(features[block.index])
        measures, apart = split_half(points, runner_up[block.index], even)
        measures["foreign"] = 0.0
        if min(measures["activation_gain"], measures["runner_gain"]) > 0:
            others = np.setdiff1d(reference, block.index[apart])
            measures["foreign"] = foreignness(material, block.index, apart, others).share
        model = fit_populations(points, runner_up[block.index], even)
        everyone = np.flatnonzero((fold == block.fold) & (material.labels == block.label))
        score[everyone] = _posterior(model, projection, features[everyone], runner_up[everyone])
        found.setdefault(block.label, []).append(measures)
        material.progress(done + 1, len(blocks))
    return score, found


def runners(given: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) int64: the likeliest class of each sample but its label."""
    answers = np.array(given, np.float32)
    known = np.flatnonzero(labels >= 0)
    answers[known, labels[known]] = -np.inf
    likeliest: np.ndarray = answers.argmax(axis=1)
    return likeliest


def _posterior(
    model: Populations | None, projection: Projection, features: np.ndarray, runner_up: np.ndarray
) -> np.ndarray:
    if model is None:
        return np.zeros(len(features))
    return model.posterior(projection.points(features), runner_up)


def without_copies(block: Block, material: Material) -> Block:
    """Leave copies out: they lie at one point and would be a population of their own."""
    return Block(block.label, block.fold, block.index[material.duplicate_of[block.index] < 0])


IMPOSTOR = Detector(
    id="impostor",
    version="1",
    title="Impostors: a population of a class whose content comes from all other classes",
    needs=frozenset({"pixels", "penultimate", "probabilities", "fold", "labels"}),
    params={
        "n_directions": N_DIRECTIONS,
        "n_splits": N_SPLITS,
        "min_block": MIN_BLOCK,
        "min_group": MIN_GROUP,
    },
    citation="Two populations after Tang et al. 2021, Demon in the Variant (SCAn), §5; the "
    "runner-up and likeness tests are ours",
    run=measure,
)
