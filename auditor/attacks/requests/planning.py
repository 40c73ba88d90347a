"""Turns what a user typed into an attack, a class and typed parameters, or a helpful error."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from auditor.attacks import ATTACKS
from auditor.attacks.copies.encoding import DECODE_ERRORS, FORMATS, thumbnail
from auditor.errors import UsageError
from auditor.interfaces import Attack

MAX_PICTURES = 500
PICTURE_SIDE = 64
"""Pixels: foreign pictures are kept small; 500 take 6 MB."""

TRUE_FALSE = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def find_attack(name: str) -> Attack:
    """The attack of that id.

    Raises:
        UsageError: there is none; the message has the closest id.
    """
    for attack in ATTACKS:
        if attack.id == name:
            return attack
    ids = [a.id for a in ATTACKS]
    raise UsageError(
        f"--attack: no attack {name!r}{closest(name, ids)}; it is one of {listed(ids)}"
    )


def find_class(names: Sequence[str], asked: str | None, option: str) -> int | None:
    """The index of a class asked for by its name, or by its number where no name matches.

    Raises:
        UsageError: there is no such class; the message has the closest name.
    """
    if asked is None:
        return None
    if asked in names:
        return list(names).index(asked)
    if asked.isascii() and asked.isdigit() and int(asked) < len(names):
        return int(asked)
    raise UsageError(
        f"{option}: no class {asked!r}{closest(asked, names)}; the dataset's {len(names)} classes "
        f"are {listed(names)}"
    )


def closest(asked: str, names: Sequence[str]) -> str:
    """``, did you mean 'NAME'?`` for the nearest name, or nothing."""
    folded = {n.casefold(): n for n in names}
    near = difflib.get_close_matches(asked.casefold(), list(folded), n=1, cutoff=0.5)
    return f", did you mean {folded[near[0]]!r}?" if near else ""


def listed(names: Sequence[str]) -> str:
    """The first twenty names, separated by commas."""
    return ", ".join(names[:20]) + (f", … ({len(names)})" if len(names) > 20 else "")


def typed_params(attack: Attack, given: Mapping[str, object]) -> dict[str, object]:
    """The attack's canonical parameters, overridden by what was given (strings, as typed).

    A parameter that names an image file becomes its pixels, (h, w, 3|4) uint8.

    Raises:
        UsageError: an unknown parameter, a value of another type, or an unreadable file.
    """
    params = dict(attack.params)
    for name, value in given.items():
        if name not in attack.params:
            known = list(attack.params)
            raise UsageError(
                f"--param: attack {attack.id} has no parameter {name!r}{closest(name, known)}; it "
                f"has {listed(known) or 'none'}"
            )
        if name in attack.files and value is not None:
            params[name] = value if isinstance(value, np.ndarray) else load_images(Path(str(value)))
        else:
            params[name] = _typed(name, value, attack.params[name])
    return params


def _typed(name: str, value: object, canonical: object) -> object:
    if not isinstance(value, str) or isinstance(canonical, str):
        return value
    try:
        if isinstance(canonical, bool):
            return TRUE_FALSE[value.lower()]
        if isinstance(canonical, int):
            return int(value)
        if isinstance(canonical, float):
            return float(value)
    except (ValueError, KeyError):
        raise UsageError(
            f"--param {name}: got {value!r}, expected {type(canonical).__name__} like {canonical}"
        ) from None
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def load_images(path: Path) -> np.ndarray:
    """A picture as `load_image` has it, or those of a folder as (n, 64, 64, 3) uint8, by name.

    Raises:
        UsageError: nothing there is an image of a known format.
    """
    if not path.is_dir():
        return load_image(path)
    found = []
    for file in sorted(p for p in path.iterdir() if p.is_file())[:MAX_PICTURES]:
        try:
            found.append(thumbnail(file.read_bytes(), PICTURE_SIDE))
        except DECODE_ERRORS:
            continue
    if not found:
        raise UsageError(f"--param: {path} holds no image; expected a folder with images in it")
    return np.stack(found)


def load_image(path: Path) -> np.ndarray:
    """A picture as (h, w, 3) uint8, or (h, w, 4) where it has an alpha channel.

    Raises:
        UsageError: the file is absent or no image of a known format.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
            return np.asarray(image.convert("RGBA" if alpha else "RGB"))
    except DECODE_ERRORS as error:
        raise UsageError(
            f"--param: {path} can not be read as an image ({error}); expected JPEG, PNG, WebP, "
            "GIF, BMP or TIFF"
        ) from error


def recipe_params(attack: Attack, given: Mapping[str, object]) -> dict[str, object]:
    """The parameters as a recipe keeps them: a file by its path and digest."""
    kept: dict[str, object] = dict(attack.params)
    for name, value in given.items():
        if name in attack.files and isinstance(value, (str, Path)):
            digest = hashlib.sha256(load_images(Path(value)).tobytes()).hexdigest()
            kept[name] = {"path": str(value), "sha256_of_pixels": digest}
        elif isinstance(value, np.ndarray):
            kept[name] = {"sha256_of_pixels": hashlib.sha256(value.tobytes()).hexdigest()}
        else:
            kept[name] = _typed(name, value, attack.params[name])
    return kept
