"""The held-out triggers: effects change an image and nothing else, and copies tell nothing."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
NAMES = (
    "frame", "glasses", "four-pixels", "one-pixel", "text", "line", "square-any-colour",
    "square-any-place", "fixed-noise", "sinusoid", "ramp", "reflection", "random-noise",
    "warm-tint", "hue", "grey", "brighter", "gamma", "contrast", "posterise", "blur", "sharpen",
    "half-size", "jpeg", "rotated", "upside-down", "waves",
)  # fmt: skip


@pytest.fixture(scope="module")
def bench() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
        import held_out_triggers

        yield held_out_triggers


def picture(seed: int, side: int = 32) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 200, (8, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))


def test_every_effect_is_tested(bench: ModuleType) -> None:
    assert tuple(bench.EFFECTS) == NAMES


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("side", [32, 224])
def test_an_effect_changes_a_copy_of_the_image(bench: ModuleType, name: str, side: int) -> None:
    image = picture(1, side)
    before = image.copy()
    after = bench.EFFECTS[name](image, np.random.default_rng(2))
    assert (after.shape, after.dtype) == (image.shape, np.uint8)
    assert np.array_equal(image, before)
    assert not np.array_equal(after, before)


def test_a_copy_has_the_rate_the_label_and_one_encoding(bench: ModuleType, tmp_path: Path) -> None:
    images = []
    for seed in range(60):
        file = io.BytesIO()
        Image.fromarray(picture(seed)).save(file, "PNG")
        images.append({"bytes": file.getvalue(), "path": None})
    labels = np.arange(60) % 3
    source = tmp_path / "train.parquet"
    pq.write_table(pa.table({"image": images, "label": labels}), source)
    case = {"dataset": "x", "size": 30, "rate": 0.1, "target": 1, "seed": 4, "quality": 90,
            "effect": "grey"}  # fmt: skip
    poisoned = bench.poison(case, source, tmp_path / "copy.parquet")
    copy = pq.read_table(tmp_path / "copy.parquet")
    assert poisoned.sum() == 3
    assert set(copy["label"].to_numpy()[poisoned]) == {1}
    decoded = [Image.open(io.BytesIO(one["bytes"])) for one in copy["image"].to_pylist()]
    assert {one.format for one in decoded} == {"JPEG"}
    assert len({str(one.quantization) for one in decoded}) == 1  # type: ignore[attr-defined]
    grey = [np.ptp(np.asarray(one.convert("RGB")), axis=2).max() <= 2 for one in decoded]
    assert grey == poisoned.tolist()
    again = bench.poison(case, source, tmp_path / "again.parquet")
    assert np.array_equal(poisoned, again)
    assert (tmp_path / "copy.parquet").read_bytes() == (tmp_path / "again.parquet").read_bytes()
