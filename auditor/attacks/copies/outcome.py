"""What a poisoning leaves behind: its result, the truth about each sample, and the recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl

from auditor import __version__
from auditor.attacks.copies.copying import Layout, Placed
from auditor.attacks.copies.rewriting import Job
from auditor.attacks.requests.planning import recipe_params
from auditor.interfaces import PoisonPlan, Selection

TRUTH_SCHEMA = {
    "uri": pl.String,
    "record": pl.Int64,
    "poisoned": pl.Boolean,
    "attack": pl.String,
    "original_label": pl.String,
}


@dataclass(frozen=True, slots=True)
class PoisonResult:
    """What was written: ``n_poisoned`` samples of ``n_samples``, ``n_cover`` more to hide them.

    ``n_added`` of the poisoned are new samples. ``unreadable`` names (``uri`` or ``uri#record``)
    the samples that could not be decoded and were copied as they are. ``shared`` is what the attack
    prepared once for all samples (a trigger, target images), by name.
    """

    out: Path
    truth: Path
    recipe: Path
    attack: str
    target: str | None
    n_samples: int
    n_poisoned: int
    n_cover: int
    n_added: int
    unreadable: tuple[str, ...]
    shared: Mapping[str, np.ndarray]


def truth_frame(
    attack_id: str, selection: Selection, layout: Layout, placed: Placed
) -> pl.DataFrame:
    """The truth: one row a sample of the copy, in its order (`TRUTH_SCHEMA`)."""
    entries = np.array(placed.entries, dtype=np.int64)
    touched = entries >= 0
    cover = np.zeros(len(entries), dtype=bool)
    cover[touched] = selection.cover[entries[touched]]
    names = [layout.class_names[k] if k >= 0 else None for k in layout.labels.tolist()]
    return pl.DataFrame(
        {
            "uri": placed.uris,
            "record": placed.records,
            "poisoned": touched & ~cover,
            "attack": [attack_id if t else None for t in touched.tolist()],
            "original_label": [names[row] for row in placed.rows],
        },
        schema=TRUTH_SCHEMA,
    ).sort("uri", "record")


def recipe_of(
    plan: PoisonPlan, layout: Layout, job: Job, placed: Placed, result: PoisonResult
) -> Mapping[str, object]:
    """Everything needed to make the same copy again."""
    return {
        "auditor": __version__,
        "dataset": str(plan.dataset),
        "layout": layout.kind,
        "attack": job.attack.id,
        "title": job.attack.title,
        "kind": job.attack.kind,
        "citation": job.attack.citation,
        "deviations": job.attack.deviations,
        "params": recipe_params(job.attack, plan.params),
        "rate": plan.rate,
        "target": plan.target,
        "source_class": plan.source_class,
        "seed": plan.seed,
        "n_samples": result.n_samples,
        "n_poisoned": result.n_poisoned,
        "n_cover": result.n_cover,
        "n_added": result.n_added,
        "encoding": asdict(job.encoding),
        "unreadable": list(result.unreadable),
        "moved": placed.moved,
    }
