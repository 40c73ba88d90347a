"""Recall by rate as an SVG: one small panel an attack, all on the same axes.

Nothing is told by colour alone: a filled mark is a right verdict, an open one a wrong verdict.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from auditor.benching.running import Outcome
from auditor.benching.scoring import wilson

COLUMNS = 4
WIDTH, HEIGHT = 230, 170
LEFT, TOP, RIGHT, BOTTOM = 38, 26, 12, 32
"""Pixels of a panel and its margins."""

INK, FAINT, BLUE = "#1b1f24", "#c9ced6", "#0072b2"
"""Blue of Okabe and Ito's palette (2008), which colour-blind readers see apart from grey."""

STYLE = (
    "text{font:11px system-ui,sans-serif;fill:#1b1f24}.t{font-weight:600}.s{fill:#5a6472}"
    "@media(prefers-color-scheme:dark){svg{background:#fff}}"
)

Point = tuple[float, int, int, int, int]
"""Rate, poisoned samples found, poisoned samples, right verdicts, runs."""


def draw_curves(outcomes: Sequence[Outcome]) -> str:
    """The picture as SVG text; an empty one says that nothing was poisoned.

    A point is the recall over all runs at a rate, with its Wilson 95 % interval.
    """
    panels = _panels(outcomes)
    if not panels:
        return svg_document(WIDTH, 40, [svg_text(12, 24, "No poisoned case was scored", "s")])
    rates = [point[0] for points in panels.values() for point in points]
    # A margin keeps marks off the axis; one rate alone gets a whole decade around it.
    low, high = math.log10(min(rates)) - 0.1, math.log10(max(rates)) + 0.1
    if high - low < 1.0:
        low, high = (low + high) / 2 - 0.6, (low + high) / 2 + 0.6
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    parts = []
    for i, (title, points) in enumerate(panels.items()):
        x, y = WIDTH * (i % columns), HEIGHT * (i // columns) + 24
        parts.append(f'<g transform="translate({x} {y})">')
        parts += _panel(title, points, low, high)
        parts.append("</g>")
    head = svg_text(12, 16, "Recall at the shipped thresholds, by poison rate "
                 "(filled: verdict right, open: wrong; bars: 95 % interval)", "t")  # fmt: skip
    return svg_document(max(WIDTH * columns, 560), HEIGHT * rows + 34, [head, *parts])


def _panels(outcomes: Sequence[Outcome]) -> dict[str, list[Point]]:
    sums: dict[tuple[str, float], list[int]] = {}
    for outcome in outcomes:
        score = outcome.score
        if score is None or not score.n_poisoned:
            continue
        title = f"{outcome.case.variant} · {outcome.case.profile}"
        entry = sums.setdefault((title, outcome.case.rate), [0, 0, 0, 0])
        for i, value in enumerate((score.found["any"], score.n_poisoned, int(score.right), 1)):
            entry[i] += value
    panels: dict[str, list[Point]] = {}
    for (title, rate), (found, poisoned, right, runs) in sorted(sums.items()):
        panels.setdefault(title, []).append((rate, found, poisoned, right, runs))
    return panels


def _panel(title: str, points: list[Point], low: float, high: float) -> list[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def across(rate: float) -> float:
        return LEFT + (math.log10(rate) - low) / (high - low) * (right - LEFT)

    def down(share: float) -> float:
        return bottom - share * (bottom - TOP)

    parts = [f"<title>{escape(title)}</title>", svg_text(LEFT, TOP - 9, title, "t")]
    for share in (0.0, 0.5, 1.0):
        parts.append(svg_line(LEFT, down(share), right, down(share), FAINT))
        parts.append(svg_text(LEFT - 5, down(share) + 4, f"{share:.0%}", "s", "end"))
    for exponent in range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1):
        x = across(10.0**exponent)
        parts.append(svg_line(x, bottom, x, bottom + 4, INK))
        label = f"{10.0**exponent:.4%}".rstrip("0%").rstrip(".") + " %"
        parts.append(svg_text(x, bottom + 16, label, "s", "middle"))
    path = " ".join(f"{across(p[0]):.1f},{down(p[1] / p[2]):.1f}" for p in points)
    parts.append(f'<polyline points="{path}" fill="none" stroke="{BLUE}" stroke-width="1.5"/>')
    for rate, found, poisoned, correct, runs in points:
        x, y = across(rate), down(found / poisoned)
        ends = [down(end) for end in wilson(found, poisoned)]
        parts.append(svg_line(x, ends[0], x, ends[1], BLUE))
        fill = BLUE if correct == runs else "#fff"
        said = f"rate {rate:g}: {found} of {poisoned} found, verdict right in {correct} of {runs}"
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{fill}" stroke="{BLUE}" '
                     f'stroke-width="1.5"><title>{escape(said)}</title></circle>')  # fmt: skip
    return parts


def svg_text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    """A text; ``kind`` is a class of `STYLE`: ``t`` a title, ``s`` small and grey."""
    return (f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">'
            f"{escape(text)}</text>")  # fmt: skip


def svg_line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    """A straight line."""
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'stroke="{colour}"/>')  # fmt: skip


def svg_document(width: float, height: float, parts: Sequence[str]) -> str:
    """A whole picture, on white."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width:.0f} '
        f'{height:.0f}" width="{width:.0f}" height="{height:.0f}"><style>{STYLE}</style>'
        f'<rect width="100%" height="100%" fill="#fff"/>' + "".join(parts) + "</svg>\n"
    )
