from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from auditor.errors import InternalError, UsageError
from auditor.report import Report
from auditor.reports import FORMAT_IDS, save_report, write_flagged, write_report
from auditor.reports.atomic import write_together
from auditor.reports.parquet import FLAGGED_COLUMNS

Make = dict[str, Callable[[], Report]]
FILES = {"report.json", "report.html", "flagged.parquet", "evidence.parquet"}


def test_saves_four_files_and_nothing_else(report: Report, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    report.save(folder)
    assert {path.name for path in folder.iterdir()} == FILES
    assert_frame_equal(pl.read_parquet(folder / "evidence.parquet"), report.samples)
    flagged = pl.read_parquet(folder / "flagged.parquet")
    assert tuple(flagged.columns) == FLAGGED_COLUMNS
    assert_frame_equal(flagged, report.flagged.select(FLAGGED_COLUMNS))
    assert json.loads((folder / "report.json").read_text())["n_flagged"] == flagged.height


def test_same_report_same_files(make: Make, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_report(make["poisoned"](), tmp_path / name)
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_empty_flagged_list_keeps_its_types(make: Make, tmp_path: Path) -> None:
    save_report(make["clean"](), tmp_path)
    flagged = pl.read_parquet(tmp_path / "flagged.parquet")
    assert flagged.height == 0
    assert flagged.schema["rules"] == pl.List(pl.String)


def test_failure_leaves_the_older_report_whole(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("old")

    def good(file: BinaryIO) -> None:
        file.write(b"new")

    def bad(file: BinaryIO) -> None:
        file.write(b"half")
        raise InternalError("stopped")

    with pytest.raises(InternalError):
        write_together(tmp_path, {"one": good, "two": bad})
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
    assert (tmp_path / "one").read_text() == "old"


def test_everything_is_synced_before_the_first_rename(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    sync, move = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        events.append("sync")
        sync(descriptor)

    def moved(part: Path, target: Path) -> Path:
        events.append(target.name)
        return move(part, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", moved)
    save_report(make["clean"](), tmp_path)
    assert events[:4] == ["sync"] * 4
    assert events[4:] == [
        "flagged.parquet",
        "evidence.parquet",
        "report.html",
        "report.json",
        "sync",
    ]


def test_a_link_is_replaced_not_followed(make: Make, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("keep")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "report.json").symlink_to(victim)
    save_report(make["clean"](), folder)
    assert victim.read_text() == "keep"
    assert not (folder / "report.json").is_symlink()


def test_folder_that_is_a_file_is_a_usage_error(make: Make, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(UsageError, match="--report"):
        save_report(make["clean"](), tmp_path / "taken")


@pytest.mark.parametrize("format_id", FORMAT_IDS)
def test_every_format_can_be_written_to_a_file(make: Make, tmp_path: Path, format_id: str) -> None:
    write_report(make["hostile"](), format_id, tmp_path / "sub" / "file")
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["file"]
    assert (tmp_path / "sub" / "file").stat().st_size > 100


def test_unknown_format_is_a_usage_error(make: Make, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'pdf'.*terminal, json"):
        write_report(make["clean"](), "pdf", tmp_path / "x")


def test_missing_column_is_an_internal_error(make: Make, tmp_path: Path) -> None:
    from dataclasses import replace

    report = make["clean"]()
    broken = replace(report, flagged=report.flagged.drop("score"))
    with (tmp_path / "x").open("wb") as file, pytest.raises(InternalError, match="score"):
        write_flagged(broken, file)
