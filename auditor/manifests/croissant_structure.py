"""Faults of a Croissant document's structure, as its reference validator (mlcroissant) names them.

Only what can be told from the document: kinds of nodes, mandatory properties, references that lead
nowhere, terms that the ``@context`` does not define.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from auditor.manifests.jsonld import items, local, reference, texts

TERMS = frozenset({
    "column", "dataType", "extract", "field", "fileObject", "fileProperty", "fileSet", "jsonPath",
    "recordSet", "references", "regex", "separator", "source", "subField", "transform",
})  # fmt: skip
"""Words of Croissant's that schema.org does not have: without a definition they mean nothing."""

Node = Mapping[str, Any]


def structure_problems(document: Node) -> list[str]:
    """What is wrong with a document, in the order of its parts."""
    parts = [part for part in items(document, "distribution") if isinstance(part, dict)]
    sets = [part for part in items(document, "recordSet") if isinstance(part, dict)]
    fields = [(node, field) for node in sets for field in _fields(node)]
    known = {name for part in [*parts, *sets] for name in _names(part)}
    known |= {name for node, field in fields for name in _field_names(node, field)}
    return [
        *_dataset_problems(document),
        *(said for part in parts for said in _part_problems(part, known)),
        *(said for node in sets for said in _set_problems(node)),
        *_join_problems(sets),
        *(said for node, field in fields for said in _field_problems(node, field, known)),
    ]


def _dataset_problems(document: Node) -> Iterator[str]:
    types = {local(text) for text in texts(document, "@type")}
    if "Dataset" not in types:
        yield f"@type is {sorted(types)!r}, expected sc:Dataset"
    if not items(document, "name"):
        yield "the dataset has no name"
    context = document.get("@context")
    if isinstance(context, dict):
        for term in sorted(_used(document) & TERMS - context.keys()):
            yield f"its @context does not define {term!r}"


def _used(document: Node) -> set[str]:
    """Every key below the document, without recursion; the context defines keys and uses none."""
    found: set[str] = set()
    pending: list[Any] = [value for key, value in document.items() if key != "@context"]
    found.update(document)
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            found.update(item)
            # Raw records are data and not vocabulary.
            pending.extend(v for k, v in item.items() if k not in {"data", "examples"})
        elif isinstance(item, list):
            pending.extend(item)
    return found


def _names(node: Node) -> list[str]:
    return [*texts(node, "@id"), *texts(node, "name")]


def _said(node: Node) -> str:
    return repr((_names(node) or ["a part without a name"])[0])


def _part_problems(part: Node, known: set[str]) -> Iterator[str]:
    types = {local(text) for text in texts(part, "@type")}
    if not types & {"FileObject", "FileSet"}:
        yield f"{_said(part)}: @type is {sorted(types)!r}, expected cr:FileObject or cr:FileSet"
    if not _names(part):
        yield "a part of the distribution has no name"
    yield from _text_problems(part)
    if not items(part, "encodingFormat"):
        yield f"{_said(part)}: has no encodingFormat"
    contained = reference(part, "containedIn")
    if "FileObject" in types and not contained and not texts(part, "contentUrl"):
        yield f"{_said(part)}: has no contentUrl"
    for name in contained:
        if name not in known:
            yield f"{_said(part)}: is contained in {name!r}, which does not exist"


def _text_problems(node: Node) -> Iterator[str]:
    for name in texts(node, "@id"):
        if any(letter.isspace() for letter in name):
            yield f"{name!r}: an @id must not hold spaces"
    for key in ("name", "description"):
        for value in items(node, key):
            inner = list(value.values()) if isinstance(value, dict) else [value]
            if not all(isinstance(text, str) for text in inner):
                yield f"{_said(node)}: its {key} is no text"


def _set_problems(node: Node) -> Iterator[str]:
    types = {local(text) for text in texts(node, "@type")}
    if "RecordSet" not in types:
        yield f"{_said(node)}: @type is {sorted(types)!r}, expected cr:RecordSet"
    if not items(node, "name") and not texts(node, "@id"):
        yield "a record set has no name"
    yield from _text_problems(node)


def _join_problems(sets: Sequence[Node]) -> Iterator[str]:
    """Fields from several places belong together only where some field refers to another."""
    joined = {name for node in sets for name in _names(node)
              if any(items(field, "references") for field in _fields(node))}  # fmt: skip
    for node in sets:
        sources = {name.split("/")[0] for field in _fields(node) for name in _sources(field)}
        if len(sources) > 1 and not joined & {*_names(node), *sources}:
            names = sorted(sources)
            yield f"{_said(node)}: takes fields from {names!r} without a join (references)"


def _fields(node: Node) -> Iterator[Node]:
    """A record set's fields and their sub-fields, without recursion."""
    pending = items(node, "field")
    while pending:
        field = pending.pop(0)
        if isinstance(field, dict):
            yield field
            pending.extend(items(field, "subField"))


def _field_names(node: Node, field: Node) -> list[str]:
    """A field's own names, and those behind its record set's: ``users/email``."""
    return [*texts(field, "@id"), *(f"{a}/{b}" for a in _names(node) for b in _names(field))]


def _sources(field: Node) -> list[str]:
    found: list[str] = []
    for source in items(field, "source"):
        if isinstance(source, str):
            found.append(source.lstrip("#{").rstrip("}"))
        elif isinstance(source, dict):
            kinds = ("fileObject", "fileSet", "distribution", "field", "recordSet")
            inner = [name for kind in kinds for name in texts(source, kind)]
            found.extend(inner or texts(source, "@id"))
    return found


def _field_problems(node: Node, field: Node, known: set[str]) -> Iterator[str]:
    where = f"{_said(node)}, field {_said(field)}"
    types = {local(text) for text in texts(field, "@type")}
    if "Field" not in types:
        yield f"{where}: @type is {sorted(types)!r}, expected cr:Field"
    if not _names(field):
        yield f"{where}: has no name"
    yield from _text_problems(field)
    for name in _sources(field):
        if name not in known and name.split("/")[0] not in known:
            yield f"{where}: its source {name!r} does not exist"
    shapes = texts(field, "arrayShape")
    if shapes and True not in items(field, "isArray"):
        yield f"{where}: has an arrayShape but is no array"
    if any(not part.strip().lstrip("-").isdecimal() for s in shapes for part in s.split(",")):
        yield f"{where}: its arrayShape {shapes[0]!r} is no list of numbers"
