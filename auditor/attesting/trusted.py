"""Samples to be trusted: of a signed scan that is good enough, or of a manifest."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from auditor.attesting.checking import find_manifest, open_attestation
from auditor.attesting.opening import AttestationError, Trust
from auditor.attesting.requirements import check_age, check_requirements
from auditor.attesting.samples import Samples, load_samples
from auditor.errors import UsageError
from auditor.manifests import read_manifest


def attested_samples(
    path: Path,
    trust: Trust,
    given: Path | None,
    require: Sequence[str],
    max_age: timedelta | None,
) -> Samples:
    """The samples of an attestation that is signed, recent and good enough.

    Args:
        path: the attestation.
        trust: whose signature counts.
        given: the attested manifest, where it does not lie beside the attestation.
        require: what the scan must have said.
        max_age: how old the scan may be.

    Raises:
        AttestationError: the signature does not hold, or the scan does not meet the requirements.
        UsageError: a file can not be read, or the manifest is not to be found.
    """
    now = datetime.now(UTC)
    scanned = open_attestation(path, trust, now)
    problems = check_age(scanned.predicate, max_age, now)
    problems += check_requirements(scanned.predicate, require)
    if problems:
        raise AttestationError(f"attestation {str(path)!r}: {'; '.join(problems)}")
    manifest = find_manifest(scanned, path, given)
    if manifest is None:
        names = ", ".join(sorted(scanned.manifests)) or "the manifest"
        raise UsageError(
            f"attestation {str(path)!r}: the guard needs the attested manifest ({names}), which is "
            "not beside it; name it with manifest=…"
        )
    refused = scanned.predicate["coverage"]["refusedSamples"]
    return load_samples(manifest, refused)


def listed_samples(path: Path) -> Samples:
    """The samples of a plain manifest, which the user vouches for.

    Raises:
        UsageError: the file can not be read or is no manifest.
    """
    try:
        manifest = read_manifest(path)
    except UsageError as error:
        raise UsageError(
            f"{error}. If {str(path)!r} is an attestation, name whose signature you trust: key=…, "
            "certificate_chain=…, or identity=… and issuer=…"
        ) from None
    return load_samples(manifest, ())
