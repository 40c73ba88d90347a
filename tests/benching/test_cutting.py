from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.benching.cutting import count_held_out, cut, dataset_digest, draw
from auditor.errors import UsageError
from auditor.readers import Columns


@given(st.lists(st.integers(0, 4), min_size=20, max_size=200), st.integers(0, 5))
def test_draw_is_apart_nested_and_in_proportion(labels: list[int], seed: int) -> None:
    given_labels = np.array(labels)
    n = len(labels)
    size = n - count_held_out(n)
    chosen, held = draw(given_labels, size, seed)
    smaller, _ = draw(given_labels, size // 2, seed)
    assert len(chosen) == size
    assert len(set(chosen.tolist())) == size
    assert not set(chosen.tolist()) & set(held.tolist())
    for k in range(5):
        share = (given_labels == k).sum() / n
        assert abs((given_labels[chosen] == k).sum() - share * size) < 1
        assert abs((given_labels[smaller] == k).sum() - share * (size // 2)) < 1


def test_a_cut_of_everything_holds_nothing_out() -> None:
    labels = np.arange(200) % 4
    chosen, held = draw(labels, 200, 0)
    assert chosen.tolist() == list(range(200))
    assert len(held) == 0
    most, few = draw(labels, 192, 0)
    assert (len(most), len(few)) == (192, 8)
    assert not set(most.tolist()) & set(few.tolist())
    with pytest.raises(UsageError, match="1 to 200"):
        draw(labels, 201, 0)


def test_smaller_draws_lie_within_larger_ones_where_classes_divide_evenly() -> None:
    labels = np.arange(400) % 4
    whole, _ = draw(labels, 200, 3)
    half, _ = draw(labels, 100, 3)
    assert set(half.tolist()) <= set(whole.tolist())
    other, _ = draw(labels, 100, 4)
    assert set(other.tolist()) != set(half.tolist())


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    names = {"names": ["cat", "dog"], "_type": "ClassLabel"}
    features = {"image": {"_type": "Image"}, "label": names}
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema(
        [("image", kind), ("label", pa.int64())],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    rows = [{"image": {"bytes": b"%d" % i, "path": None}, "label": i % 2} for i in range(100)]
    path = tmp_path / "data.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, row_group_size=7)
    return path


def test_cut_of_parquet_keeps_schema_rows_and_their_order(parquet: Path, tmp_path: Path) -> None:
    part = cut(parquet, 40, 1, tmp_path / "work", Columns())
    table = pq.read_table(part.path)
    chosen, held = draw(np.arange(100) % 2, 40, 1)
    assert part.path.suffix == ".parquet"
    assert table.schema.equals(pq.read_schema(parquet), check_metadata=True)
    assert [int(row["bytes"]) for row in table["image"].to_pylist()] == chosen.tolist()
    assert [int(data) for data in part.images] == held.tolist()
    assert part.labels.tolist() == (held % 2).tolist()
    assert part.class_names == ("cat", "dog")
    assert part.n_samples == 40


def test_cut_of_a_folder_keeps_paths_and_bytes(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for i in range(60):
        path = root / "train" / ("ab"[i % 2]) / f"{i:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % i)
    part = cut(root, 20, 0, tmp_path / "work", Columns())
    found = sorted(p for p in part.path.rglob("*") if p.is_file())
    assert len(found) == 20
    for path in found:
        assert path.read_bytes() == (root / path.relative_to(part.path)).read_bytes()
    assert part.class_names == ("a", "b")
    assert len(part.images) == count_held_out(60)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_cut_of_a_folder_with_metadata_keeps_the_lines_of_its_files(
    kind: str, tmp_path: Path
) -> None:
    root = tmp_path / "data"
    root.mkdir()
    rows = [{"file_name": f"{i:03d}.png", "label": "ab"[i % 2]} for i in range(40)]
    for row in rows:
        (root / row["file_name"]).write_bytes(row["file_name"].encode())
    path = root / f"metadata.{kind}"
    if kind == "csv":
        lines = ["file_name,label", *(f"{r['file_name']},{r['label']}" for r in rows)]
        path.write_text("\n".join(lines))
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    part = cut(root, 10, 0, tmp_path / "work", Columns())
    images = {p.name for p in part.path.glob("*.png")}
    assert len(images) == 10
    again = cut(part.path, 9, 0, tmp_path / "again", Columns())
    assert again.class_names == ("a", "b"), "the cut is read as the dataset was"
    assert again.n_samples == 9


def test_digest_follows_names_sizes_and_content_not_times(parquet: Path, tmp_path: Path) -> None:
    before = dataset_digest(parquet)
    content = parquet.read_bytes()
    elsewhere = tmp_path / "elsewhere" / parquet.name
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(content)
    os.utime(elsewhere, (0, 0))
    assert dataset_digest(elsewhere) == before, "a copy keeps its results"
    for changed in (content + b" ", content[:8] + b"!" + content[9:], content[:-5] + b"!PAR1"):
        elsewhere.write_bytes(changed)
        assert dataset_digest(elsewhere) != before
