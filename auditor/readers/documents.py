"""Inside a worker: what a dataset's own documents declare, and which remote data they name.

Cards, Croissant metadata, ``dataset_infos.json``, DVC files and lists of URLs are read as data,
with safe loaders and bounds; nothing that they name is fetched.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

MAX_DOCUMENT = 1 << 22
"""Bytes of a document that are read; the front matter of a card with a thousand configurations
has some hundred kilobytes."""

MAX_LINES = 50_000
"""Lines of a list of URLs that are looked at."""

MAX_VALUES = 100_000
"""Values of a document that are visited: aliases let a short YAML text unfold to billions."""

URL = re.compile(r"\b(?:https?|ftp|s3|gs)://[^\s\"'<>)\]}|,`]+")
HASH = re.compile(r"\b(?:[0-9a-fA-F]{64}|[0-9a-fA-F]{40}|[0-9a-fA-F]{32})\b")

MUTABLE = re.compile(
    r"/(?:resolve|raw|blob|tree|refs/heads)/(?:main|master|head|develop|latest)(?:/|$)"
    r"|raw\.githubusercontent\.com/[^/]+/[^/]+/(?:main|master|head|develop)/"
    r"|/archive/(?:main|master|develop)\.(?:zip|tar)",
    re.IGNORECASE,
)
"""Addresses that name a branch: what they give out changes with its next commit."""

REMOTE_CODE = re.compile(r"trust_remote_code[\"']?\s*[=:]\s*[\"']?(?:True|true|1|yes)")

DATA_SUFFIXES = (
    ".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst", ".parquet", ".arrow",
    ".csv", ".tsv", ".jsonl", ".json", ".npz", ".npy", ".pkl", ".h5", ".hdf5", ".tfrecord", ".mat",
    ".jpg", ".jpeg", ".png", ".webp", ".bin", ".pt", ".pth",
)  # fmt: skip
"""What a link in a card's prose must end with to count as a reference to data."""

HASH_KEYS = frozenset({"sha256", "md5", "sha1", "sha512", "checksum", "hash", "etag", "digest"})


@dataclass(frozen=True, slots=True)
class Document:
    """What one document says.

    Attributes:
        kind: ``card``, ``infos``, ``croissant``, ``dvc``, ``urls`` or ``other``.
        urls: how many data addresses it names.
        insecure: those that travel without encryption, so anybody on the way can change them.
        mutable: those that name a branch.
        unhashed: those without a digest beside them: what they give out can not be checked.
        example: the first address that is one of these.
        declared: configuration → split → number of rows.
        outs: file names that a DVC file stands for.
        remote_code: whether it asks to run the dataset's own code.
    """

    kind: str
    urls: int = 0
    insecure: int = 0
    mutable: int = 0
    unhashed: int = 0
    example: str = ""
    declared: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    outs: tuple[str, ...] = ()
    remote_code: bool = False


def is_document(name: str) -> bool:
    """Whether a file of this name may be a document that `read` knows."""
    suffix = posixpath.splitext(name)[1].lower()
    return suffix in {".md", ".json", ".jsonld", ".yaml", ".yml", ".dvc", ".txt", ".csv", ".tsv",
                      ".jsonl", ".lst", ".list", ".urls"}  # fmt: skip


def read(name: str, data: bytes) -> Document:
    """Read one document.

    Args:
        name: its uri, of which the file name counts.
        data: its first `MAX_DOCUMENT` bytes.
    """
    text = data.decode("utf-8", "replace")
    base = posixpath.basename(name).lower()
    suffix = posixpath.splitext(base)[1]
    if suffix == ".md":
        return _card(text)
    if suffix == ".dvc":
        return _dvc(text)
    if suffix in {".json", ".jsonld"}:
        return _json(base, text)
    if suffix in {".yaml", ".yml"}:
        return Document("other", remote_code=_asks_code(text))
    return _list(text)


def _load_yaml(text: str) -> object:
    """Parse YAML with the safe loader; None if it is malformed or not to be had."""
    import yaml  # type: ignore[import-untyped]

    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, AttributeError, KeyError):
        return None


def _load_json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _asks_code(text: str) -> bool:
    """Whether a text turns on the running of code that comes with the data."""
    return REMOTE_CODE.search(text) is not None


def _card(text: str) -> Document:
    """A README: its YAML front matter declares splits; links in it and below name data."""
    match = re.match(r"\ufeff?---\s*\n(.*?)\n---\s*(?:\n|$)", text, re.DOTALL)
    front = match[1] if match else ""
    parsed = _load_yaml(front) if front else None
    declared = {}
    if isinstance(parsed, dict):
        infos = parsed.get("dataset_info")
        for info in infos if isinstance(infos, list) else [infos]:
            if isinstance(info, dict):
                declared[str(info.get("config_name", "default"))] = _splits(info.get("splits"))
    body = text[match.end() :] if match else text
    named = [url for url in URL.findall(front) if _names_data(url)]
    named += [url for url in URL.findall(body) if _names_data(url)]
    return _weighed("card", named, 0, declared={k: v for k, v in declared.items() if v},
                    remote_code=_asks_code(text))  # fmt: skip


def _names_data(url: str) -> bool:
    try:
        return urlsplit(url).path.lower().rstrip(".").endswith(DATA_SUFFIXES)
    except ValueError:
        return False


def _splits(value: object) -> dict[str, int]:
    """Rows by split, of the list form in cards and the mapping form in ``dataset_infos.json``."""
    items: Iterable[object] = ()
    if isinstance(value, dict):
        items = [{"name": key, **item} for key, item in value.items() if isinstance(item, dict)]
    elif isinstance(value, list):
        items = value
    found = {}
    for item in items:
        if isinstance(item, dict):
            n = item.get("num_examples")
            if isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 1 << 60:
                found[str(item.get("name"))] = n
    return found


def _dvc(text: str) -> Document:
    """A ``.dvc`` file: the outputs it stands for, and where imported data come from."""
    parsed = _load_yaml(text)
    if not isinstance(parsed, dict):
        return Document("other")
    outs = [out for out in _listed(parsed.get("outs")) if isinstance(out, dict)]
    names = tuple(str(out["path"])[:1000] for out in outs if "path" in out)
    urls, unhashed, mutable = [], 0, 0
    for dep in _listed(parsed.get("deps")):
        repo = dep.get("repo") if isinstance(dep, dict) else None
        address = repo.get("url") if isinstance(repo, dict) else None
        address = address or (dep.get("path") if isinstance(dep, dict) else None)
        if not isinstance(address, str) or not URL.match(address):
            continue
        urls.append(address)
        # `dvc import` locks the commit in rev_lock, `import-url` the content in md5 or etag.
        locked = isinstance(repo, dict) and repo.get("rev_lock")
        mutable += bool(isinstance(repo, dict) and not locked)
        unhashed += not (locked or HASH_KEYS & set(dep))
    unhashed += sum(1 for out in outs if not HASH_KEYS & set(out))
    document = _weighed("dvc", urls, unhashed, outs=names)
    if mutable:
        return Document("dvc", len(urls), document.insecure, document.mutable + mutable, unhashed,
                        document.example or urls[0], outs=names)  # fmt: skip
    return document


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _json(base: str, text: str) -> Document:
    parsed = _load_json(text)
    if base == "dataset_infos.json" and isinstance(parsed, dict):
        declared = {
            str(name): splits
            for name, info in parsed.items()
            if isinstance(info, dict) and (splits := _splits(info.get("splits")))
        }
        return Document("infos", declared=declared)
    if isinstance(parsed, dict) and "@context" in parsed and "distribution" in parsed:
        return _croissant(parsed)
    return Document("other", remote_code=_asks_code(text))


def _croissant(parsed: Mapping[str, object]) -> Document:
    """Croissant metadata: the ``contentUrl`` of each file object."""
    urls, unhashed = [], 0
    for item in _objects(parsed["distribution"]):
        url = item.get("contentUrl")
        if isinstance(url, str) and URL.match(url):
            urls.append(url)
            unhashed += not any(item.get(key) for key in ("sha256", "md5"))
    return _weighed("croissant", urls, unhashed)


def _objects(value: object) -> Iterator[Mapping[str, object]]:
    """Every mapping in nested lists and mappings, bounded."""
    pending, seen = [value], 0
    while pending and seen < MAX_VALUES:
        item = pending.pop()
        seen += 1
        if isinstance(item, dict):
            yield item
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)


def _list(text: str) -> Document:
    """A table or list of which most lines name an address."""
    lines = [line for line in text.splitlines()[:MAX_LINES] if line.strip()]
    named = [match[0] for line in lines if (match := URL.search(line))]
    if len(named) < 3 or 2 * len(named) < len(lines):
        return Document("other")
    hashed = sum(1 for line in lines if HASH.search(URL.sub("", line)))
    return _weighed("urls", named, max(0, len(named) - hashed))


def _weighed(kind: str, urls: list[str], unhashed: int, **more: Any) -> Document:
    """Count what is wrong with a document's addresses."""
    insecure = [url for url in urls if url.startswith(("http://", "ftp://"))]
    mutable = [url for url in urls if MUTABLE.search(url)]
    wrong = insecure or mutable or (urls if unhashed else [])
    return Document(kind, len(urls), len(insecure), len(mutable), unhashed,
                    wrong[0][:200] if wrong else "", **more)  # fmt: skip
