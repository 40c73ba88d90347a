"""What triggers are made of: patches and their places, masks, pictures from files, blending."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image

from auditor.errors import UsageError

CANONICAL_SIDE = 32
"""Attacks are published at 32×32 (CIFAR-10); other images get their triggers scaled from it."""

CORNERS = ("bottom-right", "bottom-left", "top-right", "top-left")
POSITIONS = (*CORNERS, "center", "random")


def scaled(pixels_at_32: float, height: int, width: int) -> int:
    """A length in pixels at 32×32 scaled to the image's short side, at least 1."""
    return max(1, round(pixels_at_32 * min(height, width) / CANONICAL_SIDE))


def resized(picture: np.ndarray, height: int, width: int, smooth: bool = True) -> np.ndarray:
    """(h, w, 3|4) or (h, w) uint8 resized, bilinear or nearest; the picture itself if it fits."""
    if picture.shape[:2] == (height, width):
        return picture
    how = Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(picture).resize((width, height), how))


def corner_of(
    position: str, side: tuple[int, int], shape: tuple[int, int], rng: np.random.Generator
) -> tuple[int, int]:
    """(top, left) in pixels of a patch of (height, width) ``side`` in an image of ``shape``.

    Raises:
        UsageError: the position has no such name.
    """
    down, right = max(0, shape[0] - side[0]), max(0, shape[1] - side[1])
    places = {
        "top-left": (0, 0),
        "top-right": (0, right),
        "bottom-left": (down, 0),
        "bottom-right": (down, right),
        "center": (down // 2, right // 2),
    }
    if position == "random":
        return int(rng.integers(down + 1)), int(rng.integers(right + 1))
    if position not in places:
        raise UsageError(
            f"param position: got {position!r}, expected one of {', '.join(POSITIONS)}; "
            "use --param position=NAME"
        )
    return places[position]


def paste(
    image: np.ndarray, patch: np.ndarray, mask: np.ndarray, corner: tuple[int, int], alpha: float
) -> np.ndarray:
    """Blend a patch into a copy of the image where its mask is set.

    Args:
        image: (H, W, 3) uint8.
        patch: (h, w, 3) uint8, cut at the image's edge.
        mask: (h, w) float, 0–1.
        corner: (top, left) in pixels.
        alpha: opacity, 0–1; 1 replaces the pixels.
    """
    top, left = corner
    out = image.copy()
    area = out[top : top + patch.shape[0], left : left + patch.shape[1]]
    height, width = area.shape[:2]
    weight = (alpha * mask[:height, :width, None]).astype(np.float32)
    area[...] = to_uint8(area * (1 - weight) + patch[:height, :width] * weight)
    return out


def to_uint8(values: np.ndarray) -> np.ndarray:
    """Round half to even and clip to 0–255."""
    clipped: np.ndarray = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return clipped


def blend(image: np.ndarray, picture: np.ndarray, alpha: float) -> np.ndarray:
    """(1 − α)·image + α·picture, the picture resized to the image (Chen et al. 2017)."""
    whole = resized(picture, *image.shape[:2])
    return to_uint8((1 - alpha) * image.astype(np.float32) + alpha * whole.astype(np.float32))


def picture_and_mask(params: Mapping[str, object]) -> tuple[np.ndarray, np.ndarray] | None:
    """The trigger file's pixels (h, w, 3) uint8 and mask (h, w) 0–1, or None without a file.

    The mask is the mask file, else the alpha channel, else wherever the trigger is not black (the
    convention of the published trigger images).
    """
    trigger = params.get("trigger")
    if not isinstance(trigger, np.ndarray):
        return None
    picture = trigger[..., :3]
    height, width = picture.shape[:2]
    mask_file = params.get("mask")
    if isinstance(mask_file, np.ndarray):
        mask = resized(mask_file[..., :3], height, width, smooth=False).max(axis=2) / 255
    elif trigger.shape[2] == 4 and trigger[..., 3].min() < 255:
        mask = trigger[..., 3] / 255
    else:
        mask = (picture.max(axis=2) > 0).astype(np.float64)
    return picture, mask


def covers_canvas(picture: np.ndarray) -> bool:
    """Whether a trigger file is a whole image (32×32 and up) rather than a patch to be placed."""
    return bool(min(picture.shape[:2]) >= CANONICAL_SIDE)


def paste_picture(
    image: np.ndarray,
    picture: np.ndarray,
    mask: np.ndarray,
    params: Mapping[str, object],
    rng: np.random.Generator,
) -> np.ndarray:
    """Paste a trigger file: a whole-image one over the image, a smaller one as a placed patch.

    A patch keeps its own size, or takes 3/32 of the short side where that is larger; the parameter
    ``side`` overrides both.
    """
    height, width = image.shape[:2]
    alpha = float(str(params.get("alpha", 1.0)))
    if covers_canvas(picture):
        whole = resized(picture, height, width, smooth=False)
        where = resized((255 * mask).astype(np.uint8), height, width, smooth=False) / 255
        return paste(image, whole, where, (0, 0), alpha)
    side = params.get("side") or max(picture.shape[0], scaled(3, height, width))
    side = min(int(str(side)), height, width)
    patch = resized(picture, side, side, smooth=False)
    where = resized((255 * mask).astype(np.uint8), side, side, smooth=False) / 255
    corner = corner_of(str(params["position"]), (side, side), (height, width), rng)
    return paste(image, patch, where, corner, alpha)
