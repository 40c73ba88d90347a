"""What a report shows beside numbers: thumbnails of samples and a map of the features."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from auditor.engines import WorkerPool
from auditor.features.store import write_atomically
from auditor.judging.judge import Judgement
from auditor.measure import Bench, Measurements
from auditor.readers import Catalog
from auditor.records import Finding, TriggerPictures
from auditor.trials.carriers import (
    FIXED,
    N_HELD_OUT,
    Carrier,
    carriers,
    flat,
    prefix_of,
    trigger_of,
)

WORST_PER_GROUP = 12
"""Flagged samples shown for each pair of class and rules."""

MAX_FLAGGED = 120
NORMAL_PER_CLASS = 12
MAX_CLASSES = 12

N_SHOWN = 6
PEAK = 110.0
"""Grey levels beside mid-grey that the strongest value of a drawn pattern gets."""

MapPoints = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, slots=True)
class Drawings:
    """Everything drawn for one report.

    Attributes:
        thumbnails: row → JPEG bytes.
        map_points: (rows, x, y), or None where no map was made.
        triggers: class name (None: all classes) → its estimated trigger.
    """

    thumbnails: Mapping[int, bytes]
    map_points: MapPoints | None
    triggers: Mapping[str | None, TriggerPictures]


def draw(
    catalog: Catalog,
    samples: pl.DataFrame,
    bench: Bench,
    taken: Measurements,
    judgement: Judgement,
    pool: WorkerPool,
) -> Drawings:
    """Draw what a report shows of a judgement.

    Args:
        catalog: where the samples lie.
        samples: the whole ledger.
        bench: the views that detectors saw.
        taken: the evidence of the rows that they saw.
        judgement: whose findings and flagged samples are shown.
        pool: decodes the samples anew.
    """
    return Drawings(
        thumbnails=draw_thumbnails(catalog, samples, judgement.flagged, pool),
        map_points=draw_map(bench, taken.samples, judgement.flagged),
        triggers=draw_triggers(bench, taken, judgement.findings),
    )


def draw_thumbnails(
    catalog: Catalog, samples: pl.DataFrame, flagged: pl.DataFrame, pool: WorkerPool
) -> Mapping[int, bytes]:
    """JPEGs, made anew in isolated workers, of the worst samples and some of their classmates."""
    rows = _chosen(samples, flagged)
    pictures: dict[int, bytes] = {}
    tasks, wanted = [], []
    start = 0
    for shard in catalog.shards:
        stop = start + shard.known.height
        picks = [row - start for row in rows if start <= row < stop]
        if picks:
            tasks.append({**shard.task, "kind": "pictures", "picks": picks})
            wanted.append([start + pick for pick in picks])
        start = stop
    for keys, table in zip(wanted, pool.imap(tasks), strict=True):
        made = zip(keys, table["picture"].to_pylist(), strict=False)
        pictures |= {key: jpeg for key, jpeg in made if jpeg is not None}
    return pictures


def _chosen(samples: pl.DataFrame, flagged: pl.DataFrame) -> list[int]:
    """Row ids: the worst of each group, then unflagged samples of the classes concerned."""
    scanned = samples.filter(pl.col("status") == "scanned")
    shown = flagged.join(scanned.select("row"), on="row", how="semi", maintain_order="left")
    worst = (
        shown.with_columns(group=pl.col("rules").list.first())
        .group_by("group", "class_name", maintain_order=True)
        .head(WORST_PER_GROUP)
        .head(MAX_FLAGGED)
    )
    classes = worst["label"].drop_nulls().unique(maintain_order=True).head(MAX_CLASSES)
    normal = (
        scanned.join(flagged.select("row"), on="row", how="anti", maintain_order="left")
        .filter(pl.col("label").is_in(classes.implode()))
        .group_by("label", maintain_order=True)
        .head(NORMAL_PER_CLASS)
    )
    return sorted({*worst["row"].to_list(), *normal["row"].to_list()})


def draw_map(bench: Bench, samples: pl.DataFrame, flagged: pl.DataFrame) -> MapPoints | None:
    """(rows, x, y) of a UMAP of the features, kept with the dataset; None for tiny datasets."""
    scanned = samples.filter(pl.col("status") == "scanned")["row"].to_numpy()
    if len(scanned) < 50 or "probabilities" not in bench.views:
        return None
    marked = np.flatnonzero(np.isin(scanned, flagged["row"].to_numpy()))
    digest = hashlib.sha256(marked.tobytes() + bench.reference.encode()).hexdigest()[:16]
    kept = bench.folder / f"map-{bench.seed}-{digest}.npy"
    if kept.exists():
        table = np.load(kept, allow_pickle=False)
    else:
        from auditor.features.map import umap_map

        # The two folds' networks have different penultimate spaces, but the same K outputs.
        features = np.log(np.asarray(bench.views["probabilities"]) + 1e-6)
        index, x, y = umap_map(features, marked, bench.seed)
        table = np.stack([scanned[index].astype(np.float64), x, y])
        payload = io.BytesIO()
        np.save(payload, table, allow_pickle=False)
        write_atomically(kept, payload.getvalue())
    return table[0].astype(np.uint64), table[1], table[2]


def draw_triggers(
    bench: Bench, taken: Measurements, findings: Sequence[Finding]
) -> Mapping[str | None, TriggerPictures]:
    """Pictures of the patterns of the groups that findings name, by class name; None: all classes.

    A group without a fixed pattern gets none: noise would look like a trigger.
    """
    wanted = {
        one.key
        for one in findings
        if (prefix := prefix_of(one)) is not None
        and float(one.evidence.get(f"{prefix}pattern_agreement") or 0) >= FIXED
    }
    drawn = {}
    for one in carriers(taken) if wanted else []:
        key = None if one.label is None else bench.ledger.class_names[one.label]
        if key in wanted:
            drawn[key] = _pictures(bench.views["pixels"], one)
    return drawn


def _pictures(pixels: np.ndarray, carrier: Carrier) -> TriggerPictures:
    trigger = trigger_of(pixels, carrier)
    shape = pixels.shape[1:]
    rows = np.sort(carrier.others[:N_HELD_OUT])
    plain = flat(pixels[rows])
    change = (trigger.apply(plain) - plain).mean(axis=0)
    peak = float(np.quantile(np.abs(change), 0.999))
    gain = PEAK / max(peak, 1.0)
    shown = np.clip(np.rint(128 + gain * change), 0, 255).astype(np.uint8).reshape(shape)
    some = plain[:: max(1, len(plain) // N_SHOWN)][:N_SHOWN]
    strips = [np.concatenate(list(one.reshape(-1, *shape)), axis=1)
              for one in (some, trigger.stamp(some))]  # fmt: skip
    return TriggerPictures(
        pattern=_png(shown),
        gain=gain,
        opaque=float(trigger.opaque.mean()),
        before=_png(strips[0]),
        after=_png(strips[1]),
    )


def _png(image: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", optimize=True)
    return file.getvalue()
