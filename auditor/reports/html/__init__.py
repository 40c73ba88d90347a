"""``report.html``: the whole report as one page that loads nothing and sends nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from auditor.interfaces import ReportFormat
from auditor.report import Report
from auditor.reports.html import account, findings, flagged
from auditor.reports.pictures import choose, map_view
from auditor.reports.text import count, plain, prose, shorten
from auditor.reports.wording import (
    POWER_TITLE,
    VERDICT_WORDS,
    WITNESSES,
    leading,
    power_note,
    reason,
    tally_words,
    worst_samples,
)

if TYPE_CHECKING:
    from jinja2 import Environment

FLAGGED_ROWS = 500
"""Flagged samples in the page; a browser sorts and filters that many without a pause."""
_FINDINGS = 100
"""Cards in the page: with the pictures' budget, and the lines of classes and refusals, they keep it
well below 1.5 MB."""


def render(report: Report) -> str:
    """Write the report as one HTML page.

    Everything from the dataset goes through ``text.plain`` and autoescaping, and the page's
    content-security policy allows its own style and script by their hashes and nothing else.
    """
    style, script = _asset("report.css"), _asset("report.js")
    page = environment().get_template("report.html.j2")
    return page.render(
        style=_trusted(style),
        style_hash=_trusted(_csp_hash(style)),
        script=_trusted(script),
        script_hash=_trusted(_csp_hash(script)),
        **_view(report),
    )


@cache
def environment() -> Environment:
    """Make the template environment: autoescape always, every value made plain on its way out."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("auditor.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=False,
        keep_trailing_newline=True,
    )


def _finalize(value: object) -> object:
    # Markup is the template's own; every other string may hold a name from the dataset.
    return plain(value) if type(value) is str else value


def _trusted(text: str) -> str:
    from markupsafe import Markup

    return Markup(text)


def _asset(name: str) -> str:
    return resources.files("auditor.reports").joinpath("templates", name).read_text("utf-8")


def _csp_hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _view(report: Report) -> dict[str, Any]:
    leaders = leading(report.findings)
    shown = leaders[:_FINDINGS]
    listed = worst_samples(report.flagged, FLAGGED_ROWS)
    pictures = choose(report, shown, listed["row"].to_list())
    view: dict[str, Any] = {
        "verdict": report.verdict,
        "word": VERDICT_WORDS[report.verdict],
        "reason": reason(report),
        "root": report.dataset.root,
        "facts": account.short_facts(report),
        "tiles": account.tiles(report),
        "findings": [
            findings.card(report, finding, *strips)
            for finding, strips in zip(shown, pictures.strips, strict=True)
        ],
        "findings_note": tally_words(leaders),
        "witnesses_title": WITNESSES,
        "findings_left": count(len(leaders) - len(shown)) if len(leaders) > len(shown) else "",
        "thumbnails": [
            picture(row, data, small) for row, (data, small) in sorted(pictures.images.items())
        ],
        "map": _map(report),
        "coverage": account.coverage(report),
        "power": [(power.variant, str(power)) for power in report.power],
        "power_title": POWER_TITLE,
        "power_note": power_note(report) if report.power else "",
        "blind_spots": [prose(spot) for spot in report.blind_spots],
        "detectors": account.detectors(report),
        "detectors_note": account.detectors_note(report),
        "footer": account.footer(report),
        **flagged.classes(report),
        **flagged.samples(report, listed, pictures),
        **account.refusals(report),
    }
    view["sections"] = _sections(view)
    return view


def _sections(view: Mapping[str, Any]) -> list[tuple[str, str]]:
    every = [
        ("findings", "Findings", True),
        ("map", "Map", view["map"]),
        ("classes", "Classes", view["classes"]),
        ("flagged", "Flagged samples", view["flagged"]),
        ("coverage", "Coverage", True),
        ("power", POWER_TITLE, view["power"]),
        ("blind-spots", "Blind spots", view["blind_spots"]),
        ("detectors", "Detectors", True),
    ]
    return [(anchor, name) for anchor, name, there in every if there]


def picture(row: int, data: str, small: bool, label: str = "") -> dict[str, object]:
    """Prepare one embedded thumbnail for a template."""
    return {"row": row, "data": _trusted(data), "small": small, "label": shorten(plain(label), 100)}


def _map(report: Report) -> dict[str, Any] | None:
    view = map_view(report)
    return None if view is None else {**view, "data": _trusted(view["data"])}


FORMAT = ReportFormat(id="html", filename="report.html", render=render)
