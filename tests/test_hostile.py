"""Other projects' own crafted files, scanned as datasets: nothing lost, nothing passed."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import auditor

pytestmark = pytest.mark.data


@pytest.mark.parametrize("name", ["pillow", "pngsuite", "parquet-testing"])
def test_every_file_is_accounted_for(data_root: Path, name: str) -> None:
    folder = data_root / "hostile" / name
    n_files = sum(len(files) for _, _, files in os.walk(folder))
    command = [sys.executable, "-P", "-m", "auditor", "scan", str(folder), "--profile", "fast"]
    command += ["--workers", "1", "-o", "json"]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert done.returncode in {1, 4}, done.stderr
    coverage = json.loads(done.stdout)["coverage"]
    assert coverage["discovered"] == coverage["scanned"] + coverage["refused"]
    assert sum(coverage["by_reason"].values()) == coverage["refused"] > 0
    assert coverage["discovered"] + sum(coverage["not_samples"].values()) == n_files
    # KiB; the largest child of this test process so far, its workers among them.
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 2 << 20


def test_valid_images_of_the_suite_are_read(data_root: Path) -> None:
    """PngSuite names its broken files with a leading x; all others are valid."""
    report = auditor.scan(data_root / "hostile" / "pngsuite", profile="fast", workers=1)
    name = pl.col("uri").str.split("/").list.last()
    png = report.samples.filter(name.str.ends_with(".png"))
    valid = png.filter(~name.str.starts_with("x"))
    assert valid.filter(pl.col("status") == "refused")["uri"].to_list() == []
    assert valid.height > 150
    broken = png.filter(name.str.starts_with("x"))
    # Pillow does not look at the checksum of the pixel data.
    assert broken.filter(pl.col("status") == "scanned")["uri"].to_list() == ["png/xcsn0g01.png"]
