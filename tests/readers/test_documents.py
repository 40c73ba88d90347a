"""What a dataset's documents declare, and which addresses they name."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.readers.documents import Document, read

CARD = """---
dataset_info:
  features: []
  splits:
  - name: train
    num_bytes: 10
    num_examples: 50000
  - name: test
    num_examples: 7
---
See http://example.org/paper and [data](https://huggingface.co/datasets/a/b/resolve/main/x.parquet).
"""


def test_a_card_declares_rows_and_only_links_to_data_count() -> None:
    found = read("README.md", CARD.encode())
    assert found.declared == {"default": {"train": 50000, "test": 7}}
    assert (found.urls, found.insecure, found.mutable, found.unhashed) == (1, 0, 1, 0)


def test_a_card_of_several_configurations() -> None:
    text = (
        "---\ndataset_info:\n"
        "- config_name: a\n  splits: [{name: train, num_examples: 3}]\n"
        "- config_name: b\n  splits: [{name: train, num_examples: true}]\n---\n"
    )
    assert read("README.md", text.encode()).declared == {"a": {"train": 3}}


def test_dataset_infos() -> None:
    infos = {"default": {"splits": {"train": {"num_examples": 5}}}, "x": 3}
    found = read("dataset_infos.json", json.dumps(infos).encode())
    assert found.declared == {"default": {"train": 5}}


def test_croissant_addresses() -> None:
    croissant = {
        "@context": {}, "distribution": [
            {"contentUrl": "https://h.org/a.zip", "sha256": "ab"},
            {"contentUrl": "http://h.org/b.zip"},
            {"contentUrl": "local.csv"},
        ],
    }  # fmt: skip
    found = read("croissant.json", json.dumps(croissant).encode())
    assert (found.kind, found.urls, found.insecure, found.unhashed) == ("croissant", 2, 1, 1)
    assert found.example == "http://h.org/b.zip"


def test_dvc_files() -> None:
    locked = "deps:\n- path: d\n  repo: {url: 'https://h.org/r', rev_lock: abc}\n"
    open_ = "deps:\n- path: d\n  repo: {url: 'https://h.org/r', rev: main}\n"
    outs = "outs:\n- md5: ab\n  path: images\n"
    found = read("images.dvc", (locked + outs).encode())
    assert (found.outs, found.unhashed, found.mutable) == (("images",), 0, 0)
    found = read("images.dvc", (open_ + outs).encode())
    assert (found.mutable, found.unhashed) == (1, 1)


def test_lists_of_addresses() -> None:
    bare = "".join(f"http://h{i}.org/{i}.jpg\n" for i in range(5))
    assert read("urls.txt", bare.encode()) == Document("urls", 5, 5, 0, 5, "http://h0.org/0.jpg")
    hashed = "".join(f"https://h.org/{i}.jpg,{i:064x}\n" for i in range(5))
    assert read("urls.csv", hashed.encode()).unhashed == 0
    assert read("notes.txt", b"text\nhttp://a.org/b.jpg\nmore\ntext\n").kind == "other"


@pytest.mark.parametrize("text", ["trust_remote_code: true", '{"trust_remote_code": 1}'])
def test_asking_for_remote_code(text: str) -> None:
    assert read("a.yaml", text.encode()).remote_code
    assert not read("a.yaml", b"trust_remote_code: false").remote_code


def test_yaml_is_loaded_safely() -> None:
    text = "---\ndataset_info: !!python/object/apply:os.system ['exit 1']\n---\n"
    assert read("README.md", text.encode()) == Document("card")


@given(st.text(max_size=300), st.sampled_from(["README.md", "a.dvc", "a.json", "u.txt", "b.yaml"]))
def test_no_text_brings_it_down(text: str, name: str) -> None:
    for frame in ("{}", "---\n{}\n---\n", '{{"@context": 1, "distribution": [{}]}}'):
        data = frame.format(text).encode("utf-8", "replace")
        assert isinstance(read(name, data), Document)
