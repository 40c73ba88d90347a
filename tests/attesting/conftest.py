"""Signers for one run, and small scanned and attested datasets."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("sigstore", reason="needs the extra 'sign'")

from attested import Attested, attested, write_images, write_metadata, write_table
from signers import Authority, Pair, write_key


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return write_key(tmp_path_factory.mktemp("keys"), "signer")


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("authority"))
    made.issue("signer", "intermediate")
    return made


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory, keys: Pair) -> dict[str, Attested]:
    """Scanned and attested once; tests change copies."""
    found = {}
    for kind, write in {
        "images": write_images, "table": write_table, "metadata": write_metadata
    }.items():  # fmt: skip
        home = tmp_path_factory.mktemp(kind)
        found[kind] = attested(home, write(home / "data"), keys)
    return found


@pytest.fixture
def copy(originals: dict[str, Attested], tmp_path: Path) -> Callable[[str], Attested]:
    """A copy that a test may change."""

    def make(kind: str = "images") -> Attested:
        found = originals[kind]
        home = tmp_path / kind
        shutil.copytree(found.file.parent, home, symlinks=True)
        return Attested(home / "data", home / "report", home / "scan.jsonl", found.pair)

    return make
