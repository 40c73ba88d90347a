"""The trainer's guard: a sample is read only if it is what was attested, byte for byte.

What is checked is what is returned: a file is read once, its bytes are hashed in memory, and these
very bytes are handed out, so nothing can be swapped between the check and the use.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from auditor.attesting.checking import find_manifest, open_attestation
from auditor.attesting.opening import AttestationError, Trust
from auditor.attesting.requirements import check_age, check_requirements, parse_age
from auditor.attesting.samples import NO_RECORD, Samples, load_samples
from auditor.errors import AuditorError, UsageError
from auditor.manifests import read_manifest
from auditor.manifests.hashing import hash_node
from auditor.manifests.tree import Node, Stamp, list_tree
from auditor.readers.catalog import Refused
from auditor.readers.walk import read_file, readable

if TYPE_CHECKING:
    from auditor.attesting.shards import Shard
    from auditor.attesting.training import GuardedDataset, WrappedDataset

SHOWN = 5
"""Names that an error lists."""

MAX_SHARD = 1 << 31
"""Bytes of a Parquet file that `Guard.open_shard` holds in memory unless told otherwise; the usual
shard of a large dataset is 0.5 GB."""


class GuardError(AuditorError):
    """A sample is not what was attested; the message names it and says what differs."""

    exit_code = 1


def guard(
    dataset: str | Path,
    attestation: str | Path,
    *,
    key: str | Path | None = None,
    certificate_chain: str | Path | None = None,
    identity: str | None = None,
    issuer: str | None = None,
    manifest: str | Path | None = None,
    require: Sequence[str] = ("pass",),
    max_age: str | None = None,
    listing: bool = True,
) -> Guard:
    """Open a dataset for training: every read is checked against what was attested.

    Args:
        dataset: a folder, or one Parquet file.
        attestation: the file that ``auditor attest`` wrote; or a manifest, which you then vouch for
            yourself: nobody signed it and it holds no verdict.
        key: PEM file of the public key whose signature is trusted.
        certificate_chain: PEM file of the root certificates that are trusted, instead of ``key``.
        identity: whom the signer's certificate must name; with ``issuer`` alone for keyless.
        issuer: who vouched for that identity.
        manifest: the attested manifest, where it does not lie beside the attestation.
        require: what the scan must have said; see ``auditor verify --require``.
        max_age: how old the scan may be, such as ``"30d"``.
        listing: compare the names and sizes of all files with the manifest now, and check the
            files that hold labels; without it only what is read is checked.

    Raises:
        AttestationError: the signature does not hold, or the scan does not meet the requirements.
        GuardError: files are missing, new or changed.
        UsageError: a file or an option is wrong.
    """
    root, path = Path(dataset), Path(attestation)
    trusted = any(item is not None for item in (key, certificate_chain, identity))
    if trusted:
        trust = Trust(
            key=None if key is None else Path(key),
            roots=None if certificate_chain is None else Path(certificate_chain),
            identity=identity,
            issuer=issuer,
            keyless=key is None and certificate_chain is None,
        )
        samples = _attested(path, trust, None if manifest is None else Path(manifest), require,
                            parse_age(max_age) if max_age else None)  # fmt: skip
    else:
        samples = load_samples(_plain_manifest(path), ())
    found = Guard(root, samples)
    if listing:
        found.check_listing()
    return found


class Guard:
    """Reads the attested samples of a dataset, and nothing else. Can be pickled.

    Attributes:
        root: the dataset's folder, or the folder of its one file.
        samples: what was attested.
    """

    def __init__(self, root: Path, samples: Samples) -> None:
        self.root = root.resolve().parent if root.is_file() else root.absolute()
        self.samples = samples
        self._named = root
        self._verified: dict[str, Stamp] = {}
        self._places: dict[str, int] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the lookup table, which each process builds when it needs it."""
        return {**self.__dict__, "_places": None}

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in the order of the label numbers."""
        return self.samples.classes

    def read(self, path: str | Path) -> bytes:
        """Read one image file and return its bytes if they are the attested ones.

        Args:
            path: relative to the dataset's root, or absolute.

        Raises:
            GuardError: the file was not scanned, was refused, or is not what was scanned.
        """
        return self.read_index(self.find(path))

    def read_index(self, index: int) -> bytes:
        """Read the sample of that index in ``samples``, an image file.

        Raises:
            GuardError: as `read`.
        """
        samples = self.samples
        if samples.refused[index]:
            raise GuardError(
                f"sample {samples.name(index)}: the scan could not read it, so nothing is known "
                "of it; train without it"
            )
        path = self.root / samples.path(index)
        return self.checked(index, self._bytes(path, index))

    def checked(self, index: int, data: bytes) -> bytes:
        """Return ``data`` if they are the bytes of that sample.

        Raises:
            GuardError: they are not.
        """
        digest = hashlib.sha256(data).digest()
        if digest == self.samples.digest[index].tobytes():
            return data
        other = self.samples.with_digest(digest)
        known = "" if other is None else f"; they are those of {self._described(other)}"
        raise GuardError(
            f"sample {self.samples.name(index)}: its bytes changed since the scan "
            f"(now {len(data):,} bytes, sha256 {digest.hex()[:16]}…; attested "
            f"{self.samples.size[index]:,} bytes, "
            f"{self.samples.digest[index].tobytes().hex()[:16]}…){known}; do not train on it"
        )

    def find(self, path: str | Path) -> int:
        """The index of an image file among the attested samples.

        Raises:
            GuardError: the path is none of them.
        """
        uri = self.uri(path)
        if self._places is None:
            whole = np.flatnonzero(self.samples.record == NO_RECORD)
            names = self.samples.paths.take(self.samples.place[whole]).to_pylist()
            self._places = dict(zip(names, whole.tolist(), strict=True))
        index = self._places.get(uri)
        if index is None:
            raise self.unknown(uri)
        return index

    def uri(self, path: str | Path) -> str:
        """A path as the manifest spells it.

        Raises:
            GuardError: it lies outside the dataset.
        """
        text = os.path.relpath(os.path.join(self.root, path), self.root)  # noqa: PTH118
        if text.startswith("..") or "\0" in text:
            raise GuardError(f"sample {str(path)!r}: lies outside the dataset {str(self.root)!r}")
        return readable(text).replace(os.sep, "/")

    def open_shard(self, path: str | Path, max_bytes: int = MAX_SHARD) -> Shard:
        """Read a Parquet file as a whole, check it, and give access to its rows.

        Args:
            path: relative to the dataset's root, or absolute.
            max_bytes: what may be held in memory.

        Raises:
            GuardError: the file was not scanned or is not what was scanned.
            UsageError: the file is larger than ``max_bytes``.
        """
        from auditor.attesting.shards import open_shard

        return open_shard(self, self.uri(path), max_bytes)

    def dataset(
        self,
        transform: Callable[[Any], Any] | None = None,
        *,
        split: str | None = None,
    ) -> GuardedDataset:
        """A map-style torch ``Dataset`` of the attested samples: (PIL image in RGB, label number).

        Labels are the attested ones (−1 without one), in the order of ``classes``. Samples that the
        scan could not read are left out. Works with the workers of a ``DataLoader``.

        Raises:
            GuardError: a Parquet file is not what was scanned.
            UsageError: there is no such split.
        """
        from auditor.attesting.training import GuardedDataset

        return GuardedDataset(self, transform, split)

    def wrap(
        self,
        dataset: Any,
        path_of: Callable[[int], str | Path] | None = None,
        label_of: Callable[[int], str] | None = None,
    ) -> WrappedDataset:
        """Put the guard around your own ``Dataset``; see `training.wrap`.

        Raises:
            GuardError: a sample was not scanned, or has another label than the attested one.
            UsageError: the dataset does not say where its samples come from.
        """
        from auditor.attesting.training import wrap

        return wrap(self, dataset, path_of, label_of)

    def check_listing(self) -> None:
        """Compare names and sizes with the manifest, and the bytes of files that are no samples.

        Raises:
            GuardError: something is missing, new, or of another size or kind.
        """
        sizes = dict(self._sizes())
        problems: list[str] = []
        present: set[str] = set()
        for node in list_tree(self._named).nodes:
            present.add(node.uri)
            # Whose bytes a new name holds is told for those that are shown only: reading costs.
            said = self._judge(node, sizes, told=len(problems) < SHOWN)
            if said:
                problems.append(f"{node.uri!r} {said}")
        missing = [f"{name!r} is missing" for name in {*sizes, *self.samples.others} - present]
        problems += sorted(missing)
        if problems:
            more = f" and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
            raise GuardError(
                f"dataset {str(self._named)!r}: is not what was scanned: "
                f"{'; '.join(problems[:SHOWN])}{more}; see `auditor verify`, and scan again"
            )

    def verify_file(self, uri: str, descriptor: int) -> None:
        """Check an open file that is no sample, such as a Parquet file, once while it is unchanged.

        Raises:
            GuardError: it was not scanned or is not what was scanned.
        """
        if uri not in self.samples.files:
            raise self.unknown(uri)
        digest = self.samples.files[uri][1]
        stamp = Stamp.of(os.fstat(descriptor))
        if self._verified.get(uri) == stamp:
            return
        with os.fdopen(os.dup(descriptor), "rb") as file:
            file.seek(0)
            now = hashlib.file_digest(file, "sha256").hexdigest()
        if now != digest:
            raise self.changed_file(uri, stamp.size, now)
        self._verified[uri] = stamp

    def changed_file(self, uri: str, size: int, digest: str) -> GuardError:
        """The error for a file that is no sample and has other bytes than the attested ones."""
        was_size, was = self.samples.files[uri]
        return GuardError(
            f"file {uri!r}: its bytes changed since the scan (now {size:,} bytes, sha256 "
            f"{digest[:16]}…; attested {was_size:,} bytes, {was[:16]}…); do not train on it"
        )

    def _sizes(self) -> Sequence[tuple[str, int]]:
        whole = np.flatnonzero(self.samples.record == NO_RECORD)
        names = self.samples.paths.take(self.samples.place[whole]).to_pylist()
        sizes = self.samples.size[whole].tolist()
        return [*zip(names, sizes, strict=True),
                *((name, size) for name, (size, _) in self.samples.files.items())]  # fmt: skip

    def _judge(self, node: Node, sizes: dict[str, int], told: bool) -> str | None:
        """What is wrong with one name in the dataset, without reading a sample."""
        was = self.samples.others.get(node.uri)
        if was is not None:
            return None if node.kind == was else f"is a {node.kind}, it was a {was}"
        if node.uri not in sizes:
            return "was not scanned" + (self._same_bytes(node) if told else "")
        if node.kind != "file" or node.stamp is None:
            return f"is a {node.kind}, it was a file" + (f" ({node.detail})" if node.detail else "")
        if node.stamp.size != sizes[node.uri]:
            known = self._same_bytes(node) if told else ""
            return f"has {node.stamp.size:,} bytes, attested {sizes[node.uri]:,}{known}"
        if node.uri in self.samples.files and node.uri not in self._shards():
            digest = hash_node(node).digest
            if digest is None or digest.hex() != self.samples.files[node.uri][1]:
                return "changed since the scan"
        return None

    def _shards(self) -> frozenset[str]:
        """Files with attested rows: they are checked when they are opened."""
        if not hasattr(self, "_with_rows"):
            rows = np.unique(self.samples.place[self.samples.record != NO_RECORD])
            self._with_rows = frozenset(self.samples.paths.take(rows).to_pylist())
        return self._with_rows

    def _same_bytes(self, node: Node) -> str:
        """Whether a new name holds the bytes of an attested sample: moved or relabelled."""
        digest = hash_node(node).digest if node.kind == "file" else None
        other = None if digest is None else self.samples.with_digest(digest)
        return "" if other is None else f", it has the bytes of {self._described(other)}"

    def unknown(self, uri: str) -> GuardError:
        """The error for a path that was not scanned; says whose bytes lie there."""
        said = ""
        data = read_file(str(self.root / uri), MAX_SHARD)
        if isinstance(data, Refused):
            said = f" ({data.detail})"
        else:
            other = self.samples.with_digest(hashlib.sha256(data).digest())
            said = "" if other is None else f"; it has the bytes of {self._described(other)}"
        return GuardError(f"sample {uri!r}: was not scanned{said}; scan the dataset again")

    def _described(self, index: int) -> str:
        label = self.samples.class_name(index)
        return self.samples.name(index) + (f", attested with label {label!r}" if label else "")

    def _bytes(self, path: Path, index: int) -> bytes:
        size = int(self.samples.size[index])
        data = read_file(str(path), size)
        if isinstance(data, bytes):
            return data
        raise GuardError(
            f"sample {self.samples.name(index)}: is not what was scanned: "
            f"{data.reason.replace('_', ' ')} ({data.detail}), attested {size:,} bytes; do not "
            "train on it"
        )


def _plain_manifest(path: Path) -> Any:
    try:
        return read_manifest(path)
    except UsageError as error:
        raise UsageError(
            f"{error}. If {str(path)!r} is an attestation, name whose signature you trust: key=…, "
            "certificate_chain=…, or identity=… and issuer=…"
        ) from None


def _attested(
    path: Path,
    trust: Trust,
    given: Path | None,
    require: Sequence[str],
    max_age: timedelta | None,
) -> Samples:
    """The samples of an attestation that is signed, recent and good enough."""
    from datetime import UTC, datetime

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
