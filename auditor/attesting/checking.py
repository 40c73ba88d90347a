"""Verify an attestation: who signed it, whether this is the dataset it is about, and what it says.

In this order, and nothing of a statement is believed before its signature holds.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from auditor.attesting.opening import AttestationError, Opened, Trust, open_line, read_lines
from auditor.attesting.requirements import check_age, check_requirements, validate
from auditor.attesting.statement import DECISION, SCAN, subjects_of
from auditor.errors import UsageError
from auditor.interfaces import Progress
from auditor.manifests import (
    Manifest,
    Verification,
    create_manifest,
    read_manifest,
    verify_manifest,
)
from auditor.readers import Columns, walk


@dataclass(frozen=True, slots=True)
class Scanned:
    """A signed scan, opened: nothing in it is unsigned.

    Attributes:
        predicate: what the scan found.
        root: the attested dataset's root digest, in hex.
        manifests: file name → sha256 in hex of the dataset's manifest.
        signer: who signed it.
    """

    predicate: Mapping[str, Any]
    root: str
    manifests: Mapping[str, str]
    signer: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What a verification found; ``problems`` are sentences for the user.

    ``verification`` is None where the manifest was not there to name differences. ``n_later``
    counts files written after the scan; it is 0 where something is wrong, which says more.
    """

    scanned: Scanned
    problems: tuple[str, ...]
    verification: Verification | None
    exit_code: int
    n_later: int = 0


def open_attestation(path: Path, trust: Trust, now: datetime | None = None) -> Scanned:
    """Open a file of attestations: every line must be signed by whom the user trusts.

    Raises:
        AttestationError: a signature does not hold, or the statements do not fit together.
        UsageError: the file, the key or the roots can not be read.
    """
    opened = [open_line(line, trust, now) for line in read_lines(path)]
    scans = [item for item in opened if item.statement["predicateType"] == SCAN]
    if len(scans) != 1:
        raise AttestationError(
            f"attestation {str(path)!r}: got {len(scans)} statements on a scan ({SCAN}), expected "
            "one; attest again"
        )
    scan = scans[0]
    named = subjects_of(scan.statement)
    root = named.pop("dataset", None)
    if root is None:
        raise AttestationError(f"attestation {str(path)!r}: names no dataset; attest again")
    for item in opened:
        if item.statement["predicateType"] == DECISION and not _agree(item, scan):
            raise AttestationError(
                f"attestation {str(path)!r}: its decision is about another scan or says otherwise "
                "than the scan; attest again"
            )
    return Scanned(scan.statement["predicate"], root, named, scan.signer)


def _agree(decision: Opened, scan: Opened) -> bool:
    """Whether the short decision is the one that follows from this scan."""
    said = decision.statement["predicate"]
    inputs = [item.get("digest", {}).get("sha256") for item in said.get("inputAttestations", [])]
    passed = scan.statement["predicate"].get("verdict") == "pass"
    return (
        subjects_of(decision.statement) == subjects_of(scan.statement)
        and inputs == [hashlib.sha256(scan.line).hexdigest()]
        and said.get("verificationResult") == ("PASSED" if passed else "FAILED")
    )


def find_manifest(scanned: Scanned, attestation: Path, given: Path | None) -> Manifest | None:
    """The manifest that was attested: the one given, or the one beside the attestation.

    Its root is the signed one; that its entries make up this root is checked as they are read.

    Raises:
        AttestationError: the manifest is of another dataset.
        UsageError: the given file can not be read or is no manifest.
    """
    path = given
    if path is None:
        # A signed name is still only a name: nothing but a plain file beside is looked at.
        plain = [name for name in scanned.manifests if Path(name).name == name and name != ".."]
        beside = [attestation.parent / name for name in plain]
        path = next((file for file in beside if file.is_file()), None)
    if path is None:
        return None
    manifest = read_manifest(path)
    if manifest.root != scanned.root:
        raise AttestationError(
            f"manifest {str(path)!r}: has root {manifest.root[:16]}…, the attested dataset has "
            f"{scanned.root[:16]}…; it was changed, or belongs to another dataset"
        )
    return manifest


def verify_attestation(
    dataset: Path,
    attestation: Path,
    trust: Trust,
    *,
    manifest: Path | None = None,
    require: Sequence[str] = ("pass",),
    max_age: timedelta | None = None,
    cache_root: Path | None = None,
    progress: Progress | None = None,
    now: datetime | None = None,
) -> Checked:
    """Check a dataset against an attestation of its scan.

    Args:
        dataset: a folder, or one Parquet file; it is only read.
        attestation: the file that `attest` wrote.
        trust: whose signature counts.
        manifest: the attested manifest, where it does not lie beside the attestation.
        require: see `requirements.check_requirements`.
        max_age: how old the scan may be, or None.
        cache_root: as in `verify_manifest`; None reads every byte again.
        progress: called with (done, total) as files are hashed.
        now: the time to judge ages and certificates by; None is now.

    Raises:
        AttestationError: the signature does not hold, or the statements are malformed.
        UsageError: a file or a requirement is wrong.
    """
    validate(require)
    moment = now or datetime.now(UTC)
    scanned = open_attestation(attestation, trust, moment)
    problems = check_age(scanned.predicate, max_age, moment)
    problems += check_requirements(scanned.predicate, require)
    found = find_manifest(scanned, attestation, manifest)
    if found is None:
        problems += _compare_root(dataset, scanned, progress)
        code = 1 if problems else 0
        return Checked(scanned, tuple(problems), None, code, count_later(dataset, scanned, code))
    checked = verify_manifest(dataset, found.path, cache_root=cache_root, progress=progress)
    if checked.n_differences:
        problems.append(
            f"the dataset is not the one that was scanned: {checked.n_differences:,} differences"
        )
    elif checked.root != scanned.root and not checked.unreadable:
        problems.append("the dataset's root digest is not the attested one")
    code = 1 if problems else checked.exit_code
    return Checked(scanned, tuple(problems), checked, code, count_later(dataset, scanned, code))


def count_later(dataset: Path, scanned: Scanned, code: int) -> int:
    """Files whose modification time is later than the scan; nothing is opened.

    Times can be set by whoever owns a file: this is a note, and proves nothing.
    """
    if code:
        return 0
    # The attested time is cut to whole seconds: a file of the same second may be older.
    limit = datetime.fromisoformat(str(scanned.predicate["timeScanned"])).timestamp() + 1
    later = 0
    for _, path in walk(dataset).files:
        try:
            later += os.lstat(path).st_mtime >= limit
        except OSError:
            continue  # gone since it was hashed: nothing is claimed of it
    return later


def _compare_root(dataset: Path, scanned: Scanned, progress: Progress | None) -> list[str]:
    """Without its manifest a dataset can still be recognised, but no difference be named."""
    columns = Columns(**scanned.predicate["dataset"]["columns"])
    with tempfile.TemporaryDirectory(prefix="auditor-") as folder:
        try:
            now = create_manifest(dataset, Path(folder) / "now", columns=columns, progress=progress)
        except UsageError as error:
            return [str(error)]
    if now.root == scanned.root and now.complete:
        return []
    return [
        "the dataset is not the one that was scanned; its manifest was not found beside the "
        "attestation, so what differs can not be named: give it with --manifest"
    ]
