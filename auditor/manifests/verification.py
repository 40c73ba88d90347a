"""Compare a dataset with a file that describes it, whatever of four formats that is in."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from auditor.errors import UsageError
from auditor.interfaces import Progress
from auditor.manifests.checksums import looks_like_checksums, read_checksums
from auditor.manifests.claims import check
from auditor.manifests.comparison import compare
from auditor.manifests.creation import Record, take_down
from auditor.manifests.croissant import looks_like_croissant, read_croissant
from auditor.manifests.document import MAGIC, read_header
from auditor.manifests.index import StatIndex
from auditor.manifests.json_document import MAX_BYTES, load_json
from auditor.manifests.records import Difference, Manifest, Verification
from auditor.manifests.signature import Trust, looks_like_signature, verify_signature
from auditor.manifests.tree import Tree, list_tree
from auditor.readers import Columns
from auditor.readers.outside import keep_outside


def verify(
    dataset: Path,
    path: Path,
    cache_root: Path | None,
    workers: int,
    trust: Trust | None,
    progress: Progress | None,
) -> Verification:
    """See `auditor.manifests.verify_manifest`."""
    data = _read(path)
    if data.startswith(MAGIC):
        return verify_own(dataset, path, cache_root, workers, progress)
    tree = list_tree(dataset)
    n_workers = workers or len(os.sched_getaffinity(0))
    with ExitStack() as stack:
        index = None
        if cache_root is not None:
            keep_outside(cache_root, dataset, "cache folder")
            index = stack.enter_context(StatIndex(cache_root, tree.root))
        if data.lstrip().startswith(b"{"):
            return _verify_json(tree, path, data, index, n_workers, trust)
        if looks_like_checksums(data):
            return check(read_checksums(path, data, tree), tree, path, index, n_workers)
    raise UsageError(
        f"{str(path)!r}: none of the formats that are known: a manifest of this tool, Croissant "
        "JSON-LD, a sha256sum list, a model-signing signature"
    )


def _verify_json(
    tree: Tree, path: Path, data: bytes, index: StatIndex | None, workers: int, trust: Trust | None
) -> Verification:
    document, twice = load_json(path, data)
    if looks_like_signature(document):
        return verify_signature(tree, path, document, trust)
    if looks_like_croissant(document):
        return check(read_croissant(path, document, twice, tree), tree, path, index, workers)
    raise UsageError(
        f"{str(path)!r}: JSON, but neither Croissant metadata nor a Sigstore bundle; expected "
        "@context and distribution, or dsseEnvelope"
    )


def _read(path: Path) -> bytes:
    """The file's bytes; of a manifest, which may be large, its beginning."""
    try:
        with path.open("rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UsageError(f"{str(path)!r}: got no regular file, expected a manifest")
            data = file.read(len(MAGIC))
            if data == MAGIC:
                return data
            data += file.read(MAX_BYTES)
    except OSError as error:
        raise UsageError(f"{str(path)!r}: {error.strerror}; check the path") from None
    if len(data) > MAX_BYTES:
        raise UsageError(f"{str(path)!r}: larger than {MAX_BYTES:,} bytes; not read")
    return data


def verify_own(
    dataset: Path, path: Path, cache_root: Path | None, workers: int, progress: Progress | None
) -> Verification:
    """Take the dataset down anew beside the old manifest and compare the two.

    Where the roots agree, everything does. Nothing of either side is held in memory.
    """
    old = read_header(path)
    with tempfile.TemporaryDirectory(prefix="auditor-") as scratch:
        keep_outside(Path(scratch), dataset, "temporary folder")
        columns = Columns(**old.columns)
        out = Path(scratch) / "now.jsonl"
        now = take_down(dataset, out, columns, cache_root, workers, progress, durable=False)
        return compare_records(dataset, old, now)


def compare_records(dataset: Path, old: Manifest, now: Record) -> Verification:
    """The verdict over what was written down and what was found now."""
    new = now.manifest
    notices = [
        f"{path!r}: its rows can not be read ({why}); only its bytes are compared"
        for path, why in sorted(now.unreadable_rows.items())
    ]
    if not old.complete:
        notices.append(f"the manifest is incomplete: {old.n_unreadable:,} items had no digest")
    blank = Verification("manifest", 0, unreadable=now.unreadable, root=new.root,
                         row_root=new.row_root)  # fmt: skip
    if old.root == new.root:
        n_verified = now.n_entries - new.n_unreadable
        return replace(blank, n_verified=n_verified, notices=tuple(notices))
    found = compare(old, new, now.unreadable_rows)
    differences, n_all = found.differences, found.n_differences
    explained = n_all or now.unreadable or found.notices
    if not explained:
        differences = (Difference("changed", ".", None, "the roots differ"),)
        n_all = 1
    return replace(
        blank,
        n_verified=found.n_verified,
        differences=tuple(_explained(item, dataset) for item in differences),
        n_differences=n_all,
        notices=(*notices, *found.notices),
    )


def _explained(item: Difference, dataset: Path) -> Difference:
    """Say what stands in the place of a file that is missing."""
    if item.kind != "missing" or item.record is not None or not dataset.is_dir():
        return item
    try:
        mode = (dataset / item.path).lstat().st_mode
    except OSError:
        return item
    return replace(item, kind="replaced", message="a folder stands in its place") if (
        stat.S_ISDIR(mode)) else item  # fmt: skip
