"""The trainer's guard: a sample is read only if it is what was attested, byte for byte.

What is checked is what is returned: a file is read once, its bytes are hashed in memory, and these
very bytes are handed out, so nothing can be swapped between the check and the use.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditor.attesting.differing import (
    MAX_SHARD,
    GuardError,
    changed_file,
    changed_sample,
    unreadable_sample,
    unscanned,
)
from auditor.attesting.listing import require_listing
from auditor.attesting.opening import Trust
from auditor.attesting.requirements import parse_age
from auditor.attesting.samples import Samples
from auditor.attesting.trusted import attested_samples, listed_samples
from auditor.manifests.tree import Stamp
from auditor.readers.catalog import Refused
from auditor.readers.walk import read_file, readable

if TYPE_CHECKING:
    from auditor.attesting.shards import Shard
    from auditor.attesting.training import GuardedDataset, WrappedDataset

__all__ = ["Guard", "GuardError", "guard"]


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
    if key is None and certificate_chain is None and identity is None:
        samples = listed_samples(path)
    else:
        trust = Trust(
            key=None if key is None else Path(key),
            roots=None if certificate_chain is None else Path(certificate_chain),
            identity=identity,
            issuer=issuer,
            keyless=key is None and certificate_chain is None,
        )
        given = None if manifest is None else Path(manifest)
        age = parse_age(max_age) if max_age else None
        samples = attested_samples(path, trust, given, require, age)
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
        data = read_file(str(self.root / samples.path(index)), int(samples.size[index]))
        if isinstance(data, Refused):
            raise unreadable_sample(samples, index, data)
        return self.checked(index, data)

    def checked(self, index: int, data: bytes) -> bytes:
        """Return ``data`` if they are the bytes of that sample.

        Raises:
            GuardError: they are not.
        """
        digest = hashlib.sha256(data).digest()
        if digest != self.samples.digest[index].tobytes():
            raise changed_sample(self.samples, index, data, digest)
        return data

    def find(self, path: str | Path) -> int:
        """The index of an image file among the attested samples.

        Raises:
            GuardError: the path is none of them.
        """
        uri = self.uri(path)
        if self._places is None:
            self._places = self.samples.by_path()
        index = self._places.get(uri)
        if index is None:
            raise unscanned(self.root, uri, self.samples)
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
        require_listing(self._named, self.samples)

    def verify_file(self, uri: str, descriptor: int) -> None:
        """Check an open file that is no sample, such as a Parquet file, once while it is unchanged.

        Raises:
            GuardError: it was not scanned or is not what was scanned.
        """
        if uri not in self.samples.files:
            raise unscanned(self.root, uri, self.samples)
        digest = self.samples.files[uri][1]
        stamp = Stamp.of(os.fstat(descriptor))
        if self._verified.get(uri) == stamp:
            return
        with os.fdopen(os.dup(descriptor), "rb") as file:
            file.seek(0)
            now = hashlib.file_digest(file, "sha256").hexdigest()
        if now != digest:
            raise changed_file(self.samples, uri, stamp.size, now)
        self._verified[uri] = stamp
