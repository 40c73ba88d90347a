"""Inside a worker: what a file that is no sample holds, told from its bytes.

Nothing is unpickled, unpacked to disk, imported or run: pickles are read opcode by opcode, archives
by their directory, arrays by their header.
"""

from __future__ import annotations

import io
import itertools
import pickletools
import posixpath
import re
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

HEAD = 1 << 16
"""Bytes of a file by which it is recognised."""

MAX_PICKLE = 1 << 22
"""Bytes of a pickle whose opcodes are read: what it calls stands at the front, data follows."""

MAX_OPCODES = 200_000
MAX_MEMBERS = 1000
"""Entries of an archive that are looked at."""

MAX_NAMED = 8
"""Callables that are named for one file."""

HARMLESS = frozenset({
    "numpy ndarray", "numpy dtype", "numpy.core.multiarray _reconstruct",
    "numpy.core.multiarray scalar", "numpy._core.multiarray _reconstruct",
    "numpy._core.multiarray scalar", "numpy.core.numeric _frombuffer",
    "numpy._core.numeric _frombuffer", "collections OrderedDict", "collections defaultdict",
    "builtins set", "builtins frozenset", "builtins list", "builtins dict", "builtins tuple",
    "builtins int", "builtins float", "builtins complex", "builtins bytearray", "builtins bool",
    "builtins slice", "builtins range", "builtins object", "__builtin__ set", "__builtin__ object",
    "__builtin__ frozenset", "__builtin__ bytearray", "_codecs encode", "datetime datetime",
    "datetime date", "datetime timedelta", "copy_reg _reconstructor", "copyreg _reconstructor",
    "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor",
    "torch._utils _rebuild_parameter", "torch FloatStorage", "torch LongStorage",
    "torch HalfStorage", "torch ByteStorage", "torch IntStorage", "torch DoubleStorage",
    "torch BFloat16Storage", "torch BoolStorage", "torch CharStorage", "torch ShortStorage",
    "torch Size", "torch.storage UntypedStorage",
})  # fmt: skip
"""What plain arrays, tensors and containers call when unpickled, after the allow-lists of torch's
``weights_only`` loader and of picklescan; everything else may run code."""

ARCHIVES = (
    (b"PK\x03\x04", "zip"), (b"PK\x05\x06", "zip"), (b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"), (b"7z\xbc\xaf\x27\x1c", "7z"), (b"Rar!\x1a\x07", "rar"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)  # fmt: skip

PROGRAMS = (
    (b"\x7fELF", "ELF program"), (b"\xfe\xed\xfa\xce", "Mach-O program"),
    (b"\xfe\xed\xfa\xcf", "Mach-O program"), (b"\xce\xfa\xed\xfe", "Mach-O program"),
    (b"\xcf\xfa\xed\xfe", "Mach-O program"), (b"\xca\xfe\xba\xbe", "Mach-O or Java program"),
    (b"\x00asm\x01\x00\x00\x00", "WebAssembly program"),
)  # fmt: skip

SCRIPT_SUFFIXES = frozenset({
    ".py", ".pyw", ".ipynb", ".sh", ".bash", ".bat", ".cmd", ".ps1", ".psm1", ".vbs", ".js", ".mjs",
    ".hta", ".pl", ".rb", ".php", ".lua", ".jse", ".wsf", ".scr", ".lnk", ".reg", ".jl",
})  # fmt: skip

PROGRAM_SUFFIXES = frozenset({".pyc", ".pyo", ".jar", ".apk", ".msi"})

PICKLE_SUFFIXES = frozenset({".pkl", ".pickle", ".dill", ".joblib", ".pth", ".pt", ".ckpt"})

LOADER = re.compile(
    rb"GeneratorBasedBuilder|ArrowBasedBuilder|BuilderConfig|_split_generators|datasets\.BuilderConf"
)
"""What the scripts share that dataset libraries import and run to load a dataset."""

LFS = b"version https://git-lfs.github.com/spec/"
ANNEX = re.compile(rb"^/annex/objects/\S+\s*$")


@dataclass(frozen=True, slots=True)
class Content:
    """What a file is: a stable ``kind``, words on it, and the callables that it names."""

    kind: str
    detail: str = ""
    calls: tuple[str, ...] = ()


def recognise(name: str, head: bytes, file: io.BufferedIOBase, size: int) -> Content:
    """Tell what a file is.

    Args:
        name: its uri; only the suffix counts, and only where the bytes do not tell.
        head: its first `HEAD` bytes.
        file: the file itself, seekable.
        size: its bytes.
    """
    suffix = posixpath.splitext(name)[1].lower()
    pointed = pointer(head) if size < 4096 else None
    if pointed:
        return Content("pointer", pointed)
    program = _program(head, suffix)
    if program:
        return Content("program", program)
    if head.startswith(b"\x93NUMPY"):
        return _array(head)
    for magic, word in ARCHIVES:
        if head.startswith(magic):
            return _zip(file) if word == "zip" else Content("archive", word)
    if head[257:262] == b"ustar":
        return Content("archive", "tar")
    if _starts_pickle(head) or suffix in PICKLE_SUFFIXES:
        found = _pickle(file)
        if found is not None:
            return found
    if suffix in SCRIPT_SUFFIXES or head.startswith(b"#!"):
        return _script(head, suffix)
    return Content("other")


def pointer(data: bytes) -> str | None:
    """The system whose pointer stands here instead of the data, or None."""
    if data.startswith(LFS):
        return "Git LFS pointer"
    if data.startswith(b"/annex/objects/") and ANNEX.match(data):
        return "git-annex pointer"
    return None


def _program(head: bytes, suffix: str) -> str | None:
    for magic, word in PROGRAMS:
        if head.startswith(magic):
            return word
    if head.startswith(b"MZ") and len(head) >= 64:
        (place,) = struct.unpack_from("<I", head, 60)
        if head[place : place + 4] == b"PE\0\0" or suffix in {".exe", ".dll", ".com"}:
            return "Windows program"
    return f"{suffix[1:]} file" if suffix in PROGRAM_SUFFIXES else None


def _script(head: bytes, suffix: str) -> Content:
    if suffix == ".py" and LOADER.search(head):
        return Content("loader", "defines a dataset builder")
    if head.startswith(b"#!"):
        line = head[2:80].split(b"\n")[0].decode("utf-8", "backslashreplace").strip()
        return Content("script", f"runs with {line}")
    return Content("script", suffix[1:])


def _array(head: bytes) -> Content:
    """A ``.npy`` file: an array of objects is a pickle."""
    try:
        stream = io.BytesIO(head)
        version = np.lib.format.read_magic(stream)
        reads = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        read = reads.get(version)
        if read is None:
            return Content("other", "array")
        dtype = read(stream)[2]
    except (ValueError, TypeError, SyntaxError, EOFError, MemoryError, RecursionError):
        return Content("other", "array with a malformed header")
    if not dtype.hasobject:
        return Content("array")
    calls = _calls(head[stream.tell() :]) or ()
    return Content("pickle", "array of objects", calls[:MAX_NAMED])


def _zip(file: io.BufferedIOBase) -> Content:
    """A zip by its directory: torch files and ``.npz`` hold pickles or arrays."""
    calls: list[str] = []
    pickles = arrays = 0
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()[:MAX_MEMBERS]
            for member in members:
                suffix = posixpath.splitext(member.filename)[1].lower()
                if suffix not in {".pkl", ".npy"}:
                    continue
                with archive.open(member) as stream:
                    inside = stream.read(MAX_PICKLE if suffix == ".pkl" else HEAD)
                if suffix == ".npy":
                    arrays += 1
                    inner = _array(inside) if inside.startswith(b"\x93NUMPY") else Content("other")
                    found = inner.calls if inner.kind == "pickle" else None
                else:
                    found = _calls(inside)
                if found is not None:
                    pickles += 1
                    calls.extend(found)
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, NotImplementedError, EOFError):
        return Content("archive", "zip that can not be read")
    if pickles:
        return Content("pickle", "zip with pickles", tuple(dict.fromkeys(calls))[:MAX_NAMED])
    if arrays and arrays == len(members):
        return Content("array", "npz")
    return Content("archive", f"zip of {len(members):,} files")


def pickled_calls(value: bytes) -> tuple[str, ...] | None:
    """The callables that a value names if it begins as a pickle does, else None."""
    return _calls(value[:MAX_PICKLE]) if _starts_pickle(value) else None


def _starts_pickle(head: bytes) -> bool:
    return len(head) > 2 and head[0] == 0x80 and 2 <= head[1] <= 5


def _pickle(file: io.BufferedIOBase) -> Content | None:
    file.seek(0)
    found = _calls(file.read(MAX_PICKLE))
    return None if found is None else Content("pickle", "pickle", found[:MAX_NAMED])


def _calls(data: bytes) -> tuple[str, ...] | None:
    """The callables that a pickle names, harmless ones left out; None if it is no pickle."""
    found: dict[str, None] = {}
    whole = False
    try:
        for name in _globals(data):
            if name not in HARMLESS:
                found[name] = None
        whole = True
    except (ValueError, IndexError, struct.error, OverflowError):
        # Cut off or malformed; what was read up to there would also be run up to there.
        whole = _starts_pickle(data)
    return tuple(found) if whole or found else None


def _opcodes(data: bytes) -> Iterator[tuple[str, object]]:
    """(name, argument) of each opcode; torch's older files are several pickles in a row."""
    stream = io.BytesIO(data)
    while True:
        for opcode, argument, _ in pickletools.genops(stream):
            yield opcode.name, argument
        if not _starts_pickle(data[stream.tell() : stream.tell() + 3]):
            return


def _globals(data: bytes) -> Iterator[str]:
    """``module name`` of each import that a pickle's opcodes do, up to `MAX_OPCODES`.

    ``STACK_GLOBAL`` takes its names from the stack: the last two strings, which may have come from
    the memo. What can not be followed is named ``?``, which no list of harmless names has.

    Raises:
        ValueError, IndexError, struct.error, OverflowError: this is no pickle from here on.
    """
    strings: list[str] = ["?", "?"]
    memo: dict[int, str | None] = {}
    top: str | None = None
    for name, argument in itertools.islice(_opcodes(data), MAX_OPCODES):
        if name in {"GLOBAL", "INST"}:
            yield str(argument)
        elif name == "STACK_GLOBAL":
            yield " ".join(strings[-2:])
        elif name in {"EXT1", "EXT2", "EXT4"}:
            yield f"? extension {argument}"
        if name == "MEMOIZE":
            memo[len(memo)] = top
        elif name in {"BINPUT", "LONG_BINPUT", "PUT"}:
            memo[int(str(argument))] = top
        elif name in {"BINGET", "LONG_BINGET", "GET"}:
            top = memo.get(int(str(argument)), "?")
        elif name not in {"PROTO", "FRAME"}:
            is_text = isinstance(argument, str) and name not in {"GLOBAL", "INST"}
            top = str(argument) if is_text else None
        if name not in {"MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT"} and top is not None:
            strings = [strings[-1], top]
