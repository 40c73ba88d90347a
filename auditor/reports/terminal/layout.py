"""What the sections are built of: headings, insets, grids, items, colours."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

SEVERITY_STYLE = {
    "critical": "bold red",
    "high": "red",
    "medium": "yellow",
    "low": "cyan",
    "info": "dim",
}


def heading(text: str, note: str = "") -> RenderableType:
    """A section's title, and a few words on it; a line is left free above."""
    return Padding(
        Text.assemble((text, "bold"), (f"  {note}" if note else "", "dim")), (1, 0, 0, 0)
    )


def inset(content: RenderableType) -> RenderableType:
    """What stands below a heading."""
    return Padding(content, (0, 0, 0, 2), expand=False)


def grid(*columns: Mapping[str, object], gap: int = 2) -> Table:
    """A table without lines: options of each column, and the spaces between them."""
    table = Table.grid(padding=(0, gap, 0, 0), pad_edge=False)
    for column in columns:
        table.add_column(**column)  # type: ignore[arg-type]
    return table


def item(text: Text) -> RenderableType:
    """One entry of a list."""
    table = grid({"no_wrap": True}, {"overflow": "fold"}, gap=1)
    table.add_row(Text("·", "dim"), text)
    return inset(table)
