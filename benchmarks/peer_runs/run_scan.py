"""Scans a dataset with shipped settings, and keeps flags and what the detectors looked at.

    python run_scan.py DATASET CACHE OUT

Writes the flags of the whole scan and, below OUT, ``penultimate``, ``probabilities``, ``fold`` and
``labels`` as .npy and the ledger's keys as ``keys.parquet``, in the order of the rows.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
from timed import timed, write

from auditor import scan
from auditor.config import Config
from auditor.report import Report

VIEWS = ("penultimate", "probabilities", "fold")


def keep_views(report: Report, cache: Path, out: Path) -> None:
    """Copy the views of the scan just made; its reference is the newest in the cache.

    Raises:
        ValueError: a sample was refused, so views and samples do not line up.
    """
    if report.coverage.refused:
        raise ValueError(f"{report.coverage.refused} samples were refused, expected none")
    folds = cache.glob("datasets/*/reference-*/fold.npy")
    newest = max(folds, key=lambda path: path.stat().st_mtime).parent
    for name in VIEWS:
        np.save(out / f"{name}.npy", np.load(newest / f"{name}.npy", allow_pickle=False))
    np.save(out / "labels.npy", report.samples["label"].fill_null(-1).to_numpy())
    report.samples.select("row", "uri", "record", "sha256").write_parquet(out / "keys.parquet")


def main(dataset: str, cache: str, out: str) -> None:
    """Scan, write flags and views."""
    reports: list[Report] = []

    def run() -> np.ndarray:
        reports.append(scan(Path(dataset), config=Config(cache_dir=cache)))
        named = reports[-1].samples["row"].is_in(reports[-1].flagged["row"].implode())
        return np.asarray(named.to_numpy())

    flags, measured = timed(run, 1)
    rules = sorted({finding.rule for finding in reports[-1].findings})
    keep_views(reports[-1], Path(cache), Path(out))
    backdoor = pl.col("rules").list.eval(pl.element().str.starts_with("BKD")).list.any()
    named = reports[-1].flagged.filter(backdoor)["row"]
    np.save(Path(out) / "backdoor.npy", reports[-1].samples["row"].is_in(named.implode()))
    measured |= {"note": " ".join(rules)}
    write(Path(out) / "auditor-scan", flags, measured, "dataset-auditor")


if __name__ == "__main__":
    main(*sys.argv[1:])
