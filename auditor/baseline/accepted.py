"""What was accepted before: an earlier report, or a manifest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from auditor.baseline.saved import read_saved
from auditor.manifests import read_manifest

SCHEMA = {
    "sha256": pl.String, "class_name": pl.String, "split": pl.String, "source": pl.String,
    "place": pl.Int64,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Accepted:
    """The accepted samples and what was known of them.

    Attributes:
        samples: ``sha256, class_name, split, source, place``; ``place`` is the position among the
            scanned rows of the earlier scan, null where there was none.
        fingerprint: of the dataset of the earlier scan, or the root of the manifest.
        class_names: in the order of the earlier scan's labels; empty for a manifest.
        known: (rule, key) of the findings that were reported then.
        n_flagged: samples that were flagged then.
        reference: digest of the earlier scan's reference network, or None.
        seed: its seed.
    """

    samples: pl.DataFrame
    fingerprint: str
    class_names: tuple[str, ...] = ()
    known: frozenset[tuple[str, str | None]] = frozenset()
    n_flagged: int = 0
    reference: str | None = None
    seed: int | None = None


def load_accepted(path: Path) -> Accepted:
    """Read a report's folder, its ``report.json``, or a manifest.

    Raises:
        UsageError: it is none of these, or can not be read.
    """
    if path.is_dir() or path.name == "report.json":
        return _from_report(path if path.is_dir() else path.parent)
    manifest = read_manifest(path)
    rows = [
        (entry.sha256, entry.label, entry.split, entry.source, None)
        for entry in manifest.entries()
        if entry.kind in {"sample", "row"} and entry.sha256 is not None
    ]
    samples = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    return Accepted(samples, manifest.root)


def _from_report(folder: Path) -> Accepted:
    said, ledger = read_saved(folder)
    scanned = ledger.filter(pl.col("status") == "scanned").sort("row")
    samples = scanned.with_columns(place=pl.int_range(pl.len(), dtype=pl.Int64)).select(*SCHEMA)
    reference = said.get("reference") or {}
    return Accepted(
        samples=samples,
        fingerprint=said["dataset"]["fingerprint"],
        class_names=tuple(said["dataset"]["class_names"]),
        known=frozenset((item["rule"], item["key"]) for item in said["findings"]),
        n_flagged=said["n_flagged"],
        reference=reference.get("digest"),
        seed=said["options"].get("seed"),
    )
