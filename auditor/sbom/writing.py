"""``auditor sbom``: from a dataset to a file."""

from __future__ import annotations

import tempfile
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO

from auditor.attesting.creating import read_report, require_same, scan_time, verified
from auditor.errors import UsageError
from auditor.interfaces import Progress
from auditor.manifests import create_manifest
from auditor.reports.atomic import write_together
from auditor.sbom import croissant, cyclonedx
from auditor.sbom.contents import Contents, read_contents

FORMATS = ("cyclonedx", "croissant")


def write_sbom(
    dataset: Path,
    out: Path,
    format_id: str = "cyclonedx",
    *,
    report: Path | None = None,
    manifest: Path | None = None,
    progress: Progress | None = None,
) -> Contents:
    """Describe a dataset as it is now.

    Args:
        dataset: a folder, or one Parquet file; it is only read.
        out: the file; appears whole or not at all.
        format_id: one of `FORMATS`.
        report: a scan's folder; must be of this very dataset.
        manifest: the dataset's manifest, verified first; None hashes the dataset.
        progress: called with (done, total) as files are hashed.

    Raises:
        UsageError: there is no such format, or report, manifest and dataset do not belong together.
    """
    if format_id not in FORMATS:
        raise UsageError(f"format {format_id!r}: unknown; expected {' or '.join(FORMATS)}")
    said, time = None, None
    with tempfile.TemporaryDirectory(prefix="auditor-") as folder:
        if manifest is None:
            found = create_manifest(dataset, Path(folder) / "manifest", progress=progress)
        else:
            found = verified(dataset, manifest, None, progress)
        if report is not None:
            said, samples = read_report(report)
            require_same(samples, found, dataset, report)
            time = datetime.fromisoformat(scan_time(report))
        contents = read_contents(dataset, found, said)
    text = (
        cyclonedx.render(contents, time) if format_id == "cyclonedx" else croissant.render(contents)
    )
    data = text.encode("utf-8")
    write_together(out.parent, {out.name: partial(_write, data)})
    return contents


def _write(data: bytes, file: BinaryIO) -> None:
    file.write(data)
