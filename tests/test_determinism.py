"""Same input, same output: whatever the workers, the order on disk or the cache."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import encode, list_backwards, picture, pictures, structs, write_folder, write_parquet

from auditor.report import Report
from auditor.reports.json import render

FastScan = Callable[..., Report]


def stable(report: Report) -> dict[str, Any]:
    """``report.json`` without what may differ: seconds."""
    payload: dict[str, Any] = json.loads(render(report))
    del payload["timings"]
    for detector in payload["detectors"]:
        del detector["seconds"]
    return payload


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Many shards of both kinds, copies, conflicting labels and refusals."""
    root = write_folder(tmp_path / "set", {"a": 6, "b": 6})
    for i in range(5):
        shutil.copy(root / "a" / f"{i:03d}.png", root / "b" / f"copy{i}.png")
        (root / "b" / f"broken{i}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes([i]))
    columns = {"image": structs(pictures(60, seed=5000)), "label": ["a", "b"] * 30}
    write_parquet(root / "more.parquet", columns, row_group_size=5)
    return root


def test_one_worker_and_two_give_one_report(
    dataset: Path, fast_scan: FastScan, tmp_path: Path
) -> None:
    reports = [fast_scan(dataset, workers=n, cache_dir=str(tmp_path / f"cache{n}")) for n in (1, 2)]
    assert stable(reports[0]) == stable(reports[1])
    one, two = reports
    assert one.samples.equals(two.samples)
    assert one.flagged.equals(two.flagged)
    assert one.thumbnails == two.thumbnails
    assert one.n_flagged == 15


def test_the_order_of_the_listing_does_not_count(
    dataset: Path, fast_scan: FastScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fast_scan(dataset, no_cache=True)
    list_backwards(monkeypatch)
    assert stable(fast_scan(dataset, no_cache=True)) == stable(first)


def test_a_scan_leaves_the_dataset_as_it_was(dataset: Path, fast_scan: FastScan) -> None:
    def snapshot() -> dict[str, tuple[int, int, int, bytes]]:
        found = {}
        for path in sorted(dataset.rglob("*")):
            status = path.lstat()
            content = path.read_bytes() if path.is_file() else b""
            found[str(path)] = (status.st_mtime_ns, status.st_mode, status.st_ino, content)
        return found

    before = snapshot()
    fast_scan(dataset)
    assert snapshot() == before


def test_grown_and_shrunk_datasets(tmp_path: Path, fast_scan: FastScan) -> None:
    """A cached scan equals one without a cache, after samples came and went."""
    root = write_folder(tmp_path / "set", {"a": 6, "b": 6})
    fast_scan(root)
    (root / "a" / "new.png").write_bytes(encode(picture(500)))
    (root / "b" / "000.png").unlink()
    assert stable(fast_scan(root)) == stable(fast_scan(root, no_cache=True))
