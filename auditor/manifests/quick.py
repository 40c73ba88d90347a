"""The check before a commit: only what has another size, time or inode is read."""

from __future__ import annotations

import os
from pathlib import Path

from auditor.manifests.document import read_header
from auditor.manifests.hashing import Hashed, hash_nodes
from auditor.manifests.index import StatIndex
from auditor.manifests.records import Entry, Manifest, Verification
from auditor.manifests.tree import list_tree
from auditor.readers.outside import keep_outside

KINDS = {"file": {"file", "sample"}, "link": {"link"}, "special": {"special"}}
"""The kinds of entries that a node of this kind may be."""


def quick(dataset: Path, path: Path, cache_root: Path) -> Verification:
    """See `auditor.manifests.quick_verify`."""
    keep_outside(cache_root, dataset, "cache folder")
    manifest = read_header(path)
    n_same = _all_same(dataset, manifest, cache_root)
    if n_same is not None:
        return Verification("manifest", n_same, root=manifest.root, row_root=manifest.row_root)
    from auditor.manifests.verification import verify_own

    return verify_own(dataset, path, cache_root, 0, None)


def _all_same(dataset: Path, manifest: Manifest, cache_root: Path) -> int | None:
    """How many entries there are if every file is as the manifest says, else None."""
    if not manifest.complete:
        return None
    tree = list_tree(dataset)
    n_same = 0
    with StatIndex(cache_root, tree.root) as index:
        now = hash_nodes(tree.nodes, index, len(os.sched_getaffinity(0)))
        for entry in manifest.entries():
            n_same += 1
            if entry.kind == "row":
                continue
            item = next(now, None)
            if item is None or not _agrees(entry, item):
                return None
        return n_same if next(now, None) is None else None


def _agrees(entry: Entry, item: Hashed) -> bool:
    node = item.node
    if entry.path != node.uri or entry.kind not in KINDS.get(node.kind, set()):
        return False
    return entry.sha256 == (None if item.digest is None else item.digest.hex())
