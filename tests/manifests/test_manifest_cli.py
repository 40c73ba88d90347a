"""The commands: exit codes, what is said where, and how little the hook loads."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tiny import write_folder
from typer.testing import CliRunner

from auditor.cli.commands import app
from auditor.errors import UsageError
from auditor.manifests import index

runner = CliRunner()


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "data", {"cat": 3, "dog": 3})


@pytest.fixture
def manifest(dataset: Path, tmp_path: Path) -> Path:
    out = tmp_path / "data.manifest.jsonl"
    result = runner.invoke(app, ["manifest", "create", str(dataset), "-o", str(out)])
    assert result.exit_code == 0, result.output
    assert "6 samples" in result.output
    return out


def verify(dataset: Path, file: Path, *more: str) -> tuple[int, str]:
    result = runner.invoke(app, ["manifest", "verify", str(dataset), str(file), *more])
    return result.exit_code, result.output


def test_verify_names_what_differs(dataset: Path, manifest: Path) -> None:
    assert verify(dataset, manifest)[0] == 0
    (dataset / "cat/000.png").rename(dataset / "dog/evil.png")
    code, said = verify(dataset, manifest)
    assert code == 1
    assert "relabelled" in said
    assert "dog/evil.png" in said
    assert "'cat' → 'dog'" in said


def test_names_are_bounded_on_the_terminal_and_whole_in_json(
    dataset: Path, manifest: Path, tmp_path: Path
) -> None:
    for i in range(30):
        (dataset / f"extra{i:02d}.txt").write_text("x")
    code, said = verify(dataset, manifest)
    assert code == 1
    assert "extra19.txt" in said
    assert "extra20.txt" not in said
    assert "and 10 more" in said
    out = tmp_path / "found.json"
    verify(dataset, manifest, "-o", f"json={out}")
    found = json.loads(out.read_text())
    assert len(found["differences"]) == found["n_differences"] == 30
    assert (found["verified"], found["exit_code"], found["format"]) == (False, 1, "manifest")
    code, said = verify(dataset, manifest, "-o", "json")
    assert json.loads(said) == found


def test_names_can_not_speak_to_the_terminal(dataset: Path, manifest: Path) -> None:
    (dataset / "a\x1b[31m\n::error::b").write_text("x")
    _, said = verify(dataset, manifest)
    assert "\x1b" not in said
    assert "::error" not in said
    _, said = verify(dataset, manifest, "-o", "json")
    assert "\x1b" not in said


def test_exit_codes(dataset: Path, manifest: Path, tmp_path: Path) -> None:
    (dataset / "croissant.json").write_text(json.dumps({
        "@context": {}, "@type": "sc:Dataset", "name": "x", "distribution": []}))  # fmt: skip
    assert verify(dataset, dataset / "croissant.json")[0] == 3
    with pytest.raises(UsageError):
        runner.invoke(app, ["manifest", "verify", str(dataset), "nothing"], catch_exceptions=False)
    with pytest.raises(UsageError):
        runner.invoke(app, ["manifest", "create", str(dataset), "-o", str(dataset / "m")],
                      catch_exceptions=False)  # fmt: skip
    with pytest.raises(UsageError):
        runner.invoke(app, ["manifest", "verify", str(dataset), str(manifest), "-o",
                            f"json={dataset}/x"], catch_exceptions=False)  # fmt: skip


def test_strict_lets_nothing_pass(dataset: Path) -> None:
    data = (dataset / "cat/000.png").read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    (dataset / "croissant.json").write_text(json.dumps({
        "@context": {}, "@type": "sc:Dataset", "name": "x", "distribution": [{
            "@type": "cr:FileObject", "@id": "a", "contentUrl": "cat/000.png",
            "encodingFormat": "image/png", "sha256": digest}]}))  # fmt: skip
    assert verify(dataset, dataset / "croissant.json")[0] == 0
    assert verify(dataset, dataset / "croissant.json", "--strict")[0] == 1


def hook(*arguments: str) -> tuple[int, str]:
    result = runner.invoke(app, ["hook", *arguments])
    return result.exit_code, result.output


def test_hook_is_silent_when_nothing_changed(dataset: Path, manifest: Path) -> None:
    assert hook(str(dataset)) == (0, "")
    assert hook(str(dataset), "--manifest", str(manifest)) == (0, "")
    (dataset / "cat/001.png").unlink()
    code, said = hook(str(dataset))
    assert code == 1
    assert "cat/001.png" in said


def test_hook_sees_what_keeps_size_and_mtime(
    dataset: Path, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "RACY_NS", -(10**15))
    assert hook(str(dataset))[0] == 0
    path = dataset / "dog/002.png"
    before, data = path.stat(), bytearray(path.read_bytes())
    data[50] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    code, said = hook(str(dataset))
    assert code == 1
    assert "dog/002.png" in said


@pytest.mark.usefixtures("manifest")
def test_hook_loads_nothing_heavy(dataset: Path) -> None:
    program = (
        "import sys; from auditor.cli.commands import app\n"
        f"try: app(['hook', {str(dataset)!r}])\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "heavy = {'torch', 'sklearn', 'scipy', 'polars', 'rich.console', 'PIL'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_the_hook_is_offered_to_pre_commit() -> None:
    path = Path(__file__).parents[2] / ".pre-commit-hooks.yaml"
    (offered,) = yaml.safe_load(path.read_text())
    assert offered["entry"].split()[:2] == ["auditor", "hook"]
    assert offered["language"] == "python"
    assert offered["pass_filenames"] is False
