"""Names that a reader or a file system takes for one another."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable

import polars as pl

from auditor.interfaces import Evidence, FileCheck
from auditor.provenance.naming import name_some

_PAIRS = (
    "а=a в=b с=c ԁ=d е=e һ=h і=i ј=j ӏ=l о=o р=p ԛ=q ѕ=s ѵ=v ԝ=w х=x у=y ү=y "
    "А=A В=B С=C Е=E Н=H І=I Ј=J К=K М=M О=O Р=P Ѕ=S Т=T Ѵ=V Ԝ=W Х=X У=Y Ү=Y "
    "α=a ϲ=c ι=i ο=o ρ=p ν=v υ=u κ=k "
    "Α=A Β=B Ε=E Ζ=Z Η=H Ι=I Κ=K Μ=M Ν=N Ο=O Ρ=P Τ=T Υ=Y Χ=X Ϲ=C "
    "օ=o ս=u հ=h ո=n ց=g զ=q ı=i ɡ=g ɑ=a ɩ=i"
)

LOOKALIKES = {ord(pair[0]): pair[2] for pair in _PAIRS.split()}
"""Letters of Cyrillic, Greek, Armenian and others that are drawn like Latin ones, from Unicode
TS #39 (``confusables.txt``); compatibility forms are folded by NFKC before."""

INVISIBLE = frozenset({"Cf", "Cc", "Zl", "Zp"})
"""Unicode categories that show nothing: formatting (bidirectional and zero-width controls among
them), control characters, line and paragraph separators."""


def measure(inventory: pl.DataFrame, samples: pl.DataFrame) -> Evidence:
    """Compare names of files and classes.

    Returns:
        ``dataset``: ``names_n_case`` (files whose paths differ in case alone), ``names_n_unicode``
        (in Unicode normalisation alone), ``names_n_confusable`` (classes drawn like another one),
        ``names_n_invisible`` (files and classes with characters that show nothing), each with
        examples in ``names_case`` …
    """
    uris = pl.concat([samples["uri"], inventory["uri"]]).drop_nulls().unique().sort()
    classes = samples["class_name"].drop_nulls().unique().sort().to_list()
    # Only names beyond ASCII can differ in normalisation or hide characters, and most have none.
    foreign = uris.filter(~uris.str.contains(r"^[\x20-\x7e]*$")).to_list()
    groups = {
        "case": _collisions(_shared_when_lowered(uris), str.casefold),
        "unicode": _collisions(foreign, lambda name: unicodedata.normalize("NFC", name)),
        "confusable": _collisions(classes, skeleton),
        "invisible": [name for name in [*foreign, *classes] if hides(name)],
    }
    found: dict[str, list[int | str | None]] = {}
    for name, members in groups.items():
        found[f"names_n_{name}"] = [len(set(members))]
        found[f"names_{name}"] = [name_some(pl.Series(members, dtype=pl.String))]
    texts = {f"names_{name}": pl.String for name in groups}
    return {"dataset": pl.DataFrame(found, schema_overrides=texts)}


def _shared_when_lowered(uris: pl.Series) -> list[str]:
    """The few names that others may equal without regard to case, found in one pass."""
    return uris.filter(uris.str.to_lowercase().is_duplicated()).to_list()


def _collisions(names: Iterable[str], fold: Callable[[str], str]) -> list[str]:
    """Names that another one equals once folded."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[fold(name)].append(name)
    return [name for group in groups.values() if len(group) > 1 for name in group]


def skeleton(name: str) -> str:
    """What a name looks like. Plain ASCII looks like itself: ``l`` and ``1`` may be two classes.

    Source: Unicode TS #39 §4, with the letters of `LOOKALIKES`.
    """
    visible = "".join(c for c in name if not hides(c))
    folded = unicodedata.normalize("NFKC", visible).translate(LOOKALIKES)
    return " ".join(folded.split())


def hides(name: str) -> bool:
    """Whether a name has characters that show nothing, or turn the direction of what follows."""
    return any(
        unicodedata.category(c) in INVISIBLE and not _joins(name, place)
        for place, c in enumerate(name)
    )


def _joins(name: str, place: int) -> bool:
    """A zero-width (non-)joiner between letters beyond Latin belongs to many scripts' spelling."""
    around = name[place - 1 : place] + name[place + 1 : place + 2]
    return (
        name[place] in "\u200c\u200d" and len(around) == 2 and all(ord(c) > 0x590 for c in around)
    )


NAMES = FileCheck("names", "1", "Names that are taken for others", measure)
