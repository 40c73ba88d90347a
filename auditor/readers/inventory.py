"""The inventory: every file of a dataset that is no sample, and what isolated workers saw in it."""

from __future__ import annotations

import json
import os
import posixpath
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from auditor.readers.catalog import Catalog
from auditor.readers.contents import HEAD, Content, recognise
from auditor.readers.documents import MAX_DOCUMENT, Document, is_document
from auditor.readers.documents import read as read_document
from auditor.readers.footers import read_footer
from auditor.readers.walk import Listing

if TYPE_CHECKING:  # workers import this module, and need no polars
    import polars as pl

MAX_FILES = 20_000
"""Files that are looked into; the others are listed by name. Datasets have a few beside their
samples, and a few thousand at most where annotations are files."""

BATCH = 256
"""Files a task: enough to amortise a round trip."""

FOOTED = (b"PAR1", b"ARROW1")
"""How Parquet and Arrow files begin."""

FACTS = pa.schema(
    [
        ("kind", pa.string()),
        ("detail", pa.string()),
        ("calls", pa.string()),
        ("document", pa.string()),
        ("urls", pa.uint32()),
        ("insecure", pa.uint32()),
        ("mutable", pa.uint32()),
        ("unhashed", pa.uint32()),
        ("example", pa.string()),
        ("declared", pa.string()),
        ("outs", pa.string()),
        ("remote_code", pa.bool_()),
    ]
)
"""What a worker says of each file; ``declared`` and ``outs`` are JSON."""


def take_inventory(
    listing: Listing, catalog: Catalog, imap: Callable[[Iterable[Any]], Iterator[pa.Table]]
) -> pl.DataFrame:
    """List what is no sample: files, Parquet shards, links, special files.

    Returns:
        One row a file, sorted by uri, with the columns of `tables.INVENTORY`. ``kind`` is null for
        the files beyond `MAX_FILES`: they were not looked into.
    """
    import polars as pl

    samples = _sample_uris(catalog)
    files = [file for file in (*listing.files, *listing.hidden) if file[0] not in samples]
    files.sort()
    looked = files[:MAX_FILES]
    tasks = [
        {"kind": "examine", "files": [list(file) for file in looked[start : start + BATCH]]}
        for start in range(0, len(looked), BATCH)
    ]
    facts = pa.concat_tables([*imap(tasks), FACTS.empty_table()])
    status = [_status(path) for _, path in files]
    table = pl.DataFrame(
        {
            "uri": [uri for uri, _ in files],
            "n_bytes": [size for size, _ in status],
            "runnable": [runs for _, runs in status],
        },
        schema={"uri": pl.String, "n_bytes": pl.UInt64, "runnable": pl.Boolean},
    )
    said = pl.DataFrame(pl.from_arrow(facts))
    seen = pl.concat([table.head(len(looked)), said], how="horizontal")
    links = {link.uri: link for link in listing.links}
    odd = [item for item in listing.refused if item.reason in {"symbolic_link", "special_file"}]
    others = pl.DataFrame(
        {
            "uri": [item.uri for item in odd],
            "kind": ["link" if item.uri in links else "special" for item in odd],
            "detail": [links[item.uri].target if item.uri in links else "" for item in odd],
            "leaves": [item.uri in links and links[item.uri].leaves for item in odd],
        },
        schema={"uri": pl.String, "kind": pl.String, "detail": pl.String, "leaves": pl.Boolean},
    )
    every = pl.concat([seen, table.slice(len(looked)), others], how="diagonal_relaxed").unique(
        "uri", keep="first"
    )
    return every.sort("uri").with_columns(pl.col("leaves").fill_null(False))


def _sample_uris(catalog: Catalog) -> set[str]:
    """The uris of image files; a Parquet file is no sample, but holds some."""
    found: set[str] = set()
    for shard in catalog.shards:
        if shard.task["reader"] == "image-folder":
            found.update(shard.known["uri"].to_list())
    return found | catalog.claimed


def _status(path: str) -> tuple[int | None, bool]:
    """(bytes, whether its mode lets it run), without following a link."""
    try:
        status = os.lstat(path)
    except OSError:
        return None, False
    return status.st_size, bool(status.st_mode & 0o111)


def examine(
    files: Sequence[Sequence[str]], refused: Mapping[str, str], mark: Callable[[int], None]
) -> pa.Table:
    """Answer an ``examine`` task (inside a worker): one row of `FACTS` a file.

    Args:
        files: (uri, path) of each.
        refused: index → reason, of files that ended a worker before.
        mark: called with a file's index before it is opened.
    """
    rows = []
    for index, (uri, path) in enumerate(files):
        if "*" in refused or str(index) in refused:
            reason = refused.get(str(index), refused.get("*", ""))
            rows.append(_row(Content("unexamined", reason), Document("other")))
            continue
        mark(index)
        rows.append(_row(*_examine(uri, path)))
    return pa.Table.from_pylist(rows, schema=FACTS)


def _examine(uri: str, path: str) -> tuple[Content, Document]:
    suffix = posixpath.splitext(uri)[1].lower()
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return Content("special"), Document("other")
            head = file.read(HEAD)
            if head.startswith(FOOTED) or suffix in {".parquet", ".arrow", ".feather"}:
                file.seek(0)
                return read_footer(file, head.startswith(b"PAR1") or suffix == ".parquet")
            content = recognise(uri, head, file, status.st_size)
            if content.kind != "other" or not is_document(uri):
                return content, Document("other")
            file.seek(0)
            return content, read_document(uri, file.read(MAX_DOCUMENT))
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        return Content("unexamined", f"{type(error).__name__}: {error}"[:200]), Document("other")
    except MemoryError:
        return Content("unexamined", "memory_limit"), Document("other")


def _row(content: Content, document: Document) -> dict[str, object]:
    values = {
        "kind": content.kind,
        "detail": content.detail,
        "calls": ", ".join(call.replace(" ", ".") for call in content.calls),
        "document": document.kind,
        "urls": document.urls,
        "insecure": document.insecure,
        "mutable": document.mutable,
        "unhashed": document.unhashed,
        "example": document.example,
        "declared": json.dumps(document.declared),
        "outs": json.dumps(document.outs),
        "remote_code": document.remote_code,
    }
    return {name: _text(value) for name, value in values.items()}


def _text(value: object) -> object:
    """Valid UTF-8 for Arrow."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    return value
