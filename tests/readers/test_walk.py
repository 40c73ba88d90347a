"""Listing files: nothing is followed, nothing is left out, nothing but files is opened."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from tiny import encode, list_backwards, picture, write_folder

from auditor.errors import NothingToScanError, UsageError
from auditor.readers.catalog import Refused
from auditor.readers.walk import placement, read_file, read_head, readable, split_folders, walk


def reasons(path: Path) -> dict[str, str]:
    return {item.uri: item.reason for item in walk(path).refused}


def test_files_come_sorted_whatever_the_order_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path, {"b": 3, "a": 3})
    expected = [uri for uri, _ in walk(tmp_path).files]
    list_backwards(monkeypatch)
    assert [uri for uri, _ in walk(tmp_path).files] == expected == sorted(expected)


def test_links_pipes_and_sockets_are_refused_unopened(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 1})
    (tmp_path / "link.png").symlink_to(tmp_path / "a" / "000.png")
    (tmp_path / "outside").symlink_to("/etc", target_is_directory=True)
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / ".hidden-link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe.png")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(tmp_path, os.O_RDONLY)
        os.fchdir(here)  # the name of a socket may have 107 bytes only
        server.bind("socket.png")
        found = reasons(tmp_path)
        os.close(here)
    assert found == {
        ".hidden-link": "symbolic_link",
        "link.png": "symbolic_link",
        "loop": "symbolic_link",
        "outside": "symbolic_link",
        "pipe.png": "special_file",
        "socket.png": "special_file",
    }


def test_an_unreadable_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path, {"a": 1, "b": 1})
    real = os.scandir

    def scandir(folder: str) -> object:
        if str(folder).endswith("/b"):
            raise PermissionError(13, "Permission denied")
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    assert reasons(tmp_path) == {"b": "unreadable_folder"}


def test_hidden_images_are_samples_and_other_hidden_files_are_counted(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a": 1})
    (tmp_path / "a" / ".evil.png").write_bytes(encode(picture(7)))
    (tmp_path / "a" / ".DS_Store").write_bytes(b"Bud1")
    (tmp_path / "a" / "._000.png").write_bytes(b"\0\5\26\7AppleDouble")
    (tmp_path / ".git" / "objects").mkdir(parents=True)
    for i in range(3):
        (tmp_path / ".git" / "objects" / str(i)).write_bytes(b"x")
    listing = walk(tmp_path)
    assert [uri for uri, _ in listing.files] == ["a/.evil.png", "a/000.png"]
    assert listing.skipped == {".DS_Store": 1, "._000.png": 1, ".git/": 3}


def test_names_that_are_no_utf8_stay_apart_and_openable(tmp_path: Path) -> None:
    for name in (b"\xff\xfe.png", b"\xff\xfd.png"):
        (tmp_path / os.fsdecode(name)).write_bytes(encode(picture(1)))
    files = walk(tmp_path).files
    assert [uri for uri, _ in files] == ["\\xff\\xfd.png", "\\xff\\xfe.png"]
    assert all(isinstance(read_file(path, 1 << 20), bytes) for _, path in files)
    assert readable("plain \x1b[31m name") == "plain \x1b[31m name"  # escaped where it is shown


def test_a_path_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        walk(tmp_path / "none")
    with pytest.raises(UsageError, match="File name too long"):
        walk(tmp_path / ("x" * 300))
    with pytest.raises(UsageError, match="null"):
        walk(Path("a\0b"))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NothingToScanError, match="special file"):
        walk(tmp_path / "pipe")


def test_a_named_file_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(encode(picture(1)))
    (tmp_path / "image.png").symlink_to(tmp_path / "blob")
    ((uri, path),) = walk(tmp_path / "image.png").files
    assert uri == "image.png"
    assert isinstance(read_file(path, 1 << 20), bytes)


def test_reading_refuses_what_took_the_files_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tmp_path / "real"
    real.write_bytes(b"1234")
    link = tmp_path / "link"
    link.symlink_to(real)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def reason(path: Path, limit: int = 100) -> str | None:
        result = read_file(str(path), limit)
        return result.reason if isinstance(result, Refused) else None

    assert reason(link) == "unreadable_file"
    assert reason(pipe) == "special_file"
    assert reason(tmp_path / "gone") == "unreadable_file"
    assert reason(tmp_path) == "special_file"
    assert reason(real, 3) == "too_large"
    assert reason(real) is None
    assert read_file(str(real), 100) == b"1234"
    assert read_head(str(link)) is None
    # A file that opens and then fails to be read, as on a broken disk.
    broken = next(p for p in (Path("/proc/self/mem"), Path("/proc/self/clear_refs")) if p.exists())
    assert reason(broken) in {"unreadable_file", None}


@pytest.mark.parametrize(
    ("uris", "splits"),
    [
        (["train/cat/1.png", "test/cat/2.png"], {"train", "test"}),
        (["Train/cat/1.png"], {"Train"}),
        (["train/1.png", "test/2.png"], {"train", "test"}),
        (["bus/1.png", "car/1.png", "train/1.png"], set()),
        (["bus/1.png", "train/cat/1.png"], {"train"}),
        (["cat/train/1.png"], set()),
        (["1.png"], set()),
    ],
)
def test_which_folders_are_splits(uris: list[str], splits: set[str]) -> None:
    assert split_folders(uris) == splits


def test_what_folders_say() -> None:
    splits = frozenset({"train"})
    assert placement("train/cat/alice/2019/1.png", splits) == ("train", "cat", "alice/2019")
    assert placement("train/1.png", splits) == ("train", None, None)
    assert placement("cat/1.png", splits) == (None, "cat", None)
    assert placement("train/1.png", frozenset()) == (None, "train", None)
    assert placement("1.png", splits) == (None, None, None)
