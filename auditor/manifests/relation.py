"""Two entries of the same bytes, or of the same path: what changed, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from auditor.manifests.records import Difference, Entry

SAID: Mapping[str, str] = {
    "link": "a symbolic link", "special": "a pipe, socket or device", "file": "a file",
    "sample": "a file", "unreadable": "something unreadable",
}  # fmt: skip


def is_file(entry: Entry) -> bool:
    """Whether an entry is a regular file, a sample or not."""
    return entry.kind in {"file", "sample"}


def moved(was: Entry, now: Entry) -> Difference:
    """The same bytes at another path: the class and split that its folders say count most."""
    said = f"holds the bytes of {was.path!r}"
    if was.path.casefold() == now.path.casefold():
        said += ", whose name differs in upper and lower case only"
    kind, changes = _relation(was, now)
    return Difference(kind or "moved", now.path, None, "; ".join([said, *changes]), was, now)


def renamed(was: Entry, now: Entry) -> Difference:
    """The same bytes at the same path, called something else."""
    kind, changes = _relation(was, now)
    message = "; ".join(["same bytes", *changes]) if changes else "same bytes, no sample any more"
    return Difference(kind or "relabelled", now.path, None, message, was, now)


Relation = Literal["relabelled", "resplit", "resourced"]


def _relation(was: Entry, now: Entry) -> tuple[Relation | None, list[str]]:
    """The gravest change of what is said of the same bytes, and each change in words."""
    kinds: tuple[tuple[Relation, str, str | None, str | None], ...] = (
        ("relabelled", "label", was.label, now.label),
        ("resplit", "split", was.split, now.split),
        ("resourced", "source", was.source, now.source),
    )
    changed = [(kind, f"{name} {a!r} → {b!r}") for kind, name, a, b in kinds if a != b]
    return (changed[0][0] if changed else None), [text for _, text in changed]


def other_bytes(was: Entry, now: Entry) -> str:
    """How large the file was and is."""
    if was.kind == "link" and now.kind == "link":
        return "the link points elsewhere"
    if was.size == now.size:
        return f"other bytes, as many as before ({now.size or 0:,})"
    return f"other bytes, {was.size or 0:,} → {now.size or 0:,}"
