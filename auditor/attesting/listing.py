"""Compare the names, kinds and sizes of a dataset's files with the attested ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from auditor.attesting.differing import GuardError, owner
from auditor.attesting.samples import NO_RECORD, Samples
from auditor.manifests.hashing import hash_node
from auditor.manifests.tree import Node, list_tree

SHOWN = 5
"""Names that an error lists."""


def require_listing(dataset: Path, samples: Samples) -> None:
    """Compare names and sizes, and the bytes of files that are no samples and hold none.

    Raises:
        GuardError: something is missing, new, or of another size or kind.
    """
    sizes, holding = _sizes(samples), _holding(samples)
    problems: list[str] = []
    present: set[str] = set()
    for node in list_tree(dataset).nodes:
        present.add(node.uri)
        # Whose bytes a new name holds is told for those that are shown only: reading costs.
        said = _problem(node, samples, sizes, holding, told=len(problems) < SHOWN)
        if said:
            problems.append(f"{node.uri!r} {said}")
    missing = [f"{name!r} is missing" for name in {*sizes, *samples.others} - present]
    problems += sorted(missing)
    if problems:
        more = f" and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise GuardError(
            f"dataset {str(dataset)!r}: is not what was scanned: "
            f"{'; '.join(problems[:SHOWN])}{more}; see `auditor verify`, and scan again"
        )


def _sizes(samples: Samples) -> Mapping[str, int]:
    """Path → bytes of every regular file that was attested."""
    sizes = {name: int(samples.size[index]) for name, index in samples.by_path().items()}
    return sizes | {name: size for name, (size, _) in samples.files.items()}


def _holding(samples: Samples) -> frozenset[str]:
    """Files with attested rows: they are checked when they are opened."""
    rows = np.unique(samples.place[samples.record != NO_RECORD])
    return frozenset(samples.paths.take(rows).to_pylist())


def _problem(
    node: Node, samples: Samples, sizes: Mapping[str, int], holding: frozenset[str], told: bool
) -> str | None:
    """What is wrong with one name in the dataset, without reading a sample."""
    was = samples.others.get(node.uri)
    if was is not None:
        return None if node.kind == was else f"is a {node.kind}, it was a {was}"
    if node.uri not in sizes:
        return "was not scanned" + (_same_bytes(node, samples) if told else "")
    if node.kind != "file" or node.stamp is None:
        return f"is a {node.kind}, it was a file" + (f" ({node.detail})" if node.detail else "")
    if node.stamp.size != sizes[node.uri]:
        known = _same_bytes(node, samples) if told else ""
        return f"has {node.stamp.size:,} bytes, attested {sizes[node.uri]:,}{known}"
    if node.uri in samples.files and node.uri not in holding:
        digest = hash_node(node).digest
        if digest is None or digest.hex() != samples.files[node.uri][1]:
            return "changed since the scan"
    return None


def _same_bytes(node: Node, samples: Samples) -> str:
    """Whether a new name holds the bytes of an attested sample: moved or relabelled."""
    digest = hash_node(node).digest if node.kind == "file" else None
    other = None if digest is None else owner(samples, digest)
    return f", it has the bytes of {other}" if other else ""
