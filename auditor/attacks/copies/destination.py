"""Where a copy is written: nowhere near the dataset, and all at once or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from auditor.attacks.copies.parquet_columns import SUFFIXES
from auditor.errors import UsageError
from auditor.interfaces import PoisonPlan


def checked_out(plan: PoisonPlan) -> Path:
    """OUT, absolute, if writing there can destroy nothing."""
    out, dataset = plan.out.resolve(), plan.dataset.resolve()
    if out == dataset or dataset in out.parents or out in dataset.parents:
        raise UsageError(
            f"{plan.out}: lies in the dataset {plan.dataset} or holds it; the dataset is never "
            "written to; choose a folder elsewhere"
        )
    for path in (out, beside(out, "truth.parquet"), beside(out, "recipe.json")):
        if path.exists() and not (path == out and path.is_dir() and not any(path.iterdir())):
            raise UsageError(
                f"{path}: exists already; expected a new place to write to; choose another OUT or "
                "remove it first"
            )
    return out


def beside(out: Path, suffix: str) -> Path:
    """``OUT.suffix``."""
    return out.with_name(f"{out.name}.{suffix}")


def inside(plan: PoisonPlan, out: Path, partial: Path) -> tuple[Path, str]:
    """Where to write the copy, and its uri: a single file stays one, in a folder unless OUT is."""
    if plan.dataset.is_dir():
        partial.mkdir(parents=True)
        return partial, ""
    if out.suffix.lower() in SUFFIXES:
        partial.parent.mkdir(parents=True, exist_ok=True)
        return partial, out.name
    partial.mkdir(parents=True)
    name = plan.dataset.name
    if Path(name).suffix.lower() not in SUFFIXES:
        name += ".parquet"
    return partial / name, name


@contextmanager
def partial_copy(out: Path) -> Iterator[Path]:
    """A sibling to write into; whatever of it is left in the end is removed."""
    path = out.with_name(f".{out.name}.partial-{os.getpid()}")
    try:
        yield path
    finally:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
