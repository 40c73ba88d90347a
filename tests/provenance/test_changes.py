"""Files that change under a scan's eyes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import encode, picture, write_folder

from auditor import scanning
from auditor.readers.changes import changed, take_stamps
from auditor.readers.walk import walk
from auditor.report import Report


def test_every_way_to_change_a_file_shows(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "d", {"cat": 5})
    files = walk(root).files
    stamps = take_stamps(files)
    assert changed(files, stamps) == []
    paths = sorted((root / "cat").iterdir())
    status = paths[0].stat()
    paths[0].write_bytes(bytes(status.st_size))
    os.utime(paths[0], ns=(status.st_atime_ns, status.st_mtime_ns))  # same size, same mtime
    paths[1].unlink()
    paths[2].rename(paths[1])
    paths[3].unlink()
    paths[3].symlink_to(paths[4])
    assert changed(files, stamps) == [f"cat/00{i}.png" for i in range(4)]


def test_a_scan_reports_it(
    tmp_path: Path, fast_scan: Callable[..., Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_folder(tmp_path / "d", {"cat": 5, "dog": 5})
    assert "INT002" not in {finding.rule for finding in fast_scan(root).findings}
    detect = scanning.run_checks

    def meddle(*args: Any) -> None:
        (root / "cat" / "001.png").write_bytes(encode(picture(99)))
        detect(*args)

    monkeypatch.setattr(scanning, "run_checks", meddle)
    report = fast_scan(root)
    (finding,) = (f for f in report.findings if f.rule == "INT002")
    assert finding.n_samples == 1
    assert "cat/001.png" in finding.message
    assert report.verdict == "fail"
