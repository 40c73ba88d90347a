"""Ask the reference network of the accepted dataset about the new samples, instead of training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from auditor.baseline.accepted import Accepted
from auditor.baseline.focus import Part
from auditor.config import Config
from auditor.records import Reference

CALIBRATED = 2_000
"""Accepted samples a fold on which the temperature is fitted again; it is one number."""


def reuse_reference(
    settings: Config, accepted: Accepted, part: Part, home: Path
) -> tuple[Reference, Mapping[str, np.ndarray]] | None:
    """Views of the part's rows from the earlier scan's networks, if they are still in the cache.

    Accepted samples have what was stored of them, out-of-fold as it was. A new sample is shown to
    one of the two networks, which its bytes decide; neither has seen it. A relabelled one has the
    probabilities that were stored, which its new label is then held against.

    Args:
        settings: of this scan.
        accepted: what was accepted, and the digest of its reference.
        part: the rows to give views for.
        home: the cache folder of the accepted dataset.

    Returns:
        None where the networks are gone, were trained or asked otherwise, or do not know all the
        classes.
    """
    from auditor.features.reference import OUTPUTS, OUTPUTS_VERSION, VERSION

    if settings.model != "self" or accepted.reference is None or accepted.seed != settings.seed:
        return None
    folder = home / f"reference-{VERSION}-{settings.seed}-{settings.device}"
    names = part.ledger.class_names
    if not set(names) <= set(accepted.class_names):
        return None
    try:
        record = json.loads((folder / "reference.json").read_text())
        stored = {
            name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in OUTPUTS
        }
        weights = [folder / f"fold{fold}-{record['key'][:16]}.pt" for fold in (0, 1)]
    except (OSError, ValueError, KeyError):
        return None
    intact = all(len(view) == accepted.samples.height for view in stored.values())
    same = record["digest"] == accepted.reference and record.get("outputs") == OUTPUTS_VERSION
    if not same or not intact or not all(map(Path.exists, weights)):
        return None
    views = _views(settings, accepted, part, stored, weights)
    order = [accepted.class_names.index(name) for name in names]
    views["probabilities"] = np.ascontiguousarray(views["probabilities"][:, order])
    reference = Reference(record["name"], record["digest"], record["device"], record["accuracy"])
    return reference, views


def _views(
    settings: Config,
    accepted: Accepted,
    part: Part,
    stored: Mapping[str, np.ndarray],
    weights: list[Path],
) -> dict[str, np.ndarray]:
    places = _places(accepted, part)
    known = np.flatnonzero(places >= 0)
    views = {
        name: np.zeros((len(places), *view.shape[1:]), view.dtype) for name, view in stored.items()
    }
    for name, view in stored.items():
        views[name][known] = view[places[known]]
    fresh = np.flatnonzero(places < 0)
    digests = part.ledger.samples["sha256"].gather(fresh).to_list()
    views["fold"][fresh] = [int(digest[-1], 16) % 2 for digest in digests]
    order = {name: i for i, name in enumerate(accepted.class_names)}
    labels = np.array([order.get(name, -1) for name in part.ledger.samples["class_name"]])
    for fold, path in enumerate(weights):
        _ask(settings, part, path, fold, known, fresh, labels, views, len(accepted.class_names))
    return views


def _ask(
    settings: Config,
    part: Part,
    path: Path,
    fold: int,
    known: np.ndarray,
    fresh: np.ndarray,
    labels: np.ndarray,
    views: dict[str, np.ndarray],
    n_classes: int,
) -> None:
    """One network's answers on the new samples of its fold."""
    from auditor.features.augmentation import looks, mirroring_is_harmless
    from auditor.features.calibration import fit_temperature, softmax
    from auditor.features.network import choose_hardware, load_network
    from auditor.features.training import measure_scaling, predict

    pixels = part.ledger.views["pixels"]
    hardware = choose_hardware(settings.device)
    network = load_network(path, n_classes, hardware)
    learnt = known[views["fold"][known] != fold]
    held_out = known[views["fold"][known] == fold][:CALIBRATED]
    rows = fresh[views["fold"][fresh] == fold]
    if not len(rows) or not len(learnt):
        return
    scale = measure_scaling(pixels, learnt)
    ways = looks(mirroring_is_harmless(pixels, labels, learnt))
    logits = [said for _, _, said in predict(network, pixels, held_out, scale, hardware, ways)]
    temperature = fit_temperature(np.concatenate(logits), labels[held_out]) if logits else 1.0
    for some, penultimate, said in predict(network, pixels, rows, scale, hardware, ways):
        views["penultimate"][some] = penultimate
        views["probabilities"][some] = softmax(said / temperature)


def _places(accepted: Accepted, part: Part) -> np.ndarray:
    """(M,) int64: where the earlier scan stored each row's views, by content; −1 nowhere."""
    first = accepted.samples.group_by("sha256").agg(pl.col("place").min())
    joined = part.ledger.samples.select("sha256").join(
        first, on="sha256", how="left", maintain_order="left"
    )
    return joined["place"].fill_null(-1).to_numpy().astype(np.int64)
