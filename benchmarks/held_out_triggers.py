"""Triggers that no bundled attack has, and that no detector was made for: which are found?

    python benchmarks/held_out_triggers.py train.parquet [--size 10000] [--rate 0.02] [--target 5]
        [--seed 7] [--quality 90] [--effect NAME] [--jobs 2] [--cache FOLDER]

Puts each effect of ``photo_effects`` on a share of a cut, gives these samples one label, writes all
images as JPEG of one quality, scans the copy as ``auditor scan`` does, and then compares with the
truth. Rows go to held-out-triggers.csv; those that it has for the same cut are kept. With
``--cache`` what a scan measured stays too, for when rules change. ``learnt``: poisoned samples
whose label is the first choice of the network that never saw them: it follows the trigger.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from photo_effects import EFFECTS
from PIL import Image

import auditor

OUT = Path(__file__).with_name("held-out-triggers.csv")
KEY = ("dataset", "size", "rate", "target", "seed", "quality", "effect")
FLAGGING = ("medium", "high", "critical")


def decoded(table: pa.Table, row: int) -> np.ndarray:
    """(H, W, 3) uint8 image of one row."""
    stored = table["image"][row].as_py()["bytes"]
    return np.asarray(Image.open(io.BytesIO(stored)).convert("RGB"))


def encoded(image: np.ndarray, quality: int) -> dict[str, object]:
    """An image as the Hugging Face layout has it."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return {"bytes": file.getvalue(), "path": None}


def cut(labels: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Rows of a cut, ascending, every class in proportion."""
    share = size / len(labels)
    parts = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return np.sort(np.concatenate([rng.permutation(p)[: round(share * len(p))] for p in parts]))


def poison(case: dict[str, object], source: Path, out: Path) -> np.ndarray:
    """Write the copy of one case; (n,) bool, which samples carry the trigger."""
    rng = np.random.default_rng(int(str(case["seed"])))
    table = pq.read_table(source, columns=["image", "label"])
    every = table["label"].to_numpy()
    rows = cut(every, int(str(case["size"])), rng)
    target, quality = int(str(case["target"])), int(str(case["quality"]))
    labels = every[rows].copy()
    n = round(float(str(case["rate"])) * len(rows))
    chosen = rng.choice(np.flatnonzero(labels != target), n, replace=False)
    poisoned = np.isin(np.arange(len(rows)), chosen)
    labels[poisoned] = target
    effect = EFFECTS[str(case["effect"])]
    images = []
    for row, bad in zip(rows.tolist(), poisoned, strict=True):
        image = decoded(table, row)
        images.append(encoded(effect(image, rng) if bad else image, quality))
    columns = {"image": pa.array(images, table.schema.field("image").type), "label": labels}
    copy = pa.table(columns).replace_schema_metadata(table.schema.metadata)
    pq.write_table(copy, out)
    return poisoned


def measure(case: dict[str, object], source: Path, cache: Path | None) -> dict[str, object]:
    """Poison, scan and compare."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        data.mkdir()
        poisoned = poison(case, source, data / "train.parquet")
        report = auditor.scan(data, cache_dir=cache or Path(folder) / "cache")
        samples = report.samples.sort("row")
    names = {
        family: report.flagged.filter(
            pl.col("rules").list.eval(pl.element().str.starts_with(family)).list.any(),
            pl.col("severity").is_in(FLAGGING),
        )["row"].to_numpy()
        for family in ("BKD", "LBL")
    }
    likely = samples.get_column("label_consistency_suggested", default=None)
    row = case | {"n_poisoned": int(poisoned.sum()), "n_clean": int((~poisoned).sum())}
    for family, rows in names.items():
        row |= {
            f"{family.lower()}_found": int(poisoned[rows].sum()),
            f"{family.lower()}_false": int((~poisoned)[rows].sum()),
        }
    fired = [(one.rule, str(one.severity)) for one in report.findings if one.rule[:3] in names]
    return row | {
        "verdict": str(report.verdict),
        "learnt": None
        if likely is None
        else round(float((likely.to_numpy()[poisoned] == int(str(case["target"]))).mean()), 3),
        "rules": " ".join(f"{rule}:{severity}" for rule, severity in dict(fired).items()),
    }


def wanted(asked: argparse.Namespace, table: pl.DataFrame) -> Iterator[dict[str, object]]:
    """The cases that the table lacks."""
    for effect in asked.effect or EFFECTS:
        case = {name: getattr(asked, name) for name in KEY[1:-1]}
        case = {"dataset": asked.source.parent.name, **case, "effect": effect}
        same = pl.all_horizontal(pl.col(name) == value for name, value in case.items())
        if table.is_empty() or table.filter(same).is_empty():
            yield case


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("--size", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=0.02)
    parser.add_argument("--target", type=int, default=5)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--quality", type=int, default=90)
    parser.add_argument("--effect", action="append", choices=tuple(EFFECTS))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--cache", type=Path)
    asked = parser.parse_args()
    table = pl.read_csv(OUT) if OUT.exists() else pl.DataFrame()
    with ProcessPoolExecutor(asked.jobs, max_tasks_per_child=1) as pool:
        cases = list(wanted(asked, table))
        for row in pool.map(partial(measure, source=asked.source, cache=asked.cache), cases):
            table = pl.concat([table, pl.DataFrame([row])]) if table.height else pl.DataFrame([row])
            table.sort(KEY).write_csv(OUT)
            sys.stderr.write(f"{row}\n")


if __name__ == "__main__":
    main()
