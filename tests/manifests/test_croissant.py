"""Croissant metadata: the real files with their truth, and hostile ones."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from auditor.errors import UsageError
from auditor.manifests import Verification, verify_manifest

DATA = b"hello\n"
DIGEST = hashlib.sha256(DATA).hexdigest()


def document(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "@context": {"@vocab": "https://schema.org/", "cr": "http://mlcommons.org/croissant/"},
        "@type": "sc:Dataset", "name": "d", "distribution": list(parts), **more,
    }  # fmt: skip


def part(**values: Any) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject", "@id": "f", "contentUrl": "a.txt", "encodingFormat": "text/plain",
        "sha256": DIGEST, **values,
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    root.mkdir()
    (root / "a.txt").write_bytes(DATA)
    (tmp_path / "secret.txt").write_bytes(DATA)
    return root


def check(folder: Path, described: dict[str, Any] | str) -> Verification:
    text = described if isinstance(described, str) else json.dumps(described)
    (folder / "metadata.json").write_text(text)
    return verify_manifest(folder, folder / "metadata.json", workers=1)


def kinds(found: Verification) -> list[tuple[str, str]]:
    return [(item.kind, item.path) for item in found.differences]


def test_a_fitting_digest_is_verified(folder: Path) -> None:
    found = check(folder, document(part()))
    assert (found.exit_code, found.n_verified, found.differences) == (0, 1, ())
    found = check(folder, document(part(sha256=DIGEST.upper())))
    assert found.exit_code == 0


@pytest.mark.parametrize(("values", "kind", "says"), [
    ({"sha256": "0" * 63 + "1"}, "changed", "declared 000"),
    ({"sha256": "foo"}, "unusable", "64 hex digits"),
    ({"sha256": DIGEST[:32]}, "unusable", "64 hex digits"),
    ({"sha256": DIGEST + "0"}, "unusable", "64 hex digits"),
    ({"sha256": "0" * 64}, "unusable", "placeholder"),
    ({"sha256": "https://github.com/mlcommons/croissant/issues/80"}, "unusable", "64 hex"),
    ({"md5": "0" * 31 + "1"}, "invalid", "disagree"),
    ({"sc:sha256": "1" + DIGEST[1:]}, "invalid", "different sha256"),
    ({"sha256": [DIGEST, "1" + DIGEST[1:]]}, "invalid", "different sha256"),
    ({"sha256": None, "md5": "0" * 31 + "1"}, "changed", "md5"),
    ({"sha256": None, "contentSize": "7 B"}, "changed", "declared 7"),
    ({"contentUrl": "../secret.txt"}, "invalid", "out of the dataset"),
    ({"contentUrl": "%2e%2e/secret.txt"}, "invalid", "out of the dataset"),
    ({"contentUrl": "x/../../secret.txt"}, "invalid", "out of the dataset"),
    ({"contentUrl": "/etc/passwd"}, "invalid", "out of the dataset"),
    ({"contentUrl": "file:///etc/passwd"}, "invalid", "out of the dataset"),
    ({"contentUrl": None}, "invalid", "no contentUrl"),
    ({"encodingFormat": None}, "invalid", "encodingFormat"),
    ({"@type": "cr:Thing"}, "invalid", "expected cr:FileObject"),
    ({"containedIn": {"@id": "nowhere"}}, "invalid", "does not exist"),
])  # fmt: skip
def test_faults_are_differences(values: dict[str, Any], kind: str, says: str, folder: Path) -> None:
    merged = {k: v for k, v in part(**values).items() if v is not None}
    found = check(folder, document(merged))
    assert found.exit_code == 1
    assert any(d.kind == kind and says in d.message for d in found.differences), found.differences


def test_two_digests_for_one_file_contradict(folder: Path) -> None:
    found = check(folder, document(part(), part(**{"@id": "g", "sha256": "1" + DIGEST[1:]})))
    assert ("invalid", "a.txt") in kinds(found)


def test_a_name_given_twice_is_invalid(folder: Path) -> None:
    (folder / "b.txt").write_bytes(DATA)
    found = check(folder, document(part(), part(contentUrl="b.txt")))
    assert kinds(found) == [("invalid", "f")]


def test_a_key_given_twice_is_invalid(folder: Path) -> None:
    text = json.dumps(document(part())).replace('"sha256": ', '"sha256": "0", "sha256": ')
    found = check(folder, text)
    assert ("invalid", "metadata.json") in kinds(found)
    assert found.exit_code == 1


def test_only_md5_is_no_verification(folder: Path) -> None:
    md5 = hashlib.md5(DATA, usedforsecurity=False)
    values = part(md5=md5.hexdigest())
    del values["sha256"]
    found = check(folder, document(values))
    assert (found.exit_code, found.n_verified, found.n_unverified) == (3, 0, 1)
    assert "md5" in found.unverified[0][1]


def test_what_is_not_here_is_unverified(folder: Path) -> None:
    absent = part(**{"@id": "g", "contentUrl": "https://example.org/big.zip"})
    inside = part(**{"@id": "h", "contentUrl": "in.csv", "containedIn": {"@id": "g"}})
    found = check(folder, document(part(), absent, inside))
    assert (found.exit_code, found.n_verified, found.n_unverified) == (0, 1, 2)
    assert check(folder, document(absent)).exit_code == 3


def test_a_downloaded_file_is_checked_under_its_own_name(folder: Path) -> None:
    url = "https://example.org/x/a.txt?download=1"
    assert check(folder, document(part(contentUrl=url))).exit_code == 0
    (folder / "a.txt").write_bytes(b"other")
    assert kinds(check(folder, document(part(contentUrl=url)))) == [("changed", "a.txt")]


def test_a_link_is_not_followed(folder: Path) -> None:
    (folder / "a.txt").unlink()
    (folder / "a.txt").symlink_to(folder.parent / "secret.txt")
    assert kinds(check(folder, document(part()))) == [("replaced", "a.txt")]


@pytest.mark.parametrize("text", [
    '{"@context":' + "[" * 50_000 + "]" * 50_000 + "}",
    '{"@context":{},"@type":"sc:Dataset","distribution":' + "[" * 100 + "]" * 100 + "}",
    '{"@context": {}, "@type": NaN}',
    '{"@context": {}',
])  # fmt: skip
def test_hostile_json_is_an_error(text: str, folder: Path) -> None:
    with pytest.raises(UsageError):
        check(folder, text)


@pytest.mark.parametrize("distribution", [
    5, "x", [5, None, "x", []], {"@type": 5}, [{"@type": {"a": {}}, "@id": [1, {}]}],
    [{"@type": "cr:FileObject", "contentUrl": [[]], "sha256": {"a": 1}, "name": 5}],
    [{"@type": "cr:FileObject", "contentUrl": "http://[bad", "name": "x"}],
    [{"@type": "cr:FileObject", "contentUrl": "a\0b", "name": "x"}],
])  # fmt: skip
def test_odd_shapes_are_reported_and_break_nothing(distribution: Any, folder: Path) -> None:
    found = check(folder, document(distribution=distribution, recordSet=[{"field": [5, {}]}]))
    assert found.exit_code in {1, 3}


@pytest.mark.data
def test_the_real_files(data_root: Path) -> None:
    root = data_root / "provenance/croissant"
    truth: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    with (root / "DISTRIBUTION_CHECK.csv").open() as file:
        for row in csv.DictReader(file):
            truth[row["dataset"]][row["status"]].add(row["contentUrl"])
    n_match = n_mismatch = 0
    for name, said in truth.items():
        folder = root / "datasets" / name
        found = verify_manifest(folder, folder / "metadata.json", workers=1)
        files = {item.path for item in found.differences if item.kind in {"changed", "unusable"}}
        assert files == said["MISMATCH"], name
        assert found.n_verified == len(said["match"]), name
        if said["MISMATCH"]:
            assert found.exit_code == 1
        elif said["match"]:
            assert (found.exit_code, found.differences) == (0, ()), name
        else:
            assert found.exit_code in {1, 3}
        n_match += found.n_verified
        n_mismatch += len(files)
    assert (n_match, n_mismatch) == (17, 6)


@pytest.mark.data
def test_the_deliberately_invalid_files(data_root: Path) -> None:
    graphs = data_root / "provenance/croissant/python/mlcroissant/mlcroissant/_src/tests/graphs"
    documents = sorted(graphs.glob("*/*/metadata.json"))
    assert len(documents) == 30
    for path in documents:
        found = verify_manifest(path.parent, path, workers=1)
        assert found.exit_code == 1, path
        assert {item.kind for item in found.differences} == {"invalid"}, path
