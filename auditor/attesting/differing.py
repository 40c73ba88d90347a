"""What is said of bytes that are not the attested ones: how they differ, and whose they are."""

from __future__ import annotations

import hashlib
from pathlib import Path

from auditor.attesting.samples import Samples
from auditor.errors import AuditorError
from auditor.readers.catalog import Refused
from auditor.readers.walk import read_file

MAX_SHARD = 1 << 31
"""Bytes of a file that are held in memory unless told otherwise; the usual shard of a large dataset
is 0.5 GB."""


class GuardError(AuditorError):
    """A sample is not what was attested; the message names it and says what differs."""

    exit_code = 1


def unscanned(root: Path, uri: str, samples: Samples) -> GuardError:
    """The error for a path below ``root`` that was not scanned; says whose bytes lie there."""
    said = ""
    data = read_file(str(root / uri), MAX_SHARD)
    if isinstance(data, Refused):
        said = f" ({data.detail})"
    else:
        other = owner(samples, hashlib.sha256(data).digest())
        said = f"; it has the bytes of {other}" if other else ""
    return GuardError(f"sample {uri!r}: was not scanned{said}; scan the dataset again")


def changed_sample(samples: Samples, index: int, data: bytes, digest: bytes) -> GuardError:
    """The error for a sample with other bytes, whose sha256 is ``digest``, than the attested."""
    other = owner(samples, digest)
    known = f"; they are those of {other}" if other else ""
    return GuardError(
        f"sample {samples.name(index)}: its bytes changed since the scan "
        f"(now {len(data):,} bytes, sha256 {digest.hex()[:16]}…; attested "
        f"{samples.size[index]:,} bytes, "
        f"{samples.digest[index].tobytes().hex()[:16]}…){known}; do not train on it"
    )


def unreadable_sample(samples: Samples, index: int, refused: Refused) -> GuardError:
    """The error for a sample whose file is not there, no file, or larger than the attested one."""
    return GuardError(
        f"sample {samples.name(index)}: is not what was scanned: {_why(refused)}, attested "
        f"{int(samples.size[index]):,} bytes; do not train on it"
    )


def changed_file(samples: Samples, uri: str, size: int, digest: str) -> GuardError:
    """The error for a file that is no sample and has other bytes than the attested ones."""
    was_size, was = samples.files[uri]
    return GuardError(
        f"file {uri!r}: its bytes changed since the scan (now {size:,} bytes, sha256 "
        f"{digest[:16]}…; attested {was_size:,} bytes, {was[:16]}…); do not train on it"
    )


def unreadable_file(samples: Samples, uri: str, refused: Refused) -> GuardError:
    """The error for a file that is no sample and can not be read as the attested one."""
    return GuardError(
        f"file {uri!r}: is not what was scanned: {_why(refused)}, attested "
        f"{samples.files[uri][0]:,} bytes; do not train on it"
    )


def owner(samples: Samples, digest: bytes) -> str | None:
    """The first attested sample with these bytes, in words; None without one."""
    index = samples.with_digest(digest)
    if index is None:
        return None
    label = samples.class_name(index)
    return samples.name(index) + (f", attested with label {label!r}" if label else "")


def _why(refused: Refused) -> str:
    return f"{refused.reason.replace('_', ' ')} ({refused.detail})"
