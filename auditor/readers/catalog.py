"""What a reader says of a dataset before a byte of a sample is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # workers import this module, and need no polars
    import polars as pl

FileEntry = tuple[str, str]
"""(uri: POSIX path relative to the root in valid UTF-8, path: as the file system spells it)."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns a user named; None means: detect it."""

    image: str | None = None
    label: str | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A sample or file that can not be read, known before decoding."""

    uri: str
    reason: str
    detail: str = ""
    label: str | None = None
    split: str | None = None


@dataclass(frozen=True, slots=True)
class Shard:
    """A piece of work for one worker, and what the listing already knows of its samples.

    Attributes:
        task: the worker's task (JSON): how to read the shard's samples, in order.
        known: one row a sample, in the same order: ``uri, record, label, split, source,
            time``; ``label``, ``source`` and ``time`` (microseconds since 1970) are null where the
            worker reads them from the file.
    """

    task: Mapping[str, Any]
    known: pl.DataFrame


def known_frame(columns: Mapping[str, Any]) -> pl.DataFrame:
    """What a listing knows of a shard's samples: columns of `Shard.known` in any order."""
    import polars as pl

    schema = {
        "uri": pl.String, "record": pl.UInt64, "label": pl.String, "split": pl.String,
        "source": pl.String, "time": pl.Int64,
    }  # fmt: skip
    return pl.DataFrame({name: columns[name] for name in schema}, schema=schema)


def known_rows(uri: str, first: int, size: int, split: str | None) -> pl.DataFrame:
    """What a listing knows of ``size`` rows of a table: a `known_frame` that repeats nothing.

    polars keeps a literal once, so that a row costs 9 bytes here and not 110: with a million rows
    that is the memory of a scan's first stage.
    """
    import polars as pl

    texts = {"uri": uri, "label": None, "split": split, "source": None}
    frame = pl.select(
        *(pl.lit(text, pl.String).alias(name) for name, text in texts.items()),
        record=pl.int_range(first, first + size, dtype=pl.UInt64),
        time=pl.lit(None, pl.Int64),
    )
    return frame.select("uri", "record", "label", "split", "source", "time")


@dataclass(frozen=True, slots=True)
class Catalog:
    """All that a dataset holds: shards to read, files refused, files that are no samples.

    Attributes:
        class_names: the declared order of the classes, or empty where names are the samples' own.
        claimed: uris of files that these shards read as samples of a table that names them.
        n_tables: files in which the columns that a user named were looked for.
    """

    format: str
    shards: tuple[Shard, ...]
    refused: tuple[Refused, ...]
    not_samples: Mapping[str, int]
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    claimed: frozenset[str] = frozenset()
    n_tables: int = 0

    @property
    def n_samples(self) -> int:
        """Samples to read; refused ones are counted in ``refused``."""
        return sum(shard.known.height for shard in self.shards)
