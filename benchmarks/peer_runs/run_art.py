"""Runs a poison detector of the Adversarial Robustness Toolbox on given activations.

    python run_art.py METHOD FOLDER OUT REPEATS RATE

METHOD is ``spectral`` or ``activation_clustering:ANALYSIS``. The activations of the two folds come
from two networks, so each fold is looked at by itself, as auditor's own detectors do.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
from timed import load, timed, write

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that torch is missing, which these detectors do not use
    from art.defences.detector.poison.activation_defence import ActivationDefence
    from art.defences.detector.poison.spectral_signature_defense import SpectralSignatureDefense


SMALL = 0.35
"""ART's size_threshold; Chen et al. 2018 have it from their experiments."""


class Activations:
    """A classifier as far as ART asks for one: what it is given are the activations."""

    layer_names = ("penultimate",)

    def __init__(self, n_classes: int) -> None:
        self.nb_classes = n_classes

    def get_activations(self, x: np.ndarray, layer: int, batch_size: int) -> np.ndarray:
        """The activations themselves."""
        return x


def detect(
    method: str, features: np.ndarray, labels: np.ndarray, n_classes: int, rate: float
) -> np.ndarray:
    """(n,) bool flags of one feature space; everything but ``rate`` is ART's default.

    ART's own ``relative-size`` analysis fails on NumPy 2.4 where no cluster of a class is small
    (1.20.1, analyze_by_relative_size: ``in`` on an empty array), so its rule is applied here to
    ART's clusters: the smaller one counts as poison if it is under 35 % of its class.
    """
    name, _, analysis = method.partition(":")
    model = Activations(n_classes)
    if name == "spectral":
        defence = SpectralSignatureDefense(model, features, labels, expected_pp_poison=rate)
        _, clean = defence.detect_poison()
    else:
        _, clean = ActivationDefence(model, features, np.eye(n_classes)[labels]).detect_poison()
    flags = np.asarray(clean) == 0
    if analysis == "relative-size":
        size = np.maximum(np.bincount(labels, minlength=n_classes), 1)
        share = np.bincount(labels, flags, n_classes) / size
        flags &= (np.round(share, 2) < SMALL)[labels]
    return flags


def main(method: str, folder: str, out: str, repeats: str, rate: str) -> None:
    """Load, run, write."""
    home = Path(folder)
    labels, fold = np.array(load(home, "labels")), np.array(load(home, "fold"))
    features = np.array(load(home, "penultimate"), np.float32)
    n_classes = int(labels.max()) + 1

    def run() -> np.ndarray:
        np.random.seed(0)
        flags = np.zeros(len(labels), bool)
        for number in np.unique(fold):
            part = fold == number
            flags[part] = detect(method, features[part], labels[part], n_classes, float(rate))
        return flags

    write(Path(out), *timed(run, int(repeats)), "adversarial-robustness-toolbox")


if __name__ == "__main__":
    main(*sys.argv[1:])
