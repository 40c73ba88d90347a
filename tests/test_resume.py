"""Nothing is decoded twice: not in a second scan, a grown dataset, or after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from test_determinism import stable
from tiny import encode, picture, pictures, structs, write_folder, write_parquet

from auditor.features.store import FeatureStore
from auditor.report import Report

FastScan = Callable[..., Report]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of samples in each pack that is added, that is, newly decoded."""
    counts: list[int] = []
    real = FeatureStore.add

    def add(self: FeatureStore, payload: bytes) -> object:
        table = real(self, payload)
        counts.append(table.num_rows)
        return table

    monkeypatch.setattr(FeatureStore, "add", add)
    return counts


def test_a_second_scan_decodes_nothing(
    tmp_path: Path, fast_scan: FastScan, decoded: list[int]
) -> None:
    root = write_folder(tmp_path / "set", {"a": 5, "b": 5})
    first = fast_scan(root)
    assert decoded == [10]
    assert stable(fast_scan(root)) == stable(first)
    assert decoded == [10]


def test_a_grown_dataset_decodes_only_what_is_new(
    tmp_path: Path, fast_scan: FastScan, decoded: list[int]
) -> None:
    root = write_folder(tmp_path / "set", {"a": 5, "b": 5})
    fast_scan(root)
    for i in range(3):
        (root / "a" / f"0{i}_new.png").write_bytes(encode(picture(700 + i)))
    report = fast_scan(root)
    assert decoded == [10, 3]
    assert report.coverage.scanned == 13
    moved = tmp_path / "moved"
    root.rename(moved)
    (moved / "a" / "000.png").rename(moved / "b" / "from_a.png")
    fast_scan(moved)
    assert decoded == [10, 3]


def test_without_a_cache_nothing_is_kept(
    tmp_path: Path, fast_scan: FastScan, decoded: list[int]
) -> None:
    root = write_folder(tmp_path / "set", {"a": 4})
    fast_scan(root, no_cache=True)
    fast_scan(root, no_cache=True)
    assert decoded == [4, 4]


def test_kill_9_in_mid_ingest_then_the_same_report(
    tmp_path: Path, fast_scan: FastScan, decoded: list[int]
) -> None:
    n, group = 480, 6
    columns = {"image": structs(pictures(n)), "label": ["a"] * n}  # one class: no detector runs
    root = write_parquet(tmp_path / "t.parquet", columns, row_group_size=group)
    cache = tmp_path / "cache"
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "auditor", "scan", str(root), "--profile", "fast",
         "--workers", "1", "--cache-dir", str(cache)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    packs = cache / "packs"
    limit = time.monotonic() + 60
    while not list(packs.glob("*/[!.]*.arrow")) and time.monotonic() < limit:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=10) == -signal.SIGKILL
    kept = len(list(packs.glob("*/[!.]*.arrow")))
    assert 0 < kept < n // group
    for lock in cache.glob("auditor-*/lock"):
        os.utime(lock, (0, 0))  # as if the kill were an hour ago
    resumed = fast_scan(root, cache_dir=str(cache))
    assert sum(decoded) == n - group * kept
    assert stable(resumed) == stable(fast_scan(root, no_cache=True))
    assert not list(cache.glob("auditor-*"))
