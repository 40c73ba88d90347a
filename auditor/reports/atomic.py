"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

from auditor.errors import UsageError

Writer = Callable[[BinaryIO], None]


def write_together(folder: Path, writers: Mapping[str, Writer]) -> None:
    """Write several files into a folder, creating it; each appears complete, in the given order.

    All are written beside their places and synced before the first is renamed, so an error or a
    kill while one is written leaves every older file as it was.

    Args:
        folder: the folder; made with its parents where absent.
        writers: file name → function that writes the content to an open binary file.

    Raises:
        UsageError: if the folder or a file in it can not be written.
    """
    waiting: dict[Path, Path] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, write in writers.items():
            part = folder / f".{name}.{secrets.token_hex(4)}.part"
            waiting[part] = folder / name
            _write(part, write)
        for part, target in waiting.items():
            part.replace(target)
        _sync_folder(folder)
    except OSError as error:
        raise UsageError(
            f"report folder {str(folder)!r}: {error.strerror or error}; expected a folder that can "
            "be written with enough space; choose another with --report DIR"
        ) from error
    finally:
        for part in waiting:
            part.unlink(missing_ok=True)


def _write(path: Path, write: Writer) -> None:
    # O_EXCL: never follow a link that someone placed at the temporary name.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
