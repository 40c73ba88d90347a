"""Every exit code of the contract, from the real command."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from tiny import encode, picture, structs, write_folder, write_parquet

from auditor.cli import main

Auditor = Callable[..., "Done"]


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def auditor(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Auditor:
    """Run the command's entry point in this process: its exit code and both streams."""
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*arguments: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["auditor", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert isinstance(ended.value.code, int)
        streams = capsys.readouterr()
        return Done(ended.value.code, streams.out, streams.err)

    return run


@pytest.fixture
def scan(auditor: Auditor) -> Auditor:
    return lambda path, *more: auditor("scan", path, "--profile", "fast", "--workers", "1", *more)


def test_the_process_ends_with_the_code(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "d", {"a": 2})
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    command = [sys.executable, "-P", "-m", "auditor", "scan", str(folder), "--profile", "fast"]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert done.returncode == 4, done.stderr


def test_0_pass(tmp_path: Path, scan: Auditor) -> None:
    write_folder(tmp_path / "d", {"a": 3, "b": 3})
    done = scan(tmp_path / "d", "-o", "json", "-o", f"sarif={tmp_path / 'x.sarif'}")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)  # nothing but JSON on standard output
    assert report["verdict"] == "pass"
    assert report["exit_code"] == 0
    assert json.loads(Path("auditor-report/report.json").read_text()) == report
    assert {path.name for path in Path("auditor-report").iterdir()} == {
        "report.json", "flagged.parquet", "evidence.parquet", "report.html",
    }  # fmt: skip
    assert (tmp_path / "x.sarif").exists()


def test_1_findings_and_they_win_over_incomplete(tmp_path: Path, scan: Auditor) -> None:
    data = encode(picture(1))
    for name in ("a", "b"):
        (tmp_path / "d" / name).mkdir(parents=True)
        for i in range(2):
            (tmp_path / "d" / name / f"{i}.png").write_bytes(data)
    done = scan(tmp_path / "d", "-q")
    assert done.returncode == 1, done.stderr
    assert "FAIL" in done.stdout
    assert "COV004" in done.stdout or "identical" in done.stdout
    (tmp_path / "d" / "a" / "broken.png").write_bytes(data[:50])
    assert scan(tmp_path / "d").returncode == 1
    assert scan(tmp_path / "d", "--fail-on", "critical").returncode == 4


@pytest.mark.parametrize(
    "arguments",
    [
        ["scan", "no-such-folder"],
        ["scan", ".", "--fail-on", "worst"],
        ["scan", "{d}", "-o", "pdf"],
        ["scan", "{d}", "-o", "parquet"],
        ["scan", "{d}", "--select", "XYZ"],
        ["scan", "{d}", "--label", "nope"],
        ["scan", "{d}", "--allow-refused", "many"],
        ["scan", "{d}", "--config", "gone.toml"],
        ["scan", "{d}", "--report", "{d}/report"],
        ["scan", "{d}", "-o", "json={d}/report.json"],
        ["scan", "{d}", "--cache-dir", "{d}/cache"],
        ["explain", "BKD999"],
        ["nonsense"],
    ],
    ids=" ".join,
)
def test_2_usage(tmp_path: Path, auditor: Auditor, arguments: list[str]) -> None:
    folder = write_folder(tmp_path / "d", {"a": 1})
    done = auditor(*(text.replace("{d}", str(folder)) for text in arguments))
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["a"]


def test_2_configuration(tmp_path: Path, scan: Auditor) -> None:
    folder = write_folder(tmp_path / "d", {"a": 1})
    Path("auditor.toml").write_text("fial_on = 'low'\n")
    done = scan(folder)
    assert done.returncode == 2
    assert "did you mean 'fail_on'" in done.stderr
    assert "\x1b" not in done.stderr


def test_2_never_over_the_dataset_itself(tmp_path: Path, scan: Auditor) -> None:
    path = write_parquet(tmp_path / "t.parquet", {"image": structs([encode(picture(1))])})
    before = path.read_bytes()
    assert scan(path, "-o", f"parquet={path}").returncode == 2
    assert path.read_bytes() == before


def test_3_nothing_to_scan(tmp_path: Path, scan: Auditor) -> None:
    (tmp_path / "d").mkdir()
    assert scan(tmp_path / "d").returncode == 3
    (tmp_path / "d" / "notes.txt").write_text("text")
    done = scan(tmp_path / "d")
    assert done.returncode == 3
    assert "1 × .txt" in done.stderr
    assert done.stdout == ""


def test_4_incomplete_unless_allowed(tmp_path: Path, scan: Auditor) -> None:
    folder = write_folder(tmp_path / "d", {"a": 3, "b": 3})
    (folder / "a" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    done = scan(folder, "-o", "json")
    assert done.returncode == 4, done.stderr
    assert json.loads(done.stdout)["verdict"] == "incomplete"
    assert scan(folder, "--allow-refused", "1").returncode == 0
    assert scan(folder, "--allow-refused", "0.5").returncode == 0
    assert scan(folder, "--allow-refused", "0.01").returncode == 4


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), pl.exceptions.PanicException("x")])
def test_4_internal_error(
    tmp_path: Path, scan: Auditor, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """A bug ends with 4 and not with Python's own 1, which would say "findings"."""

    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("auditor.scanning.scan", broken)
    done = scan(write_folder(tmp_path / "d", {"a": 1}))
    assert done.returncode == 4
    assert "this is a bug in auditor" in done.stderr
