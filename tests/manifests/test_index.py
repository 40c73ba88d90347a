"""The index of known files: what it believes, what it does not, and that it may break."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from auditor.manifests import create_manifest, hashing, index
from auditor.manifests.hashing import Hashed, hash_node, hash_nodes
from auditor.manifests.index import RACY_NS, StatIndex
from auditor.manifests.tree import Node, list_tree


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    root.mkdir()
    for i in range(6):
        (root / f"{i}.txt").write_text(f"file {i}")
    return root


@pytest.fixture
def young(monkeypatch: pytest.MonkeyPatch) -> None:
    """Believe files however young they are."""
    monkeypatch.setattr(index, "RACY_NS", -(10**15))


def fill(dataset: Path, cache: Path) -> list[Hashed]:
    with StatIndex(cache, dataset) as known:
        return list(hash_nodes(list_tree(dataset).nodes, known, 1))


def n_read(dataset: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that a run opens."""
    opened: list[str] = []

    def spy(node: Node) -> Hashed:
        opened.append(node.uri)
        return hash_node(node)

    with monkeypatch.context() as patched:
        patched.setattr(hashing, "hash_node", spy)
        fill(dataset, cache)
    return opened


@pytest.mark.usefixtures("young")
def test_unchanged_files_are_not_read(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fill(dataset, tmp_path / "c")
    assert n_read(dataset, tmp_path / "c", monkeypatch) == []
    assert [h.digest for h in fill(dataset, tmp_path / "c")] == [h.digest for h in first]


@pytest.mark.usefixtures("young")
def test_only_changed_files_are_read(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(dataset, tmp_path / "c")
    (dataset / "3.txt").write_text("other")
    before = (dataset / "4.txt").stat()
    (dataset / "4.txt").write_text("file X")  # the same size …
    os.utime(dataset / "4.txt", ns=(before.st_atime_ns, before.st_mtime_ns))  # … and mtime
    replacement = dataset.parent / "new"
    shutil.copy2(dataset / "5.txt", replacement)
    replacement.replace(dataset / "5.txt")  # another inode
    assert n_read(dataset, tmp_path / "c", monkeypatch) == ["3.txt", "4.txt", "5.txt"]


def test_a_file_as_young_as_its_hashing_is_read_again(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(dataset, tmp_path / "c")
    assert len(n_read(dataset, tmp_path / "c", monkeypatch)) == 6


def test_a_racily_clean_entry_is_not_believed(dataset: Path, tmp_path: Path) -> None:
    node = list_tree(dataset).nodes[0]
    assert node.stamp is not None
    changed = max(node.stamp.mtime_ns, node.stamp.ctime_ns)
    forged = bytes(32)
    for hashed_ns, believed in ((changed, {}), (changed + RACY_NS, {}),
                                (changed + RACY_NS + 1, {node.uri: forged})):  # fmt: skip
        with StatIndex(tmp_path / "c", dataset) as known:
            known.add(node.uri, node.stamp, forged, hashed_ns)
            known.flush()
            assert known.known([node]) == believed


@pytest.mark.usefixtures("young")
def test_an_interrupted_run_resumes(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing, "BATCH", 2)
    monkeypatch.setattr(index, "FLUSH_EVERY", 1)

    def breaks(batch: Sequence[Node], known: dict[str, bytes]) -> list[Hashed]:
        if batch[0].uri == "4.txt":
            raise KeyboardInterrupt
        return [hash_node(node) for node in batch]

    with monkeypatch.context() as patched:
        patched.setattr(hashing, "_hash_batch", breaks)
        with pytest.raises(KeyboardInterrupt):
            fill(dataset, tmp_path / "c")
    assert n_read(dataset, tmp_path / "c", monkeypatch) == ["4.txt", "5.txt"]


@pytest.mark.usefixtures("young")
@pytest.mark.parametrize("content", [b"", b"no database at all" * 100, None])
def test_a_broken_index_is_set_aside(dataset: Path, tmp_path: Path, content: bytes | None) -> None:
    digests = [h.digest for h in fill(dataset, tmp_path / "c")]
    (path,) = (tmp_path / "c/manifests").iterdir()
    if content is None:
        with sqlite3.connect(path) as connection:
            connection.execute("DROP TABLE file")
            connection.execute("CREATE TABLE file (uri TEXT, nonsense TEXT)")
    else:
        path.write_bytes(content)
    assert [h.digest for h in fill(dataset, tmp_path / "c")] == digests
    assert None not in digests


def test_a_file_changed_while_it_is_read_has_no_digest(dataset: Path) -> None:
    node = list_tree(dataset).nodes[0]
    (dataset / "0.txt").write_text("longer than before")
    assert hash_node(node).digest is None
    assert "changed" in hash_node(node).detail


def test_a_link_put_in_a_files_place_is_not_followed(dataset: Path) -> None:
    node = list_tree(dataset).nodes[0]
    (dataset / "0.txt").unlink()
    (dataset / "0.txt").symlink_to("/etc/passwd")
    assert hash_node(node).digest is None


def test_the_index_never_changes_a_manifest(dataset: Path, tmp_path: Path) -> None:
    made = [
        create_manifest(dataset, tmp_path / f"{i}.jsonl", cache_root=cache, workers=workers).root
        for i, (cache, workers) in enumerate([(None, 1), (tmp_path / "c", 3), (tmp_path / "c", 1)])
    ]
    assert len(set(made)) == 1
