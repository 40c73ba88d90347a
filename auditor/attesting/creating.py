"""Attest a scan: bind its report to the dataset's manifest and sign what it says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from auditor.attesting.signing import Sign
from auditor.attesting.statement import (
    DECISION,
    SCAN,
    decision_predicate,
    rules_digest,
    scan_predicate,
    write_statement,
)
from auditor.baseline.saved import read_saved
from auditor.errors import UsageError
from auditor.interfaces import Progress
from auditor.judging.ruleset import load_rules, select_rules
from auditor.manifests import Manifest, create_manifest, read_manifest, verify_manifest
from auditor.readers import Columns
from auditor.reports.atomic import write_together

SHOWN = 5
"""Samples that an error names."""

COMPARED: Mapping[str, type[pl.DataType]] = {
    "uri": pl.String, "record": pl.UInt64, "sha256": pl.String, "class_name": pl.String,
    "split": pl.String,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Attestation:
    """What was written: the signed statements, and the manifest that they are about."""

    path: Path
    manifest: Manifest
    predicate: Mapping[str, Any]


def attest(
    dataset: Path,
    report: Path,
    out: Path,
    sign: Sign,
    *,
    manifest: Path | None = None,
    columns: Columns | None = None,
    cache_root: Path | None = None,
    progress: Progress | None = None,
) -> Attestation:
    """Sign what a scan found, over the digest of the dataset as it is now.

    Every sample of the report must still be there with the same bytes, label and split: a report of
    another dataset, or of a part of it, is not attested.

    Args:
        dataset: the scanned dataset; it is only read.
        report: the folder that the scan wrote.
        out: the file of attestations; two lines, the scan and the short decision.
        sign: signs a statement, see `signing.open_signer`.
        manifest: the dataset's manifest, verified first; None writes one beside ``out``.
        columns: the columns that the user named for the scan; for a manifest that is made here.
        cache_root: as in `create_manifest`.
        progress: called with (done, total) as files are hashed.

    Raises:
        UsageError: report, dataset and manifest do not belong together, or can not be read.
    """
    said, samples = read_report(report)
    if manifest is None:
        beside = out.with_name(out.name + ".manifest")
        bound = create_manifest(
            dataset, beside, columns=columns, cache_root=cache_root, progress=progress
        )
    else:
        bound = verified(dataset, manifest, cache_root, progress)
    _require_complete(bound, dataset)
    require_same(samples, bound, dataset, report)
    refused = samples.filter(pl.col("status") == "refused").select(
        "uri", "record", reason=pl.col("refusal")
    )
    options = said["options"]
    rules = select_rules(load_rules(), tuple(options["select"]), tuple(options["ignore"]))
    predicate = scan_predicate(said, rules_digest(rules), refused.to_dicts(), scan_time(report))
    predicate["dataset"]["columns"] = dict(bound.columns)
    subjects = {"dataset": bound.root, bound.path.name: _file_digest(bound.path)}
    scan_line = sign(write_statement(subjects, SCAN, predicate))
    decision = decision_predicate(predicate, bound.root, scan_line)
    decision_line = sign(write_statement(subjects, DECISION, decision))
    write_together(
        out.parent, {out.name: lambda file: _write(file.write, scan_line, decision_line)}
    )
    return Attestation(out, bound, predicate)


def read_report(folder: Path) -> tuple[dict[str, Any], pl.DataFrame]:
    """Read a report that this version's rules made.

    Raises:
        UsageError: it can not be read, or is of another version.
    """
    from auditor import __version__

    said, samples = read_saved(folder)
    version = said["tool"]["version"]
    if version != __version__:
        raise UsageError(
            f"report {str(folder)!r}: made by version {version}, this is {__version__}, whose "
            "rules may differ; scan again, or attest with that version"
        )
    return said, samples


def verified(
    dataset: Path, path: Path, cache_root: Path | None, progress: Progress | None
) -> Manifest:
    """Open a manifest that was given, if the dataset is the one it describes.

    Raises:
        UsageError: it is not.
    """
    found = read_manifest(path)
    checked = verify_manifest(dataset, path, cache_root=cache_root, progress=progress)
    if not checked.verified or checked.root != found.root:
        first = "".join(f"; {item.path}: {item.message}" for item in checked.differences[:SHOWN])
        raise UsageError(
            f"--manifest {str(path)!r}: the dataset is not the one it describes "
            f"({checked.n_differences} differences{first}); make a new one"
        )
    return found


def _require_complete(manifest: Manifest, dataset: Path) -> None:
    if not manifest.complete:
        raise UsageError(
            f"dataset {str(dataset)!r}: {manifest.n_unreadable} files or rows can not be read, so "
            "nothing can vouch for them; remove them and scan again"
        )


def require_same(samples: pl.DataFrame, manifest: Manifest, dataset: Path, report: Path) -> None:
    """Every sample that was scanned must be in the manifest as it was, and no other.

    Raises:
        UsageError: the report is of another dataset, or of a part of this one.
    """
    now = manifest_frame(manifest)
    was = samples.select(*COMPARED, "status").cast(dict(COMPARED))  # type: ignore[arg-type]
    both = was.join(
        now, on=["uri", "record"], how="full", nulls_equal=True, coalesce=True, suffix="_now"
    )
    scanned = pl.col("status") == "scanned"
    same = pl.all_horizontal(
        pl.col(name).eq_missing(pl.col(f"{name}_now")) for name in ("sha256", "class_name", "split")
    )
    # A link or an unreadable folder was refused and is no sample of the manifest either.
    differing = both.filter(
        (scanned & ~(same & pl.col("there").is_not_null())) | pl.col("status").is_null()
    )
    if differing.height:
        names = differing.sort("uri", "record").head(SHOWN)
        listed = ", ".join(
            uri if record is None else f"{uri} row {record}"
            for uri, record in names.select("uri", "record").iter_rows()
        )
        raise UsageError(
            f"report {str(report)!r}: {differing.height:,} samples of {str(dataset)!r} were not "
            f"scanned or are not what was scanned ({listed}); scan the whole dataset again"
        )


def manifest_frame(manifest: Manifest) -> pl.DataFrame:
    """The samples of a manifest as a ledger: ``uri, record, sha256, class_name, split, there``."""
    columns: dict[str, list[Any]] = {name: [] for name in COMPARED}
    for entry in manifest.entries():
        if entry.kind in {"sample", "row"}:
            values = (entry.path, entry.record, entry.sha256, entry.label, entry.split)
            for column, value in zip(columns.values(), values, strict=True):
                column.append(value)
    return pl.DataFrame(columns, schema=COMPARED).with_columns(there=True)


def scan_time(report: Path) -> str:
    """When the report was written: RFC 3339 in UTC, to the second."""
    written = (report / "report.json").stat().st_mtime
    return datetime.fromtimestamp(int(written), UTC).isoformat().replace("+00:00", "Z")


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(write: Callable[[bytes], object], *lines: bytes) -> None:
    for line in lines:
        write(line + b"\n")
