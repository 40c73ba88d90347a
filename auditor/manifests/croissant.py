"""Croissant metadata (MLCommons, 0.8 to 1.1): what it says of files, read strictly.

The specification asks for ``sha256`` (1.0: or ``md5``) and ``contentUrl`` of every FileObject that
lies in no other. Nothing is fetched, and nothing named in the metadata is opened outside the
dataset's folder.
"""

from __future__ import annotations

import base64
import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from auditor.manifests.claims import Claim, Description
from auditor.manifests.croissant_structure import structure_problems
from auditor.manifests.document import escapes
from auditor.manifests.jsonld import items, local, reference, texts
from auditor.manifests.records import Difference
from auditor.manifests.tree import Tree

SHA256 = re.compile(r"[0-9a-fA-F]{64}\Z")
MD5 = re.compile(r"[0-9a-fA-F]{32}\Z")
BASE64 = re.compile(r"[0-9A-Za-z+/]{22}==\Z")
"""An md5 as Kaggle declares it."""

SIZE = re.compile(r"\s*([0-9]+)\s*(B|bytes)?\s*\Z")
"""A size in bytes; "97.73 TiB" says too little to compare."""

SHOWN = 80
"""Characters of a declared value that a message repeats."""


def looks_like_croissant(value: object) -> bool:
    """Whether a JSON document describes a data set in Croissant's or schema.org's words."""
    if not isinstance(value, dict):
        return False
    names = {local(key) for key in value}
    return bool(names & {"distribution", "recordSet"}) or (
        "@context" in value and bool(names & {"@type", "@graph", "conformsTo"})
    )


def read_croissant(
    path: Path, document: Mapping[str, Any], twice: tuple[str, ...], tree: Tree
) -> Description:
    """What a Croissant document claims of its files, and every fault of the document.

    Args:
        path: the document.
        document: its JSON.
        twice: keys that stood twice in one object.
        tree: the dataset.
    """
    node = _dataset(document)
    parts = [part for part in items(node, "distribution") if isinstance(part, dict)]
    base = _base(path, tree)
    problems = [_invalid(path.name, f"the key {key!r} stands twice in one object") for key in twice]
    problems += [_invalid(path.name, said) for said in structure_problems(node)]
    problems += [_invalid(name, "is the name of several files") for name in _repeated(parts)]
    claims: list[Claim] = []
    for part in parts:
        claim, faults = _claim(part, base)
        problems += [_invalid(_name(part), fault) for fault in faults]
        if claim is not None:
            claims.append(claim)
    problems += _contradictions(claims)
    return Description("croissant", tuple(claims), tuple(problems))


def _dataset(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The node with the distribution: the document itself, or one of its graph."""
    for node in items(document, "@graph"):
        if isinstance(node, dict) and items(node, "distribution"):
            return node
    return document


def _base(path: Path, tree: Tree) -> str:
    """The folder that relative URLs start from: the document's, if it lies in the dataset."""
    folder, root = path.resolve().parent, tree.root.resolve()
    return folder.relative_to(root).as_posix() if folder.is_relative_to(root) else "."


def _name(part: Mapping[str, Any]) -> str:
    said = [*texts(part, "@id"), *texts(part, "name"), *texts(part, "contentUrl")]
    return said[0] if said else "a file without a name"


def _repeated(parts: list[dict[str, Any]]) -> Iterator[str]:
    counts = Counter(texts(part, "@id")[0] if texts(part, "@id") else _name(part) for part in parts)
    yield from (name for name, n in counts.items() if n > 1)


def _claim(part: Mapping[str, Any], base: str) -> tuple[Claim | None, list[str]]:
    """What one FileObject or FileSet claims, and its faults."""
    types = {local(text) for text in texts(part, "@type")}
    if "FileSet" in types:
        globs = ", ".join(texts(part, "includes"))[:SHOWN]
        name = f"{_name(part)} ({globs})" if globs else _name(part)
        return Claim(name, (), None, absent="a set of files, which has no digests"), []
    if "FileObject" not in types:
        return None, []
    faults: list[str] = []
    urls = texts(part, "contentUrl")
    paths, absent = _places(urls[0] if urls else "", base, bool(reference(part, "containedIn")))
    if paths is None:
        return None, [f"its contentUrl {urls[0][:SHOWN]!r} leads out of the dataset"]
    sha256, problem = _digest(texts(part, "sha256"), SHA256, "sha256", faults)
    md5, md5_problem = _digest(texts(part, "md5"), MD5, "md5", faults)
    if sha256 is None and problem is None and md5 is None:
        problem = md5_problem
    size = _size(texts(part, "contentSize"))
    return Claim(_name(part), paths, sha256, problem, md5, size, absent), faults


def _places(url: str, base: str, contained: bool) -> tuple[tuple[str, ...] | None, str]:
    """(where it may lie here, what to say where it does not); None if the path escapes."""
    if not url:
        return (), "has no contentUrl"
    try:
        parts = urlsplit(url)
    except ValueError:
        return None, ""
    if parts.scheme == "file":
        return None, ""
    if parts.scheme and "://" in url:
        # Downloaded by hand, it lies beside the metadata under its own name.
        name = posixpath.basename(unquote(parts.path))
        here = posixpath.normpath(posixpath.join(base, name)) if name else ""
        return ((here,) if here and not escapes(here) else ()), "not downloaded"
    places = tuple(
        dict.fromkeys(
            posixpath.normpath(posixpath.join(base, text)) for text in (url, unquote(url))
        )
    )
    if any(escapes(place) for place in places) or url.startswith("/"):
        return None, ""
    return places, "inside an archive, which is not opened" if contained else "not in the folder"


def _digest(
    said: list[str], shape: re.Pattern[str], what: str, faults: list[str]
) -> tuple[str | None, str | None]:
    """(lower-case digest or None, why what is declared is no digest)."""
    distinct = sorted({text.strip().lower() for text in said})
    if len(distinct) > 1:
        faults.append(f"declares {len(distinct)} different {what} digests")
        return None, f"declares {len(distinct)} different {what} digests"
    if not distinct:
        return None, None
    if what == "md5" and (match := BASE64.match(said[0].strip())):
        distinct = [base64.b64decode(match[0]).hex()]
    if not shape.match(distinct[0]):
        expected = 64 if what == "sha256" else 32
        return None, (
            f"its declared {what} is {said[0][:SHOWN]!r}, expected {expected} hex digits"
        )  # fmt: skip
    if len(set(distinct[0])) == 1:
        return None, f"its declared {what} is {distinct[0][:8]}…, a placeholder"
    return distinct[0], None


def _size(said: list[str]) -> int | None:
    match = SIZE.match(said[0]) if said else None
    return int(match[1]) if match and len(match[1]) < 19 else None


def _contradictions(claims: list[Claim]) -> Iterator[Difference]:
    """Two entries that give the same file different digests."""
    seen: dict[str, Claim] = {}
    for claim in claims:
        for place in claim.paths[:1]:
            other = seen.setdefault(place, claim)
            if claim.sha256 and other.sha256 and claim.sha256 != other.sha256:
                yield _invalid(place, f"{other.name!r} and {claim.name!r} declare different sha256")


def _invalid(path: str, message: str) -> Difference:
    return Difference("invalid", path, None, message)
