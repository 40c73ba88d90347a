"""A manifest that was damaged or edited is an error, never a verdict."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny import pictures, structs, write_folder, write_parquet

from auditor.errors import AuditorError, NothingToScanError, UsageError
from auditor.manifests import Entry, contents, create_manifest, read_manifest, verify_manifest
from auditor.manifests.document import MAX_LINE
from auditor.readers import Columns


@pytest.fixture
def made(tmp_path: Path) -> Path:
    write_folder(tmp_path / "data", {"cat": 2, "dog": 2})
    create_manifest(tmp_path / "data", tmp_path / "m.jsonl", workers=1)
    return tmp_path / "m.jsonl"


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


DAMAGE: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "line lost": lambda ls: ls[:-1],
    "line doubled": lambda ls: [*ls, ls[-1]],
    "lines swapped": lambda ls: [ls[0], ls[2], ls[1], *ls[3:]],
    "label edited": lambda ls: [ls[0], ls[1].replace(b'"cat"', b'"dog"'), *ls[2:]],
    "line cut off": lambda ls: [*ls[:-1], ls[-1][:-20]],
    "no last line break": lambda ls: [*ls[:-1], ls[-1].rstrip(b"\n")],
    "spaces": lambda ls: [ls[0], ls[1].replace(b":", b": ", 1), *ls[2:]],
    "key twice": lambda ls: [ls[0], ls[1].replace(b"{", b'{"label":"dog",'), *ls[2:]],
    "unknown key": lambda ls: [ls[0], ls[1].replace(b"{", b'{"also":1,'), *ls[2:]],
    "no digest": lambda ls: [ls[0], ls[1].replace(b'"sha256":"', b'"sha256":"z'), *ls[2:]],
    "kind": lambda ls: [ls[0], ls[1].replace(b'"sample"', b'["sample"]'), *ls[2:]],
    "deep": lambda ls: [ls[0], b"[" * 100_000 + b"\n", *ls[2:]],
    "surrogate": lambda ls: [ls[0], ls[1].replace(b'"cat"', b'"\\ud800"'), *ls[2:]],
    "not UTF-8": lambda ls: [ls[0], b"\xff\xfe" + ls[1], *ls[2:]],
    "root": lambda ls: [_header(ls[0], root="0" * 64), *ls[1:]],
    "row root": lambda ls: [_header(ls[0], row_root="0" * 64), *ls[1:]],
    "counts": lambda ls: [_header(ls[0], n_samples=5), *ls[1:]],
    "format": lambda ls: [_header(ls[0], format="parquet"), *ls[1:]],
    "class names": lambda ls: [_header(ls[0], class_names=["dog"]), *ls[1:]],
}


def _header(line: bytes, **values: object) -> bytes:
    changed = {**json.loads(line), **values}
    return json.dumps(changed, sort_keys=True, separators=(",", ":")).encode() + b"\n"


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_an_error(name: str, made: Path) -> None:
    made.write_bytes(b"".join(DAMAGE[name](lines(made))))
    with pytest.raises(UsageError, match="damaged or was edited"):
        list(read_manifest(made).entries())


@pytest.mark.parametrize("path", ["../up.png", "/etc/passwd", "a/../../b", "", "a\0b"])
def test_a_path_that_leads_out_is_an_error(path: str, made: Path) -> None:
    found = lines(made)
    entry = {**json.loads(found[1]), "path": path}
    found[1] = json.dumps(entry, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    made.write_bytes(b"".join(found))
    with pytest.raises(UsageError):
        list(read_manifest(made).entries())


@pytest.mark.parametrize("values", [
    {"auditor_manifest": 2}, {"hash": "md5"}, {"root": "x"}, {"root": 5}, {"n_files": -1},
    {"n_files": "4"}, {"class_names": [1]}, {"columns": {"label": 1}}, {"format": None},
])  # fmt: skip
def test_a_wrong_header_is_an_error(values: dict[str, object], made: Path) -> None:
    found = lines(made)
    made.write_bytes(b"".join([_header(found[0], **values), *found[1:]]))
    with pytest.raises(UsageError):
        read_manifest(made)


@pytest.mark.parametrize("content", [
    b"", b"{}", b"[" * 200_000, b'{"auditor_manifest":', b"\x00\xff" * 50, b"hello world\n",
    b'{"auditor_manifest":1,' + b'"a":"' + b"x" * (MAX_LINE + 10) + b'"}\n',
    b'{"a":' * 5000 + b"1" + b"}" * 5000, b'{"a":NaN}', b'{"a":' + b"1" * 5000 + b"}",
])  # fmt: skip
def test_what_is_no_description_is_an_error(content: bytes, made: Path, tmp_path: Path) -> None:
    made.write_bytes(content)
    with pytest.raises(UsageError):
        verify_manifest(tmp_path / "data", made)


def test_a_pipe_is_no_description(tmp_path: Path, made: Path) -> None:
    with pytest.raises(UsageError):
        verify_manifest(tmp_path / "data", tmp_path / "data")
    with pytest.raises(UsageError):
        verify_manifest(tmp_path / "data", Path("/dev/null"))


def test_nothing_is_written_inside_the_dataset(tmp_path: Path, made: Path) -> None:
    data = tmp_path / "data"
    before = sorted(data.rglob("*"))
    with pytest.raises(UsageError, match="inside the dataset"):
        create_manifest(data, data / "m.jsonl")
    with pytest.raises(UsageError, match="inside the dataset"):
        create_manifest(data, tmp_path / "n.jsonl", cache_root=data / "cache")
    assert sorted(data.rglob("*")) == before


def test_a_failed_run_leaves_the_old_manifest(tmp_path: Path, made: Path,
                                              monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    def fails(*_: object) -> None:
        raise KeyboardInterrupt

    before = made.read_bytes()
    monkeypatch.setattr(contents, "hash_nodes", fails)
    with pytest.raises(KeyboardInterrupt):
        create_manifest(tmp_path / "data", made)
    assert made.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "m.jsonl"]


def test_an_empty_folder_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(NothingToScanError):
        create_manifest(tmp_path / "data", tmp_path / "m.jsonl")
    with pytest.raises(UsageError, match="no such file"):
        create_manifest(tmp_path / "nowhere", tmp_path / "m.jsonl")


def test_names_that_are_no_text_are_kept_apart(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "data", {"cat": 1})
    (data / "line\nbreak.txt").write_text("x")
    with open(bytes(data) + b"/\xff.txt", "w") as file:  # noqa: PTH123
        file.write("x")
    made = create_manifest(data, tmp_path / "m.jsonl", workers=1)
    assert {e.path for e in made.entries()} == {"cat/000.png", "line\nbreak.txt", "\\xff.txt"}
    (data / "\\xff.txt").write_text("y")  # reads the same: neither is verified any more
    found = verify_manifest(data, tmp_path / "m.jsonl", workers=1)
    assert found.exit_code == 4
    assert [path for path, _ in found.unreadable] == ["\\xff.txt"]


def test_named_columns_are_remembered(tmp_path: Path) -> None:
    values = {"pic": structs(pictures(3)), "kind": ["a", "b", "a"], "by": ["x", "y", "x"]}
    write_parquet(tmp_path / "data/rows.parquet", values)
    columns = Columns(label="kind", source="by")
    made = create_manifest(tmp_path / "data", tmp_path / "m", columns=columns, workers=1)
    rows = [(e.label, e.source) for e in made.entries() if e.kind == "row"]
    assert rows == [("a", "x"), ("b", "y"), ("a", "x")]
    assert made.columns == {"label": "kind", "source": "by"}
    assert verify_manifest(tmp_path / "data", tmp_path / "m", workers=1).exit_code == 0


def test_files_that_a_table_names_are_bound_to_its_rows(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for i, content in enumerate(pictures(3)):
        data.mkdir(exist_ok=True)
        (data / f"{i}.png").write_bytes(content)
    names = ["0.png", "1.png", "2.png"]
    write_parquet(data / "rows.parquet", {"image": structs([None] * 3, names), "label": [0, 1, 0]})
    made = create_manifest(data, tmp_path / "m", workers=1)
    assert [e.kind for e in made.entries()] == ["file"] * 4 + ["row"] * 3
    (data / "1.png").write_bytes(pictures(1, 50)[0])
    found = verify_manifest(data, tmp_path / "m", workers=1)
    assert {(d.kind, d.path, d.record) for d in found.differences} == {
        ("changed", "1.png", None), ("changed", "rows.parquet", 1),
    }  # fmt: skip


def test_a_table_that_changes_while_it_is_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_parquet(tmp_path / "data/rows.parquet", {"image": structs(pictures(2))})
    read = contents.Contents._rows

    def meddles(self: contents.Contents) -> Iterator[Entry]:
        yield from read(self)
        path.touch()

    monkeypatch.setattr(contents.Contents, "_rows", meddles)
    with pytest.raises(AuditorError, match="changed while its rows were read"):
        create_manifest(tmp_path / "data", tmp_path / "m", workers=1)
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


@pytest.mark.data
def test_fifty_thousand_real_rows(data_root: Path, tmp_path: Path) -> None:
    made = create_manifest(data_root / "cifar10", tmp_path / "m")
    assert (made.format, made.n_samples, made.n_unreadable) == ("parquet", 50_000, 0)
    found = verify_manifest(data_root / "cifar10", tmp_path / "m")
    assert (found.exit_code, found.n_verified) == (0, 50_001)
