"""Checks of the files beside the samples, from a folder on disk to the rules that fire."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny import encode, picture, write_folder

from auditor.provenance import FILE_CHECKS
from auditor.provenance.declared import measure as declared
from auditor.provenance.names import hides, measure, skeleton
from auditor.provenance.pointers import measure as pointers
from auditor.readers.walk import walk
from auditor.report import Report
from auditor.tables import INVENTORY, check_evidence

Scan = Callable[..., Report]


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("exit 1",)


def rules(report: Report) -> set[str]:
    return {finding.rule for finding in report.findings if finding.rule.startswith("PRV")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "data", {"cat": 4, "dog": 4})


def inventory(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=dict(INVENTORY))


def ledger(uris: list[str], **columns: list[Any]) -> pl.DataFrame:
    base = {"row": range(len(uris)), "uri": uris, "class_name": None, "split": None,
            "refusal": None, "detail": None}  # fmt: skip
    texts = dict.fromkeys(("uri", "class_name", "split", "refusal", "detail"), pl.String)
    return pl.DataFrame({**base, **columns}, schema_overrides={"row": pl.UInt64, **texts})


def test_plain_files_beside_the_samples_are_silent(folder: Path, fast_scan: Scan) -> None:
    (folder / "LICENSE").write_text("free")
    (folder / "README.md").write_text("# Cats\nSee http://example.org.\n")
    (folder / "labels.csv").write_text("a,b\n1,2\n")
    assert rules(fast_scan(folder)) == set()


@pytest.mark.parametrize(
    ("name", "data", "rule"),
    [
        ("a.pkl", pickle.dumps(Bomb()), "PRV001"),
        ("a.pkl", pickle.dumps([1]), "PRV002"),
        ("a.py", b"class A(datasets.GeneratorBasedBuilder): ...", "PRV003"),
        ("config.yaml", b"trust_remote_code: true", "PRV003"),
        ("tool", b"\x7fELF", "PRV004"),
        ("get.sh", b"curl", "PRV005"),
        ("more.zip", b"PK\x03\x04", "PRV007"),
        ("CAT/000.png", encode(picture(77)), "PRV011"),
        ("cat/a\u202egnp.txt", b"", "PRV014"),
        ("cat/9.jpg", b"version https://git-lfs.github.com/spec/v1\n", "PRV015"),
        ("data.dvc", b"outs: [{path: data, md5: ab}]", "PRV016"),
        ("README.md", b"---\ndataset_info: {splits: [{name: train, num_examples: 9}]}\n---\n",
         "PRV017"),
        ("README.md", b"https://h.org/x/resolve/main/a.zip", "PRV018"),
        ("urls.txt", b"https://h.org/1\nhttps://h.org/2\nhttps://h.org/3\n", "PRV019"),
        ("README.md", b"http://h.org/a.zip", "PRV020"),
        (".hidden/a.pkl", pickle.dumps(Bomb()), "PRV001"),
    ],
)  # fmt: skip
def test_each_rule_fires_alone(
    folder: Path, fast_scan: Scan, name: str, data: bytes, rule: str
) -> None:
    target = folder / name
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(data)
    report = fast_scan(folder)
    assert rules(report) == {rule}
    (finding,) = (f for f in report.findings if f.rule == rule)
    shown = {"PRV011": "CAT/000.png", "PRV016": "data"}.get(rule, name)
    assert shown in finding.message


def test_a_correct_card_is_silent(folder: Path, fast_scan: Scan) -> None:
    text = "---\ndataset_info: {splits: [{name: train, num_examples: 8}]}\n---\n"
    (folder / "README.md").write_text(text)
    assert rules(fast_scan(folder)) == set()


def test_links_and_special_files(folder: Path, fast_scan: Scan) -> None:
    (folder / "cat" / "inside.png").symlink_to("000.png")
    assert rules(fast_scan(folder)) == set()
    (folder / "cat" / "outside.png").symlink_to("../../../etc/passwd")
    os.mkfifo(folder / "pipe")
    report = fast_scan(folder)
    assert rules(report) == {"PRV008", "PRV010"}
    (finding,) = (f for f in report.findings if f.rule == "PRV008")
    assert "cat/outside.png" in finding.message
    assert "inside.png" not in finding.message


def test_a_link_is_judged_by_its_name_alone(folder: Path) -> None:
    (folder / "a").symlink_to(folder.resolve() / "cat" / "000.png")
    (folder / "b").symlink_to("cat/../../data/cat/000.png")
    (folder / "c").symlink_to("/")
    (folder / "d").symlink_to("c")
    leaves = {link.uri: link.leaves for link in walk(folder.resolve()).links}
    assert leaves == {"a": False, "b": True, "c": True, "d": False}


def test_paths_out_of_the_dataset(folder: Path, fast_scan: Scan) -> None:
    (folder / "metadata.csv").write_text("file_name,label\ncat/000.png,cat\n../../x.png,dog\n")
    report = fast_scan(folder)
    assert "PRV009" in rules(report)
    assert "../../x.png" in report.flagged["uri"].to_list()


def test_pickled_metadata_in_a_schema(folder: Path, fast_scan: Scan) -> None:
    meta = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(Bomb()),
    }
    field = pa.field("a", pa.binary(), metadata=meta)
    table = pa.table([pa.array([b"1"])], schema=pa.schema([field]))
    pq.write_table(table, folder / "e.parquet")
    assert rules(fast_scan(folder)) == {"PRV006"}
    plain = pa.table({"a": [1]}).replace_schema_metadata({b"schema": pickle.dumps(Bomb())})
    with pa.ipc.new_file(folder / "e.arrow", plain.schema) as writer:
        writer.write_table(plain)
    (folder / "e.parquet").unlink()
    assert rules(fast_scan(folder)) == {"PRV006"}
    pq.write_table(pa.table({"a": [1]}), folder / "f.parquet")
    (folder / "e.arrow").unlink()
    assert rules(fast_scan(folder)) == set()


def test_a_table_of_addresses(folder: Path, fast_scan: Scan) -> None:
    urls = [f"https://h.org/{i}" for i in range(5)]
    pq.write_table(pa.table({"url": urls, "caption": urls}), folder / "u.parquet")
    assert rules(fast_scan(folder)) == {"PRV019"}
    pq.write_table(pa.table({"url": urls, "sha256": urls}), folder / "u.parquet")
    assert rules(fast_scan(folder)) == set()


@pytest.mark.parametrize("other", ["с\u0430t", "c\u200bat", "ｃat", "cat "])
def test_classes_drawn_like_another(other: str) -> None:
    assert skeleton(other) == "cat"
    row = measure(inventory(), ledger(["a", "b"], class_name=["cat", other]))["dataset"]
    assert row["names_n_confusable"].to_list() == [2]


def test_ascii_classes_are_never_confusable() -> None:
    names = ["0", "O", "o", "l", "1", "I", "rn", "m", "Cat", "cat"]
    row = measure(inventory(), ledger(names, class_name=names))["dataset"]
    assert row["names_n_confusable"].to_list() == [0]


def test_normalisation_and_joiners() -> None:
    composed, decomposed = "caf\u00e9.png", "cafe\u0301.png"
    row = measure(inventory(), ledger([composed, decomposed, "x"]))["dataset"]
    assert row["names_n_unicode"].to_list() == [2]
    assert row["names_n_case"].to_list() == [0]
    assert not hides("می\u200cخواهم")  # a non-joiner as Persian spells it
    assert hides("pay\u200cpal")


def test_declared_rows() -> None:
    def card(**splits: int) -> dict[str, str]:
        return {"uri": "README.md", "document": "card", "declared": json.dumps({"d": splits})}

    table = ledger(["a", "b", "c"], split=["train", "train", "test"])

    def wrong(**splits: int) -> Any:
        return declared(inventory(card(**splits)), table)["dataset"].row(0)

    assert wrong(train=2, test=1) == (2, 0, None)
    assert wrong(train=2, validation=9) == (1, 0, None)
    assert wrong(train=3)[:2] == (1, 1)
    assert wrong(validation=9)[0] is None
    linked = ledger(["a", "b"], refusal=["symbolic_link", None])
    assert declared(inventory(card(train=9)), linked)["dataset"].row(0)[0] is None


def test_outputs_of_dvc_that_are_here() -> None:
    row = {"uri": "x/data.dvc", "document": "dvc", "outs": '["images", "one.csv", "gone"]'}
    beside = inventory(row, {"uri": "x/one.csv"})
    found = pointers(beside, ledger(["x/images/1.png"]))["dataset"]
    assert found["pointers_absent"].to_list() == ["x/gone"]


def test_every_check_keeps_the_contract_even_of_nothing() -> None:
    for check in FILE_CHECKS:
        check_evidence(check.id, check.run(inventory(), ledger([])))


def test_too_many_files_are_said_to_be(
    folder: Path, fast_scan: Scan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auditor.readers.inventory.MAX_FILES", 2)
    for name in "abcde":
        (folder / f"{name}.py").write_text("x = 1")
    report = fast_scan(folder)
    assert rules(report) == {"PRV005", "PRV021"}
    (finding,) = (f for f in report.findings if f.rule == "PRV021")
    assert finding.message.endswith("(3): c.py, d.py, e.py.")


def test_a_file_that_ends_its_worker_is_only_unexamined(folder: Path, fast_scan: Scan) -> None:
    (folder / "a.parquet").write_bytes(b"PAR1" + b"\xff" * 100)
    assert rules(fast_scan(folder)) == {"PRV021"}
