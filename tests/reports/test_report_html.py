from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import polars as pl
import pytest

from auditor.records import TriggerPictures
from auditor.report import Report
from auditor.reports import html, notebook

Make = dict[str, Callable[[], Report]]
VOID = {"meta", "input", "img", "br", "link"}


class Page(HTMLParser):
    """Every element and attribute of a page, and the text of each kind of element."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text: dict[str, list[str]] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if self.open:
            self.text.setdefault(self.open[-1], []).append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)


def points(page: Page) -> dict[str, list[object]]:
    text = next(t for t in page.text["script"] if t.startswith("{"))
    loaded: dict[str, list[object]] = json.loads(text)
    return loaded


def test_page_is_well_formed_and_loads_nothing(report: Report) -> None:
    page = Page(html.render(report))
    assert page.open == []
    for tag, attributes in page.elements:
        assert tag not in {"link", "iframe", "object", "embed", "form", "base"}
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href"):
            target = attributes.get(name, "#")
            assert target.startswith(("#", "data:image/jpeg;base64,", "data:image/png;base64,"))


def test_policy_allows_its_own_style_and_script_alone(report: Report) -> None:
    page = Page(html.render(report))
    policy = next(
        a["content"] for t, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy
    scripts = [text for text in page.text["script"] if not text.startswith("{")]
    for texts, directive in ((page.text["style"], "style-src"), (scripts, "script-src")):
        assert len(texts) == 1
        digest = base64.b64encode(hashlib.sha256(texts[0].encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy


def test_hostile_text_adds_no_element(make: Make) -> None:
    text = html.render(make["hostile"]())
    page = Page(text)
    assert page.count("script") == 2
    assert page.count("img") == 0
    assert "<script>alert" not in text
    assert "49" not in "".join(page.text["h3"])
    body = text.replace("\n", "")
    assert body.isprintable()
    data = points(page)
    assert "<script>alert(1)</script>" in data["names"]


def test_report_kinds_show_their_parts(make: Make) -> None:
    text = html.render(make["poisoned"]())
    for said in (
        "FAIL",
        "Same class, not flagged",
        "auditor explain BKD001",
        "class1",
        "sha256:abab",
    ):
        assert said in text
    assert 'id="map-canvas"' not in html.render(make["unlabelled"]())
    assert "image file is truncated" in html.render(make["incomplete"]())
    assert "No rule fired." in html.render(make["clean"]())


def test_each_picture_is_embedded_once_and_every_reference_resolves(make: Make) -> None:
    page = Page(html.render(make["poisoned"]()))
    images = [a for tag, a in page.elements if tag == "image"]
    ids = [a["id"] for a in images]
    assert len(set(ids)) == len(ids) > 0
    used = {a["href"] for tag, a in page.elements if tag == "use"}
    assert used == {f"#{name}" for name in ids}
    assert base64.b64decode(images[0]["href"].split(",")[1]).startswith(b"\xff\xd8")


def test_an_estimated_trigger_is_drawn_where_its_group_was_stamped(make: Make) -> None:
    base = make["poisoned"]()
    drawn = TriggerPictures(b"pattern", 3.5, 0.25, b"before", b"after")
    assert "Estimated trigger" not in html.render(replace(base, triggers={"class0": drawn}))
    stamped = tuple(
        replace(one, evidence={**one.evidence, "shortcut_stamped": 0.97})
        if one.rule == "BKD001"
        else one
        for one in base.findings
    )
    page = html.render(replace(base, findings=stamped, triggers={"class0": drawn}))
    for data in (b"pattern", b"before", b"after"):
        assert f"data:image/png;base64,{base64.b64encode(data).decode()}" in page
    assert "change × 3.5" in page
    assert "25.0% of the pixels are replaced" in page
    assert "Estimated trigger" not in html.render(replace(base, findings=stamped))


def test_map_has_every_point_and_marks_the_flagged(make: Make) -> None:
    report = make["poisoned"]()
    data = points(Page(html.render(report)))
    assert data["row"] == list(range(40))
    marked = {
        row for row, score in zip(data["row"], data["score"], strict=True) if score is not None
    }
    assert marked == set(report.flagged["row"].to_list())
    assert all(0 <= v <= 1000 for v in (*data["x"], *data["y"]))
    assert [data["uris"][u] for u in data["uri"]] == report.samples["uri"].to_list()


def test_points_that_are_not_finite_are_left_out(make: Make) -> None:
    rows, x, y = make["clean"]().map_points
    report = replace(make["clean"](), map_points=(rows, np.where(rows == 3, np.nan, x), y))
    assert len(points(Page(html.render(report)))["row"]) == 39


def test_long_lists_are_cut_and_say_so_and_the_page_stays_small(make: Make) -> None:
    report = make["many_classes"]()
    n = 2_000
    flagged = pl.concat([report.flagged] * (n // report.flagged.height + 1)).head(n)
    flagged = flagged.with_columns(pl.Series("row", range(n), dtype=pl.UInt64))
    noise = np.random.default_rng(0)
    big = {row: next(iter(report.thumbnails.values())) + noise.bytes(8_000) for row in range(400)}
    text = html.render(replace(report, flagged=flagged, thumbnails=big))
    assert len(text.encode()) < 1_500_000
    assert "worst 500 of 2,000" in text
    assert "1,500 more in" in text
    assert "50 more in" in text
    page = Page(text)
    assert page.count("article") == 100


def test_same_report_same_bytes(report: Report) -> None:
    assert html.render(report) == html.render(report)


@pytest.mark.parametrize("kind", ["clean", "poisoned", "incomplete", "unlabelled", "hostile"])
def test_notebook_is_a_fragment_without_script(make: Make, kind: str) -> None:
    report = make[kind]()
    text = notebook(report)
    page = Page(text)
    assert page.open == []
    assert page.count("script") == page.count("style") == 0
    assert text == report._repr_html_()
    assert all(a["src"].startswith("data:image/jpeg") for t, a in page.elements if t == "img")
    assert text.replace("\n", "").isprintable()
