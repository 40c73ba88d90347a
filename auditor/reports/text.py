"""How untrusted text and numbers are shown: one line, nothing invisible, nothing obeyed.

File names, labels and metadata come from the dataset, so from whoever made it. Before any of
them is displayed, every character that is not plainly printable (control and escape codes,
line breaks, bidirectional and zero-width controls, lone surrogates) becomes its visible escape.
"""

from __future__ import annotations

import math

ELLIPSIS = "…"
LONGEST_MESSAGE = 600
"""Characters of a message that are shown; a class name may be as long as its author liked."""

# The GitHub Actions runner obeys a line of output that starts with `::name` and, in its older
# form, any line that holds `##[name]` (actions/runner, ActionCommand.cs). Our own text uses
# neither, so breaking both up everywhere costs nothing and survives any later line wrapping.
_COMMAND_MARKS = (("::", ":\\x3a"), ("##[", "##\\x5b"))


def plain(text: str) -> str:
    r"""Make untrusted text safe to print on one line.

    Printable characters stay as they are; the others become ``\n``, ``\x1b``, ``\u202e`` …

    Args:
        text: any string, lone surrogates included.

    Returns:
        A string of printable characters in which no workflow command can start.
    """
    if not text.isprintable():
        text = "".join(c if c.isprintable() else _escape(c) for c in text)
    for mark, broken in _COMMAND_MARKS:
        text = text.replace(mark, broken)
    return text


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def prose(text: str) -> str:
    """Make a message one safe paragraph: line breaks become spaces, its length is capped."""
    return shorten_end(plain(" ".join(text.split())), LONGEST_MESSAGE)


def shorten(text: str, width: int) -> str:
    """Cut the middle out of ``text`` so that it fits ``width``; the end (a file's name) stays."""
    if len(text) <= width:
        return text
    if width <= 1:
        return ELLIPSIS[:width]
    tail = min(len(text), (width - 1) * 2 // 3)
    head = width - 1 - tail
    return f"{text[:head]}{ELLIPSIS}{text[len(text) - tail :]}"


def shorten_end(text: str, width: int) -> str:
    """Cut the end off ``text`` so that it fits ``width``."""
    return text if len(text) <= width else text[: max(0, width - 1)] + ELLIPSIS


def count(number: int, singular: str = "", plural: str = "") -> str:
    """Write a number with thousands separators, and its noun in the right form."""
    if not singular:
        return f"{number:,}"
    noun = singular if number == 1 else plural or f"{singular}s"
    return f"{number:,} {noun}"


def percent(part: int, whole: int) -> str:
    """Write ``part`` of ``whole`` as a percentage; never rounds something to nothing or to all."""
    if whole <= 0:
        return "–"
    share = 100 * part / whole
    if part == 0 or part == whole:
        return f"{share:.0f} %"
    if share < 0.01:
        return "<0.01 %"
    digits = 2 if share < 1 else 1
    if round(share, 1) >= 100:
        return ">99.9 %"
    return f"{share:.{digits}f} %"


def bar_length(part: int, whole: int) -> int:
    """Length of a bar, 0–1000; what is there at all stays visible."""
    return 0 if not part or not whole else min(1000, max(4, round(1000 * part / whole)))


def measure(value: object) -> str:
    """Write one evidence value: four significant digits, ``–`` where nothing was evaluated."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if not math.isfinite(value):
            return "–"
        if value.is_integer() and abs(value) < 1e15:
            return f"{int(value):,}"
        return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return prose(str(value))


def duration(seconds: float) -> str:
    """Write a duration in the unit that a reader would choose."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"
