"""How often p was at most α, as an SVG: a small panel a gate, the diagonal is the promise."""

from __future__ import annotations

import math
from html import escape

import polars as pl

from auditor.benching.picture import (
    BLUE,
    BOTTOM,
    FAINT,
    HEIGHT,
    INK,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    svg_document,
    svg_line,
    svg_text,
)

COLUMNS = 4
LEAST = 0.004
"""Where an axis begins; a share of none is drawn there, open."""

TICKS = (0.01, 0.1, 1.0)


def draw_reliability(tested: pl.DataFrame) -> str:
    """The picture of a reliability table: ``gate, alpha, draws, hits, share, low, high``."""
    gates = tested["gate"].unique(maintain_order=True).to_list()
    gates.sort(key=lambda gate: gate == "all gates")
    draws = tested["draws"].max()
    parts = [
        svg_text(
            12, 16, f"Share of {draws} clean and mislabelled draws with p at most α "
            "(bars: 95 % interval; open: none; line: the promise)", "t",
        )
    ]  # fmt: skip
    for i, gate in enumerate(gates):
        x, y = WIDTH * (i % COLUMNS), HEIGHT * (i // COLUMNS) + 24
        parts.append(f'<g transform="translate({x} {y})">')
        parts += _panel(gate, tested.filter(pl.col("gate") == gate))
        parts.append("</g>")
    rows = -(-len(gates) // COLUMNS)
    return svg_document(WIDTH * COLUMNS, HEIGHT * rows + 34, parts)


def _across(value: float) -> float:
    return LEFT + _place(value) * (WIDTH - RIGHT - LEFT)


def _down(value: float) -> float:
    return HEIGHT - BOTTOM - _place(value) * (HEIGHT - BOTTOM - TOP)


def _place(value: float) -> float:
    return 1 - math.log(max(value, LEAST)) / math.log(LEAST)


def _panel(gate: str, points: pl.DataFrame) -> list[str]:
    parts = [f"<title>{escape(gate)}</title>", svg_text(LEFT, TOP - 9, gate, "t")]
    for tick in TICKS:
        x, y = _across(tick), _down(tick)
        parts.append(svg_line(_across(LEAST), y, _across(1), y, FAINT))
        parts.append(svg_text(LEFT - 5, y + 4, f"{tick:.0%}", "s", "end"))
        parts.append(svg_line(x, _down(LEAST), x, _down(LEAST) + 4, INK))
        parts.append(svg_text(x, _down(LEAST) + 16, f"{tick:.0%}", "s", "middle"))
    parts.append(svg_line(_across(LEAST), _down(LEAST), _across(1), _down(1), INK))
    for point in points.iter_rows(named=True):
        x, y = _across(point["alpha"]), _down(point["share"])
        parts.append(svg_line(x, _down(point["low"]), x, _down(point["high"]), BLUE))
        fill = BLUE if point["hits"] else "#fff"
        said = f"α {point['alpha']:g}: {point['hits']} of {point['draws']} draws"
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{fill}" stroke="{BLUE}" '
                     f'stroke-width="1.5"><title>{escape(said)}</title></circle>')  # fmt: skip
    return parts
