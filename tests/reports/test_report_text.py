from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from auditor.reports.text import count, duration, measure, percent, plain, prose, shorten


def test_plain_leaves_nothing_invisible(hostile_text: str) -> None:
    shown = plain(hostile_text)
    assert shown.isprintable()
    assert "::" not in shown
    assert "##[" not in shown
    shown.encode("utf-8")


def test_plain_leaves_ordinary_text_alone() -> None:
    for text in ("cat/0001.png", "café", "猫", "a b-c_d (1).jpg", "C:x"):
        assert plain(text) == text


def test_plain_shows_what_was_there() -> None:
    assert plain("a\x1b[2Jb\n\u202e") == "a\\x1b[2Jb\\n\\u202e"
    assert plain("latin-\udce9.png") == "latin-\\udce9.png"


@given(st.text(st.characters(codec=None)))
def test_plain_is_safe_and_settled(text: str) -> None:
    shown = plain(text)
    bad = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert not {unicodedata.category(c) for c in shown} & bad
    assert "::" not in shown
    assert plain(shown) == shown


@given(st.text(max_size=300), st.integers(0, 100))
def test_shorten_fits_and_keeps_the_end(text: str, width: int) -> None:
    cut = shorten(text, width)
    assert len(cut) <= max(width, 0)
    if len(text) <= width:
        assert cut == text
    elif width > 3:
        assert text.endswith(cut[-1])


def test_prose_is_one_capped_line() -> None:
    assert prose("a\n  b\r\nc") == "a b c"
    assert len(prose("x" * 10_000)) == 600


def test_numbers_as_a_reader_writes_them() -> None:
    assert count(50_000) == "50,000"
    assert (count(1, "class", "classes"), count(2, "class", "classes")) == ("1 class", "2 classes")
    assert [percent(*p) for p in ((0, 9), (9, 9), (1, 100_000), (99_999, 100_000), (5, 0))] == [
        "0 %", "100 %", "<0.01 %", ">99.9 %", "–",
    ]  # fmt: skip
    assert percent(150, 50_000) == "0.30 %"
    assert [measure(v) for v in (None, float("nan"), True, 12345, 0.123456, 2.0, 3.5e7)] == [
        "–", "–", "yes", "12,345", "0.1235", "2", "35,000,000",
    ]  # fmt: skip
    assert [duration(s) for s in (0.25, 12.34, 125)] == ["250 ms", "12.3 s", "2 min 05 s"]
