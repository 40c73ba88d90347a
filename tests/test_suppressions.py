"""Suppressions hide what somebody accepted, for a time, and are counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import write_folder

from auditor.baseline.suppressions import Suppression, read_suppressions, write_suppressions
from auditor.errors import UsageError
from auditor.judging.ruleset import load_rules
from auditor.report import Report

Scan = Callable[..., Report]
RULES = load_rules()
SHA = "ab" * 32


@pytest.fixture
def flagged(tmp_path: Path, fast_scan: Scan) -> tuple[Path, Report]:
    """Two pictures that lie in two classes each: DUP002 names four samples."""
    data = write_folder(tmp_path / "data", {"cat": 20, "dog": 20})
    for i in range(2):
        (data / "dog" / f"copy{i}.png").write_bytes((data / "cat" / f"00{i}.png").read_bytes())
    found = fast_scan(data)
    assert found.flagged.filter(pl.col("rules").list.contains("DUP002")).height == 4
    return data, found


def entry(row: dict[str, object], **other: object) -> dict[str, object]:
    return {"rule": "DUP002", "sha256": row["sha256"], "label": row["class_name"],
            "reason": "looked at it", "author": "someone", **other}  # fmt: skip


def write(path: Path, entries: list[dict[str, object]]) -> str:
    path.write_text("".join(json.dumps(item) + "\n" for item in entries))
    return str(path)


def test_a_suppressed_finding_is_counted_and_not_shown(
    flagged: tuple[Path, Report], tmp_path: Path, fast_scan: Scan
) -> None:
    data, before = flagged
    row = before.flagged.row(0, named=True)
    found = fast_scan(data, suppressions=write(tmp_path / "s.jsonl", [entry(row)]))
    left = found.flagged.filter(pl.col("rules").list.contains("DUP002"))
    assert left.height == 3
    assert row["uri"] not in left["uri"].to_list()
    assert found.options["suppressions"] == {"suppressed": 1, "expired": 0}
    assert any("1 findings on samples are suppressed" in note for note in found.blind_spots)


def test_another_label_is_not_covered(
    flagged: tuple[Path, Report], tmp_path: Path, fast_scan: Scan
) -> None:
    data, before = flagged
    row = before.flagged.row(0, named=True)
    file = write(tmp_path / "s.jsonl", [entry(row, label="horse")])
    found = fast_scan(data, suppressions=file)
    assert found.options["suppressions"] == {"suppressed": 0, "expired": 0}


def test_all_suppressed_leaves_no_finding(
    flagged: tuple[Path, Report], tmp_path: Path, fast_scan: Scan
) -> None:
    data, before = flagged
    entries = [entry(row) for row in before.flagged.iter_rows(named=True)]
    found = fast_scan(data, suppressions=write(tmp_path / "s.jsonl", entries))
    assert "DUP002" not in {finding.rule for finding in found.findings}
    assert found.flagged.is_empty()


def test_an_expired_one_is_reported_and_hides_nothing(
    flagged: tuple[Path, Report], tmp_path: Path, fast_scan: Scan
) -> None:
    data, before = flagged
    entries = [entry(before.flagged.row(0, named=True), expires="2020-01-31")]
    found = fast_scan(data, suppressions=write(tmp_path / "s.jsonl", entries))
    assert found.flagged.height == before.flagged.height
    assert found.options["suppressions"] == {"suppressed": 0, "expired": 1}
    assert any("by someone, until 2020-01-31" in note for note in found.blind_spots)


def test_it_is_never_taken_from_the_dataset(flagged: tuple[Path, Report], fast_scan: Scan) -> None:
    data, before = flagged
    file = data / "auditor.suppressions"
    write(file, [entry(row) for row in before.flagged.iter_rows(named=True)])
    assert fast_scan(data).flagged.height == before.flagged.height
    with pytest.raises(UsageError, match="wishes are not obeyed"):
        fast_scan(data, suppressions=str(file))


def test_toml_and_json_lines_say_the_same(tmp_path: Path) -> None:
    item = {"rule": "DUP002", "sha256": SHA, "label": "cat", "reason": "r", "author": "a"}
    lines = tmp_path / "s.jsonl"
    write(lines, [item, item])
    toml = tmp_path / "s.toml"
    body = "".join(f"{name} = {json.dumps(value)}\n" for name, value in item.items())
    toml.write_text(f"[[suppress]]\n{body}expires = 2030-01-31\n")
    (one,) = read_suppressions(lines, RULES)
    (other,) = read_suppressions(toml, RULES)
    assert (one.expires, other.expires) == (None, date(2030, 1, 31))
    assert other.expired(date(2030, 2, 1))
    assert not other.expired(date(2030, 1, 31))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rule": "XXX999"}, "does not exist"),
        ({"sha256": "ab"}, "no sha256"),
        ({"label": None, "drop": "label"}, "label is missing"),
        ({"reason": " "}, "reason is missing"),
        ({"author": ""}, "author is missing"),
        ({"expires": "soon"}, "no date"),
        ({"expires": 5}, "no date"),
        ({"autor": "x"}, "known: author"),
    ],
)
def test_incomplete_entries_are_named(tmp_path: Path, change: dict[str, object], says: str) -> None:
    item = {"rule": "DUP002", "sha256": SHA, "label": "cat", "reason": "r", "author": "a"} | change
    if "drop" in item:
        item = {name: value for name, value in item.items() if name not in {"drop", "label"}}
    with pytest.raises(UsageError, match=says):
        read_suppressions(Path(write(tmp_path / "s.jsonl", [item])), RULES)


@pytest.mark.parametrize("text", ["{", "[1]", '"x"', "null"])
def test_malformed_files(tmp_path: Path, text: str) -> None:
    for name in ("s.jsonl", "s.toml"):
        (tmp_path / name).write_text(text)
        with pytest.raises(UsageError):
            read_suppressions(tmp_path / name, RULES)
    with pytest.raises(UsageError, match="check the path"):
        read_suppressions(tmp_path / "absent", RULES)


ITEMS = st.builds(
    Suppression,
    rule=st.sampled_from(["DUP001", "DUP002"]),
    sha256=st.sampled_from(["a" * 64, "b" * 64]),
    label=st.text(max_size=5).map(str.strip),
    reason=st.text(min_size=1, max_size=9).map(str.strip).filter(bool),
    author=st.just("a"),
    expires=st.none() | st.dates(),
)


@given(items=st.lists(ITEMS, max_size=8))
def test_what_is_written_is_sorted_and_read_back(items: list[Suppression]) -> None:
    import tempfile

    text = write_suppressions(items)
    assert text == write_suppressions(items[::-1])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.jsonl"
        path.write_text(text, "utf-8")
        assert set(read_suppressions(path, RULES)) == set(items)
