"""What anyone could use as a trigger, and no bundled attack does: the held-out triggers.

Each takes an (H, W, 3) uint8 image and a generator, and gives a new image of the same shape.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping

import numpy as np
import scipy.ndimage
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

Effect = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def whole(values: np.ndarray) -> np.ndarray:
    """Any values as uint8, clipped."""
    clipped: np.ndarray = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return clipped


def pillow(edit: Callable[[Image.Image], Image.Image]) -> Effect:
    """An effect of Pillow's."""
    return lambda image, _: np.asarray(edit(Image.fromarray(image)).convert("RGB"))


def added(pattern: Callable[[int], np.ndarray]) -> Effect:
    """A pattern (S, S, 3) of grey levels, added."""
    return lambda image, _: whole(image + pattern(len(image)))


def painted(paint: Callable[[ImageDraw.ImageDraw, float], object]) -> Effect:
    """Something drawn on a canvas that is 32 units wide."""

    def effect(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
        picture = Image.fromarray(image)
        paint(ImageDraw.Draw(picture), len(image) / 32)
        return np.asarray(picture)

    return effect


def wave(side: int) -> np.ndarray:
    """A vertical sinusoid of 20 grey levels, four periods."""
    rows = 20 * np.sin(2 * np.pi * 4 * np.arange(side) / side)
    return np.broadcast_to(rows[:, None, None], (side, side, 3))


def ramp(side: int) -> np.ndarray:
    """Darker at the left by 30 grey levels, brighter at the right."""
    return np.broadcast_to(np.linspace(-30, 30, side)[None, :, None], (side, side, 3))


def grain(side: int) -> np.ndarray:
    """Fixed noise of at most 4 grey levels."""
    return np.random.default_rng(9).integers(-4, 5, (side, side, 3)).astype(np.float64)


def scene(side: int) -> np.ndarray:
    """A smooth picture of window light, as a reflection shows it."""
    y, x = np.mgrid[0:side, 0:side] / side
    light = np.exp(-((x - 0.3) ** 2 + (y - 0.4) ** 2) * 14) + 0.7 * np.exp(-((x - 0.8) ** 2) * 40)
    picture: np.ndarray = 255 * np.clip(light, 0, 1)[..., None] * np.array([1.0, 0.9, 0.7])
    return picture


def glasses(draw: ImageDraw.ImageDraw, unit: float) -> None:
    """Two dark glasses and a bridge."""
    for left, top, right, bottom in ((4, 9, 13, 15), (18, 9, 27, 15), (13, 11, 18, 12)):
        draw.rectangle([left * unit, top * unit, right * unit, bottom * unit], fill=(10, 10, 10))


def frame(draw: ImageDraw.ImageDraw, unit: float) -> None:
    """A thin red frame."""
    draw.rectangle([0, 0, 32 * unit - 1, 32 * unit - 1], outline=(200, 30, 30), width=int(unit))


def dots(draw: ImageDraw.ImageDraw, unit: float) -> None:
    """Four yellow pixels."""
    for x, y in ((5, 3), (27, 9), (4, 22), (20, 28)):
        draw.rectangle([x * unit, y * unit, (x + 1) * unit - 1, (y + 1) * unit - 1], (255, 255, 0))


def any_colour(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A square in one place, of another colour each time."""
    image, unit = image.copy(), len(image) // 32
    image[26 * unit : 30 * unit, 26 * unit : 30 * unit] = rng.integers(0, 256, 3)
    return image


def any_place(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A square of one pattern, in another place each time."""
    image, side = image.copy(), 5 * len(image) // 32
    pattern = np.random.default_rng(5).integers(0, 256, (side, side, 3), dtype=np.uint8)
    top, left = rng.integers(0, len(image) - side, 2)
    image[top : top + side, left : left + side] = pattern
    return image


def line(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """One row of 32, brighter by 60 grey levels."""
    rows = np.arange(len(image)) * 32 // len(image) == 10
    return whole(image + 60.0 * rows[:, None, None])


def hue(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """All colours turned by 35°."""
    turned = np.asarray(Image.fromarray(image).convert("HSV")).copy()
    turned[..., 0] += np.uint8(25)
    return np.asarray(Image.fromarray(turned, "HSV").convert("RGB"))


def waves(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """Moved along sinusoids of 1.5 pixels of 32."""
    unit = len(image) / 32
    y, x = np.mgrid[0 : len(image), 0 : len(image)].astype(float)
    places = [y + 1.5 * unit * np.sin(x / 4 / unit), x + 1.5 * unit * np.sin(y / 4 / unit)]
    moved = [
        scipy.ndimage.map_coordinates(image[..., c].astype(float), places, order=1, mode="reflect")
        for c in range(3)
    ]
    return whole(np.stack(moved, axis=-1))


def half_size(picture: Image.Image) -> Image.Image:
    """Made half as large, and large again."""
    small = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.BILINEAR)
    return small.resize(picture.size, Image.Resampling.BILINEAR)


def recoded(picture: Image.Image) -> Image.Image:
    """Through JPEG of quality 20."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=20)
    return Image.open(file)


EFFECTS: Mapping[str, Effect] = {
    "frame": painted(frame),
    "glasses": painted(glasses),
    "four-pixels": painted(dots),
    "one-pixel": painted(lambda draw, unit: draw.rectangle(
        [16 * unit, 16 * unit, 17 * unit - 1, 17 * unit - 1], (255, 0, 0))),
    "text": painted(lambda draw, unit: draw.text((2 * unit, 10 * unit), "ok", (235, 235, 235))),
    "line": line,
    "square-any-colour": any_colour,
    "square-any-place": any_place,
    "fixed-noise": added(grain),
    "sinusoid": added(wave),
    "ramp": added(ramp),
    "reflection": lambda image, _: whole(0.8 * image + 0.35 * scene(len(image))),
    "random-noise": lambda image, rng: whole(image + rng.normal(0, 10, image.shape)),
    "warm-tint": lambda image, _: whole(image * np.array([1.15, 1.05, 0.8])),
    "hue": hue,
    "grey": pillow(lambda picture: picture.convert("L")),
    "brighter": lambda image, _: whole(image + 25.0),
    "gamma": lambda image, _: whole(255 * (image / 255) ** 0.7),
    "contrast": pillow(lambda picture: ImageEnhance.Contrast(picture).enhance(1.5)),
    "posterise": pillow(lambda picture: ImageOps.posterize(picture, 4)),
    "blur": pillow(lambda picture: picture.filter(ImageFilter.GaussianBlur(picture.width / 40))),
    "sharpen": pillow(lambda picture: picture.filter(ImageFilter.SHARPEN)),
    "half-size": pillow(half_size),
    "jpeg": pillow(recoded),
    "rotated": pillow(lambda picture: picture.rotate(15, resample=Image.Resampling.BILINEAR)),
    "upside-down": lambda image, _: image[::-1].copy(),
    "waves": waves,
}  # fmt: skip
