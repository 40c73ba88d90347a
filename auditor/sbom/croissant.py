"""Croissant 1.0 metadata: the dataset's files with their digests, as JSON-LD.

Written as plain JSON: the library that defines the format brings pandas and an RDF engine, some
100 MB, for what is one dictionary.
"""

from __future__ import annotations

import json
from typing import Any

from auditor.sbom.contents import Contents, File

CONTEXT: dict[str, Any] = {
    "@language": "en", "@vocab": "https://schema.org/", "citeAs": "cr:citeAs",
    "column": "cr:column", "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/", "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"}, "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"}, "extract": "cr:extract",
    "field": "cr:field", "fileProperty": "cr:fileProperty", "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet", "format": "cr:format", "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset", "jsonPath": "cr:jsonPath", "key": "cr:key",
    "md5": "cr:md5", "parentField": "cr:parentField", "path": "cr:path",
    "recordSet": "cr:recordSet", "references": "cr:references", "regex": "cr:regex",
    "repeated": "cr:repeated", "replace": "cr:replace", "sc": "https://schema.org/",
    "separator": "cr:separator", "source": "cr:source", "subField": "cr:subField",
    "transform": "cr:transform",
}  # fmt: skip
"""The context that the specification gives (Croissant 1.0, appendix 1)."""


def render(contents: Contents) -> str:
    """Write the metadata as JSON-LD: a file object each, or a file set for each kind of file."""
    said = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": contents.name,
        "description": _description(contents),
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "version": f"0.0.0+{contents.root[:16]}",
        "distribution": [_object(file) for file in contents.files]
        if contents.listed
        else [_set(suffix, n) for suffix, n in contents.suffixes.items()],
    }
    return json.dumps(said, indent=2, ensure_ascii=True) + "\n"


def _description(contents: Contents) -> str:
    text = (
        f"{contents.n_samples:,} samples of {len(contents.classes):,} classes in "
        f"{contents.n_files:,} files. Root digest of the auditor manifest: sha256 {contents.root}."
    )
    if contents.report is not None:
        text += f" Scanned with verdict {contents.report['verdict']}."
    return text


def _object(file: File) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": file.path,
        "name": file.path,
        "contentUrl": file.path,
        "contentSize": f"{file.size} B",
        "encodingFormat": file.media_type,
        "sha256": file.sha256,
    }


def _set(suffix: str, n: int) -> dict[str, Any]:
    kind = suffix.removeprefix(".") or "files-without-extension"
    return {
        "@type": "cr:FileSet",
        "@id": kind,
        "name": kind,
        "description": f"{n:,} files",
        "encodingFormat": File(f"x{suffix}", 0, "").media_type,
        "includes": f"**/*{suffix}",
    }
