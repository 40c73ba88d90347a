"""Quarters of photos: nothing is lost or blended, and each lies under its photo's class."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def bench() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
        import lossless

        yield lossless


def test_quarters_are_means_of_their_part(bench: ModuleType) -> None:
    """128 pixels a side are averaged over 2×2."""
    photo = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    means = photo.reshape(64, 2, 64, 2, 3).mean(axis=(1, 3))
    parts = [np.asarray(part) for part in bench.quarters(Image.fromarray(photo))]
    joined = np.vstack([np.hstack(parts[:2]), np.hstack(parts[2:])])
    assert np.abs(joined - means).max() <= 1  # rounded after each of two passes


def test_a_folder_by_class_becomes_another_of_four_times_as_many(
    bench: ModuleType, tmp_path: Path
) -> None:
    for split, label, colour in (("train", "cat", 10), ("val", "cat", 20), ("train", "dog", 30)):
        folder = tmp_path / split / label
        folder.mkdir(parents=True)
        Image.new("L", (80, 64), colour).save(folder / f"{colour}.jpg", quality=95)
    out = tmp_path / "quarters"
    bench.main([tmp_path / "train", tmp_path / "val"], out)
    names = sorted(str(path.relative_to(out)) for path in out.glob("*/*"))
    assert len(names) == 12
    assert names[0] == "cat/10-0.png"
    with Image.open(out / "dog" / "30-3.png") as quarter:
        assert (quarter.size, quarter.mode, quarter.format) == ((32, 32), "RGB", "PNG")
        assert np.asarray(quarter) == pytest.approx(30, abs=1)
