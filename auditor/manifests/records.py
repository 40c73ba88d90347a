"""What a manifest says and what a verification found: frozen records, no work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Kind = Literal["sample", "row", "file", "link", "special", "unreadable"]
"""``sample``: a file that is one sample. ``row``: one row of a Parquet file. ``file``: any other
regular file, a Parquet file included. ``link``: a symbolic link, whose sha256 is that of its target
text; it is never followed. ``special``: a pipe, socket or device. ``unreadable``: a file, folder or
row that could not be read when the manifest was made."""

DifferenceKind = Literal[
    "missing", "extra", "changed", "relabelled", "resplit", "moved", "resourced", "columns",
    "duplicated", "reordered", "replaced", "unusable", "invalid",
]  # fmt: skip
"""How the dataset and the file disagree. ``relabelled``/``resplit``: the same bytes with another
label/split. ``moved``: the same bytes at another path. ``resourced``: another source. ``columns``:
a row's other columns. ``replaced``: something of another kind stands there. ``unusable``: the file
declares no digest that could be checked. ``invalid``: the file itself breaks its format's rules."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a manifest.

    Attributes:
        path: POSIX path relative to the root, valid UTF-8.
        record: the row inside a Parquet file, or None for what is no row.
        kind: see `Kind`.
        size: bytes of the file, or of the encoded image of a row; None where there is none.
        sha256: 64 hex digits over those bytes; None where there is none.
        label: the class name, as a scan reads it; None without a label, and for what is no sample.
        split: the split, or None.
        source: who supplied the sample, or None.
        row: 64 hex digits over image, label, split and every other column of a row; else None.
    """

    path: str
    record: int | None
    kind: Kind
    size: int | None
    sha256: str | None
    label: str | None = None
    split: str | None = None
    source: str | None = None
    row: str | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest's header, and a way to its entries; nothing else is held in memory.

    Attributes:
        path: the manifest file.
        root: 64 hex digits that bind path, bytes, label, split and source of every sample and of
            every other file: what an attestation refers to.
        row_root: 64 hex digits that bind the rows of all Parquet files whatever their order and
            whatever file they lie in, or None where there are no rows.
        n_files: files, links and special files.
        n_samples: samples: image files and Parquet rows.
        n_unreadable: what could not be read; such a manifest is incomplete.
        format: ``image-folder``, ``parquet``, both joined by ``+``, or ``none``.
        class_names: the declared classes in their order; empty where names are the samples' own.
        columns: the ``image``, ``label`` and ``source`` columns that the user named.
    """

    path: Path
    root: str
    row_root: str | None
    n_files: int
    n_samples: int
    n_unreadable: int
    format: str
    class_names: tuple[str, ...]
    columns: Mapping[str, str]

    @property
    def complete(self) -> bool:
        """Whether everything in the dataset could be read."""
        return self.n_unreadable == 0

    def entries(self) -> Iterator[Entry]:
        """Every entry, sorted by (path, record) in code-point order, a file before its rows.

        Streams. The whole file is checked on the way: order, counts and root.

        Raises:
            UsageError: a line is malformed, out of order, or the root is another one.
        """
        from auditor.manifests.document import read_entries

        return read_entries(self)


@dataclass(frozen=True, slots=True)
class Difference:
    """One disagreement between a dataset and a file that describes it.

    ``path`` and ``record`` name the item in the dataset, or in the file where it is missing;
    ``message`` says what it is without naming them. ``was`` is the file's entry, ``now`` the
    dataset's, where there is one. All texts are untrusted: escape before display.
    """

    kind: DifferenceKind
    path: str
    record: int | None
    message: str
    was: Entry | None = None
    now: Entry | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify_manifest` found.

    Attributes:
        format: ``manifest``, ``croissant``, ``sha256sum`` or ``model-signing``.
        n_verified: items (samples and files) that agree.
        n_unverified: items that the file names and that could not be compared: not downloaded,
            without a strong digest, or inside an archive.
        differences: the disagreements, sorted by path, `MAX_KEPT` at most.
        n_differences: how many there are in all.
        notices: what a reader should know, and what is no disagreement.
        unverified: (path, reason) of what could not be compared, `MAX_KEPT` at most.
        unreadable: (path, reason) of what could not be read.
        root: the root of the dataset as it is now; None where the format has no root.
        row_root: likewise for the rows.
    """

    format: Literal["manifest", "croissant", "sha256sum", "model-signing"]
    n_verified: int
    differences: tuple[Difference, ...] = ()
    n_differences: int = 0
    n_unverified: int = 0
    notices: tuple[str, ...] = ()
    unverified: tuple[tuple[str, str], ...] = ()
    unreadable: tuple[tuple[str, str], ...] = field(default=())
    root: str | None = None
    row_root: str | None = None

    @property
    def verified(self) -> bool:
        """Whether something was compared, all of it agrees and nothing was unreadable."""
        return self.exit_code == 0

    @property
    def exit_code(self) -> int:
        """0 verified · 1 differences · 3 nothing could be verified · 4 something was unreadable.

        Differences win over unreadable, unreadable over nothing.
        """
        if self.n_differences:
            return 1
        if self.unreadable:
            return 4
        return 0 if self.n_verified else 3


MAX_KEPT = 100_000
"""Differences that are kept one by one; more are counted only, so that a dataset that shares
nothing with its manifest costs bounded memory (about 100 MB)."""
