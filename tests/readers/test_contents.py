"""What a file is, told from its bytes; what would run is named and never run."""

from __future__ import annotations

import collections
import io
import os
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.readers.contents import HEAD, Content, pickled_calls, recognise


class Bomb:
    """Would run a command when unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("exit 1",)


def look(data: bytes, name: str = "file.bin") -> Content:
    return recognise(name, data[:HEAD], io.BytesIO(data), len(data))


def saved(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_names_what_it_calls(protocol: int) -> None:
    plain = {"a": np.arange(9.0), "b": collections.OrderedDict(x={1}), "c": [b"x", "y"]}
    assert look(pickle.dumps(Bomb(), protocol), "a.pkl").calls == ("posix system",)
    assert look(pickle.dumps(plain, protocol), "a.pkl") == Content("pickle", "pickle")
    mixed = pickle.dumps([plain, Bomb(), "os", "system"], protocol)
    assert look(mixed, "a.pkl").calls == ("posix system",)


def test_a_pickle_is_known_without_its_suffix_and_when_cut_off() -> None:
    data = pickle.dumps([Bomb(), list(range(1000))])
    assert look(data).calls == ("posix system",)
    assert look(data[:-500]).calls == ("posix system",)


def test_pickles_in_a_row_are_all_read() -> None:
    assert pickled_calls(pickle.dumps({}, 2) + pickle.dumps(Bomb(), 4)) == ("posix system",)


def test_names_fetched_from_the_memo_are_followed() -> None:
    # "os" and "system" are stored, dropped, and fetched for STACK_GLOBAL.
    data = b"\x80\x04\x8c\x02os\x94\x8c\x06system\x940h\x00h\x01\x93."
    assert pickled_calls(data) == ("os system",)
    unknown = b"\x80\x04h\x07h\x08\x93."
    assert pickled_calls(unknown) == ("? ?",)


def test_arrays_of_objects_are_pickles_and_others_are_not() -> None:
    assert look(saved(np.zeros((3, 3)))) == Content("array")
    found = look(saved(np.array([Bomb(), {}], dtype=object)))
    assert (found.kind, found.calls) == ("pickle", ("posix system",))
    out = io.BytesIO()
    np.savez(out, a=np.arange(3))
    assert look(out.getvalue(), "a.npz").kind == "array"
    np.savez(out := io.BytesIO(), a=np.arange(3), b=np.array([{}], dtype=object))
    assert look(out.getvalue(), "a.npz").kind == "pickle"


def test_a_zip_shows_the_pickles_inside() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps(Bomb()))
    assert look(out.getvalue(), "model.pt") == Content(
        "pickle", "zip with pickles", ("posix system",)
    )
    with zipfile.ZipFile(out := io.BytesIO(), "w") as archive:
        archive.writestr("a.txt", "x")
    assert look(out.getvalue()) == Content("archive", "zip of 1 files")


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a", b"\x7fELF\x02\x01", "program"),
        ("a", b"MZ" + bytes(58) + (64).to_bytes(4, "little") + b"PE\0\0", "program"),
        ("a.txt", b"MZ is no program", "other"),
        ("a.sh", b"echo", "script"),
        ("a", b"#!/bin/sh\n", "script"),
        ("load.py", b"class A(datasets.GeneratorBasedBuilder): ...", "loader"),
        ("a.jpg", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "pointer"),
        ("a.jpg", b"/annex/objects/SHA256E-s3--ab.jpg\n", "pointer"),
        ("a.tgz", b"\x1f\x8b\x08", "archive"),
        ("a.pkl", b"hello world", "other"),
        ("a.npy", b"\x93NUMPY\x01\x00\xff\xff{", "other"),
        ("a", b"", "other"),
    ],
)
def test_kinds(name: str, data: bytes, kind: str) -> None:
    assert look(data, name).kind == kind


@given(st.binary(max_size=300), st.sampled_from(["a.pkl", "a.npy", "a.zip", "a"]))
def test_no_bytes_bring_it_down(data: bytes, name: str) -> None:
    for magic in (b"", b"\x80\x04", b"\x93NUMPY\x01\x00", b"PK\x03\x04"):
        assert isinstance(look(magic + data, name), Content)
