"""``sha256sum`` lists in both forms, with names that need escapes."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditor.errors import UsageError
from auditor.manifests import Verification, verify_manifest
from auditor.manifests.checksums import _items

NAMES = ("a.txt", "sub/b c.txt", "odd\\name", "line\nbreak", "return\rhere", "*star", " lead")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    (root / "sub").mkdir(parents=True)
    for name in NAMES:
        (root / name).write_text(f"content of {name!r}")
    return root


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def gnu(name: str, sha256: str) -> str:
    quoted = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return f"{'' if quoted == name else chr(92)}{sha256}  {quoted}\n"


def bsd(name: str, sha256: str) -> str:
    quoted = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return f"{'' if quoted == name else chr(92)}SHA256 ({quoted}) = {sha256}\n"


def check(folder: Path, text: str, name: str = "SHA256SUMS") -> Verification:
    path = folder.parent / name
    path.write_bytes(text.encode())
    return verify_manifest(folder, path, workers=1)


@pytest.mark.parametrize("form", [gnu, bsd])
@pytest.mark.parametrize("prefix", ["", "./", "data/"])
def test_both_forms_verify(form: object, prefix: str, folder: Path) -> None:
    text = "".join(form(prefix + n, digest(folder / n)) for n in NAMES)  # type: ignore[operator]
    found = check(folder, "# made by hand\n\n" + text)
    assert (found.exit_code, found.n_verified, found.differences) == (0, len(NAMES), ())


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum is not installed")
@pytest.mark.parametrize("options", [[], ["-b"], ["--tag"]])
def test_the_real_program_is_understood(options: list[str], folder: Path) -> None:
    command = ["sha256sum", *options, "--", *NAMES]
    made = subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout
    (folder / "SHA256SUMS").write_bytes(made)
    found = verify_manifest(folder, folder / "SHA256SUMS", workers=1)
    assert (found.exit_code, found.n_verified) == (0, len(NAMES))


def test_every_change_is_named(folder: Path) -> None:
    text = "".join(gnu(name, digest(folder / name)) for name in NAMES)
    (folder / "a.txt").write_text("other")
    (folder / " lead").rename(folder / "sub/lead")
    (folder / "*star").unlink()
    shutil.copy(folder / "odd\\name", folder / "twin")
    (folder / "new").write_text("new")
    (folder / "link").symlink_to("a.txt")
    (folder / "sub/b c.txt").unlink()
    os.mkfifo(folder / "sub/b c.txt")
    found = check(folder, text)
    assert {(d.kind, d.path) for d in found.differences} == {
        ("changed", "a.txt"), ("moved", "sub/lead"), ("missing", "*star"), ("duplicated", "twin"),
        ("extra", "new"), ("extra", "link"), ("replaced", "sub/b c.txt"),
    }  # fmt: skip
    assert found.exit_code == 1


def test_names_that_lead_out_are_invalid_and_never_read(folder: Path) -> None:
    (folder.parent / "outside").write_text("x")
    text = "".join(gnu(name, digest(folder / name)) for name in NAMES)
    for name in ("../outside", "/etc/passwd"):
        found = check(folder, text + gnu(name, "0" * 64))
        assert [(d.kind, d.path) for d in found.differences] == [("invalid", name)]


def test_two_digests_for_one_name_contradict(folder: Path) -> None:
    text = "".join(gnu(name, digest(folder / name)) for name in NAMES)
    found = check(folder, text + gnu("./a.txt", "0" * 64))
    assert [(d.kind, d.path) for d in found.differences] == [("invalid", "a.txt")]


@pytest.mark.parametrize("line", [
    "d41d8cd98f00b204e9800998ecf8427e  a.txt\n", f"{'0' * 128}  a.txt\n",
    f"MD5 (a.txt) = {'0' * 64}\n", f"{'0' * 64}  a.txt\nand then this\n",
])  # fmt: skip
def test_other_hashes_and_other_lines_are_errors(line: str, folder: Path) -> None:
    with pytest.raises(UsageError):
        check(folder, line)


@settings(max_examples=200)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(
    lambda name: "\0" not in name))  # fmt: skip
def test_any_name_survives_both_forms(name: str) -> None:
    for form in (gnu, bsd):
        data = form(name, "ab" * 32).encode()
        assert _items(Path("x"), data) == [(name, "ab" * 32)]
