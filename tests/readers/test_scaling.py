"""Pictures that show something else once scaled down, and pictures that do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny import encode, picture

from auditor.readers.decode import Decoded, decode, prepare
from auditor.readers.scaling import discrepancy, taps

THRESHOLD = 1.2
"""The rule's."""


def textured(seed: int, width: int = 224, height: int = 224) -> Image.Image:
    generator = np.random.default_rng(seed)
    base = np.asarray(picture(seed, width, height), np.float64)
    return Image.fromarray(np.clip(base + generator.normal(0, 12, base.shape), 0, 255).astype("u1"))


def attacked(shown: Image.Image, side: int, offset: float, seed: int) -> Image.Image:
    pixels = np.asarray(shown).copy()
    hidden = np.asarray(picture(seed, side, side))
    rows, columns = taps(shown.height, side, offset), taps(shown.width, side, offset)
    pixels[np.ix_(rows, columns)] = hidden.repeat(2, 0).repeat(2, 1)
    return Image.fromarray(pixels)


def measured(image: Image.Image, format_: str = "PNG") -> float | None:
    prepare(64_000_000)
    found = decode(encode(image, format_))
    assert isinstance(found, Decoded)
    return found.scaling


def slow_discrepancy(image: Image.Image, side: int, offset: float) -> float:
    """The ratio by loops, for sides that divide the size."""
    green = np.asarray(image)[..., 1].astype(float)
    size = len(green)
    radius = size / side / 2
    total = {True: [], False: []}
    places = set(taps(size, side, offset).tolist())
    reach = int(radius)
    for y in range(size):
        for x in range(size):
            ys = np.clip(np.arange(y - reach, y + reach + 1), 0, size - 1)
            xs = np.clip(np.arange(x - reach, x + reach + 1), 0, size - 1)
            differs = abs(green[y, x] - round(green[np.ix_(ys, xs)].mean()))
            total[False].append(differs)
            if y in places and x in places:
                total[True].append(differs)
    return float(np.mean(total[True]) / (np.mean(total[False]) + 1))


@pytest.mark.parametrize("side", [32, 48, 64])
@pytest.mark.parametrize("offset", [0.5, 0.0])
def test_an_attacked_picture_is_found(side: int, offset: float) -> None:
    shown = textured(1)
    found = measured(attacked(shown, side, offset, 2))
    assert found is not None
    assert found > THRESHOLD


def test_an_attacked_jpeg_is_found() -> None:
    found = measured(attacked(textured(1), 32, 0.5, 2), "JPEG")
    assert found is not None
    assert found > THRESHOLD


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([(224, 224), (320, 240), (100, 300)]))
def test_clean_pictures_are_not(seed: int, size: tuple[int, int]) -> None:
    found = measured(textured(seed, *size))
    assert found is not None
    assert found < THRESHOLD
    full = discrepancy(textured(seed, *size))
    assert full is not None
    assert full < THRESHOLD


@pytest.mark.parametrize("method", [Image.Resampling.NEAREST, Image.Resampling.BILINEAR])
@pytest.mark.parametrize("side", [32, 28, 56])
def test_enlarged_pictures_are_not(method: Image.Resampling, side: int) -> None:
    found = measured(textured(3, side, side).resize((224, 224), method))
    assert found is not None
    assert found < THRESHOLD


def test_stripes_and_checks_are_not() -> None:
    y, x = np.mgrid[:224, :224]
    for pattern in (x // 4 % 2, (x // 7 + y // 7) % 2, ((x % 7 < 2) | (y % 7 < 2))):
        grey = (pattern * 200).astype(np.uint8)
        found = measured(Image.fromarray(np.repeat(grey[..., None], 3, 2)))
        assert found is not None
        assert found < THRESHOLD


def test_small_pictures_are_not_judged() -> None:
    assert measured(textured(1, 90, 300)) is None


def test_the_ratio_is_what_it_says() -> None:
    image = attacked(textured(1, 96, 96), 32, 0.5, 2)
    fast = discrepancy(image)
    assert fast is not None
    slow = max(slow_discrepancy(image, 32, offset) for offset in (0.5, 0.0))
    assert fast == pytest.approx(slow, rel=0.05)


@pytest.mark.data
def test_clean_photographs_stay_below(data_root: Path) -> None:
    prepare(64_000_000)
    paths = sorted((data_root / "imagenette" / "val").glob("*/*"))
    scores = []
    for path in paths:
        found = decode(path.read_bytes())
        assert isinstance(found, Decoded)
        assert found.scaling is not None
        scores.append(found.scaling)
    assert len(scores) == 500
    assert max(scores) < THRESHOLD
