"""The pictures of a report: which thumbnails each finding shows, and the points of the map."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import polars as pl

from auditor.records import Finding
from auditor.report import Report
from auditor.reports.json import dump
from auditor.reports.text import count, plain, shorten
from auditor.reports.wording import suggested_name
from auditor.tables import members

STRIP_FLAGGED, STRIP_NORMAL = 12, 12
"""Pictures in a card's strips: one line each on a page of 1,120 pixels."""
_BUDGET = 900_000
"""Base64 characters of all thumbnails together, so that the page stays below 1.5 MB."""
_SMALL = 64
"""Pixels of the longer side up to which a thumbnail is enlarged without smoothing."""
_PALETTE = 10
"""Classes that colours can still tell apart; beyond them, the map is grey with flags."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One thumbnail in a strip."""

    row: int
    name: str
    given: str
    suggested: str
    score: float | None


@dataclass(frozen=True, slots=True)
class Pictures:
    """The thumbnails that fit the page.

    Attributes:
        images: row → (base64 of the JPEG, whether to enlarge it without smoothing).
        strips: for each finding, its flagged samples and others of the same class.
    """

    images: Mapping[int, tuple[str, bool]]
    strips: tuple[tuple[list[Shot], list[Shot]], ...]


def choose(report: Report, findings: Sequence[Finding], listed: Sequence[int]) -> Pictures:
    """Choose thumbnails within the page's budget, first for the findings, then for the list.

    Findings take turns, so that one with many pictures leaves room for the others.

    Args:
        report: its ``thumbnails`` hold what can be shown.
        findings: those the page shows, worst first.
        listed: rows of the flagged samples the page lists, worst first.
    """
    if not report.thumbnails:
        return Pictures({}, tuple(([], []) for _ in findings))
    pictured = pl.col("row").is_in(list(report.thumbnails))
    # Filtered once: the ledger may have a million lines, the pictures are a few hundred.
    normal = report.samples.filter(
        pictured & ~pl.col("row").is_in(report.flagged["row"].to_list())
    ).sort("row")
    flagged = report.flagged.filter(pictured)
    names = report.dataset.class_names
    strips = [_strips(finding, flagged, normal, names) for finding in findings]
    images: dict[int, tuple[str, bool]] = {}
    left = _BUDGET
    for row in [
        *_turns([[shot.row for side in pair for shot in side] for pair in strips]),
        *listed,
    ]:
        jpeg = report.thumbnails.get(row)
        if jpeg is None or row in images:
            continue
        data = base64.b64encode(jpeg).decode("ascii")
        if len(data) <= left:
            left -= len(data)
            images[row] = (data, _is_small(jpeg))
    fitting = (
        (
            [shot for shot in ours if shot.row in images],
            [shot for shot in other if shot.row in images],
        )
        for ours, other in strips
    )
    return Pictures(images, tuple(fitting))


def _turns(queues: Sequence[Sequence[int]]) -> Iterator[int]:
    for turn in range(max(map(len, queues), default=0)):
        yield from (queue[turn] for queue in queues if turn < len(queue))


def _is_small(jpeg: bytes) -> bool:
    from PIL import Image

    with Image.open(BytesIO(jpeg), formats=["JPEG"]) as image:
        return max(image.size) <= _SMALL


def _strips(
    finding: Finding, flagged: pl.DataFrame, normal: pl.DataFrame, class_names: Sequence[str]
) -> tuple[list[Shot], list[Shot]]:
    """The finding's own samples, and others of its class, of those that have a picture."""
    named = members(flagged, finding).head(STRIP_FLAGGED)
    shots = [
        Shot(
            row=sample["row"],
            name=_name(sample),
            given=plain(sample["class_name"] or ""),
            suggested=suggested_name(sample["suggested_label"], class_names),
            score=sample["score"],
        )
        for sample in named.iter_rows(named=True)
    ]
    if finding.scope != "class" or finding.key is None:
        return shots, []
    others = normal.filter(pl.col("class_name") == pl.lit(finding.key)).head(STRIP_NORMAL)
    return shots, [
        Shot(sample["row"], _name(sample), plain(sample["class_name"]), "", None)
        for sample in others.iter_rows(named=True)
    ]


def _name(sample: Mapping[str, Any]) -> str:
    record = "" if sample["record"] is None else f" #{sample['record']}"
    return shorten(plain(sample["uri"]), 100) + record


def trigger_view(report: Report, finding: Finding) -> dict[str, str] | None:
    """Prepare the estimated trigger of a finding's group; None where none was estimated."""
    stamped = {"shortcut_stamped", "shortcut_any_stamped"} & {
        name for name, value in finding.evidence.items() if value is not None
    }
    drawn = report.triggers.get(finding.key) if stamped else None
    if drawn is None:
        return None
    replaced = f"; {drawn.opaque:.1%} of the pixels are replaced" if drawn.opaque else ""
    return {
        "pattern": base64.b64encode(drawn.pattern).decode("ascii"),
        "before": base64.b64encode(drawn.before).decode("ascii"),
        "after": base64.b64encode(drawn.after).decode("ascii"),
        "legend": f"change × {drawn.gain:.1f}; grey is none, lighter adds, darker takes{replaced}",
    }


def map_view(report: Report) -> dict[str, Any] | None:
    """Prepare the map: its points as JSON for the page's script, its legend and its words.

    Returns:
        None where the report has no map; otherwise the template's ``map``.
    """
    if report.map_points is None or not len(report.map_points[0]):
        return None
    points = _points(report)
    if not points.height:
        return None
    names = [shorten(plain(name), 40) for name in report.dataset.class_names]
    coloured = 1 < len(names) <= _PALETTE
    choices = list(enumerate(names)) if len(names) > 1 else []
    n_flagged = points.height - points["score"].null_count()
    said = f"{count(points.height, 'sample')}, {count(n_flagged)} of them flagged"
    return {
        "data": _embed(points, names, coloured),
        "choices": choices,
        "legend": choices if coloured else [],
        "note": said,
        "label": f"Map of {said}; the table of flagged samples lists them by name",
    }


def _points(report: Report) -> pl.DataFrame:
    """The map's points, flagged ones with a score: ``row, x, y, uri, record, label, score``."""
    assert report.map_points is not None
    rows, x, y = report.map_points
    ledger = report.samples.select("row", "uri", "record", "label")
    scores = report.flagged.select("row", pl.col("score").fill_null(0.0).cast(pl.Float64))
    place = {"row": rows, "x": np.asarray(x, np.float64), "y": np.asarray(y, np.float64)}
    return (
        pl.DataFrame(place, schema_overrides={"row": ledger.schema["row"]})
        .filter(pl.col("x").is_finite() & pl.col("y").is_finite())
        .join(ledger, on="row", how="left", maintain_order="left")
        .join(
            scores.cast({"row": ledger.schema["row"]}), on="row", how="left", maintain_order="left"
        )
        .sort("row")
    )


def _embed(points: pl.DataFrame, names: Sequence[str], coloured: bool) -> str:
    """Write the points as JSON that can stand inside a script element."""
    x, y = points["x"].to_numpy(), points["y"].to_numpy()
    span = max(float(np.ptp(x)), float(np.ptp(y)), 1e-9)
    uris = [shorten(plain(uri or ""), 100) for uri in points["uri"].to_list()]
    known = {uri: at for at, uri in enumerate(dict.fromkeys(uris))}
    data = {
        "x": np.rint(1000 * (x - x.min()) / span).astype(int).tolist(),
        "y": np.rint(1000 * (y.max() - y) / span).astype(int).tolist(),
        "width": max(1.0, 1000 * float(np.ptp(x)) / span),
        "height": max(1.0, 1000 * float(np.ptp(y)) / span),
        "row": points["row"].to_list(),
        "record": points["record"].to_list(),
        "label": points["label"].fill_null(-1).to_list(),
        "score": [None if s is None else round(s, 4) for s in points["score"].to_list()],
        "uri": [known[uri] for uri in uris],
        "uris": list(known),
        "names": names,
        "coloured": coloured,
    }
    text = dump(data, None).strip()
    # No `</script>` and no `<!--` may end or reopen the element that holds the text.
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
