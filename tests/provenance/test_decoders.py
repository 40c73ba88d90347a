"""Two decoders on one file: clean files agree, crafted ones differ, nothing is claimed without."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from tiny import encode, picture, structs, write_folder, write_parquet

from auditor import decoders
from auditor.decoders import DIFFERS
from auditor.judging.ruleset import load_rules
from auditor.readers.decoders import OTHER_SIZE, _library, difference, measure
from auditor.report import Report


@pytest.fixture
def opencv() -> None:
    pytest.importorskip("cv2", reason="needs OpenCV, the second decoder")


def crafted(seed: int) -> bytes:
    """A BMP whose masks put red into the fourth byte: Pillow heeds them, OpenCV does not."""
    red, green, blue = np.moveaxis(np.asarray(picture(seed, 64, 64))[::-1], -1, 0)
    body = np.dstack([blue, green, 255 - red, red]).tobytes()
    masks = struct.pack("<III", 0xFF000000, 0xFF00, 0xFF)
    info = struct.pack("<IiiHHIIiiII", 52, 64, 64, 1, 32, 3, len(body), 2835, 2835, 0, 0) + masks
    offset = 14 + len(info)
    return b"BM" + struct.pack("<IHHI", offset + len(body), 0, 0, offset) + info + body


def turned(seed: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encode(picture(seed), "JPEG", exif=exif)


CLEAN = {
    "jpeg": encode(picture(1), "JPEG"),
    "progressive": encode(picture(1, 300, 200), "JPEG", progressive=True, quality=40),
    "grey": encode(picture(1, mode="L"), "JPEG"),
    "cmyk": encode(picture(1, mode="CMYK"), "JPEG"),
    "turned": turned(1),
    "png": encode(picture(1)),
    "alpha": encode(picture(1, mode="RGBA").point(lambda value: value // 2)),
    "palette": encode(picture(1).quantize(16), transparency=3),
    "16 bit": encode(Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64) * 16)),
    "bilevel": encode(picture(1, mode="1")),
    "webp": encode(picture(1), "WEBP"),
    "gif": encode(picture(1), "GIF"),
    "bmp": encode(picture(1), "BMP"),
    "tiff": encode(picture(1), "TIFF"),
}


@pytest.mark.usefixtures("opencv")
@pytest.mark.parametrize("kind", CLEAN)
def test_clean_files_agree(kind: str) -> None:
    found = difference(CLEAN[kind])
    assert found is not None
    assert found <= 1.5


@pytest.mark.usefixtures("opencv")
def test_what_can_not_be_compared_is_not() -> None:
    frames = [picture(seed) for seed in range(3)]
    animated = encode(frames[0], "PNG", save_all=True, append_images=frames[1:])
    blended = encode(picture(1, mode="RGBA").point(lambda value: value // 2), "TIFF")
    for data in (animated, blended, b"", b"no image", encode(picture(1))[:90]):
        assert difference(data) is None


@pytest.mark.usefixtures("opencv")
def test_a_crafted_file_differs() -> None:
    found = difference(crafted(1))
    assert found is not None
    assert found >= DIFFERS


def test_sizes_and_single_tiles_count() -> None:
    image = picture(1, 64, 64)
    assert measure(image, image) == 0
    assert measure(image, picture(1, 64, 63)) == OTHER_SIZE
    patched = image.copy()
    patched.paste((255, 255, 255), (56, 56, 64, 64))
    black = image.copy()
    black.paste((0, 0, 0), (56, 56, 64, 64))
    assert measure(patched, black) == 255


@pytest.mark.usefixtures("opencv")
def test_a_scan_finds_it_and_its_copy(tmp_path: Path, fast_scan: Callable[..., Report]) -> None:
    root = write_folder(tmp_path / "d", {"cat": 12, "dog": 12})
    for name in ("cat/odd.bmp", "dog/odd.bmp"):
        (root / name).write_bytes(crafted(77))
    report = fast_scan(root)
    (finding,) = (one for one in report.findings if one.rule == "FMT011")
    assert finding.n_samples == 2
    found = report.samples.filter(pl.col("decoders_difference") >= DIFFERS)["uri"].to_list()
    assert found == ["cat/odd.bmp", "dog/odd.bmp"]
    assert report.evidence["dataset"]["decoders_n_compared"].to_list() == [26]
    assert report.evidence["dataset"]["decoders_n_differ"].to_list() == [2]


@pytest.mark.usefixtures("opencv")
def test_rows_of_a_table_and_of_a_part_of_it(
    tmp_path: Path, fast_scan: Callable[..., Report]
) -> None:
    data = [crafted(i) if i % 3 == 0 else encode(picture(i)) for i in range(30)]
    write_parquet(tmp_path / "d.parquet", {"image": structs(data), "label": [0, 1] * 15})
    for options in ({}, {"sample": 20}):
        table = fast_scan(tmp_path / "d.parquet", **options).samples
        flagged = table.filter(pl.col("decoders_difference") >= DIFFERS)["record"].to_list()
        assert flagged == [row for row in table["record"].to_list() if row % 3 == 0]
        assert table["decoders_difference"].null_count() == 0


@pytest.mark.usefixtures("opencv")
def test_a_bounded_part_is_drawn_by_content(
    tmp_path: Path, fast_scan: Callable[..., Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoders, "MAX_COMPARED", 5)
    root = write_folder(tmp_path / "d", {"cat": 12, "dog": 12})
    (root / "cat" / "odd.bmp").write_bytes(crafted(77))
    compared = pl.col("decoders_difference").is_not_null()
    first = fast_scan(root).samples.filter(compared)
    assert 5 <= first.height <= 6
    assert "cat/odd.bmp" in first["uri"].to_list(), "its encoder is rare"
    (root / "cat" / "000.png").rename(root / "dog" / "zzz.png")
    again = fast_scan(root).samples.filter(compared)
    assert set(first["sha256"]) == set(again["sha256"])
    monkeypatch.setattr(decoders, "MAX_PIXELS", 3 * 40 * 36)
    assert fast_scan(root).samples.filter(compared).height <= 3


def test_without_a_second_decoder_nothing_is_claimed(
    tmp_path: Path, fast_scan: Callable[..., Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoders, "find_spec", lambda name: None)
    root = write_folder(tmp_path / "d", {"cat": 6, "dog": 6})
    (root / "cat" / "odd.bmp").write_bytes(crafted(77))
    report = fast_scan(root)
    assert "decoders" not in {run.id for run in report.detectors}
    assert not any("decoder" in spot.lower() for spot in report.blind_spots)
    assert "FMT011" not in {finding.rule for finding in report.findings}


def test_a_library_that_can_not_load_compares_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    _library.cache_clear()
    monkeypatch.setattr("auditor.readers.decoders.LIBRARY", "no_such_decoder")
    assert difference(crafted(1)) is None
    _library.cache_clear()


def test_the_rule_and_the_count_use_one_threshold() -> None:
    (rule,) = (rule for rule in load_rules() if rule.id == "FMT011")
    assert rule.when == f"decoders_difference >= {DIFFERS:.0f}"


@pytest.mark.data
@pytest.mark.usefixtures("opencv")
def test_clean_photographs_agree(data_root: Path) -> None:
    files = sorted((data_root / "imagenette" / "val").rglob("*.JPEG"))[::40]
    assert files
    assert all((difference(file.read_bytes()) or 0.0) <= 1.0 for file in files)
    assert difference(files[0].read_bytes()) is not None
