from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from auditor.report import Report
from auditor.reports import print_report
from auditor.reports.terminal import render

Make = dict[str, Callable[[], Report]]
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def shown(report: Report, width: int = 80, verbosity: int = 0, **options: object) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, **{"color_system": None, **options})
    print_report(report, console, verbosity, Path("auditor-report"))
    return file.getvalue()


@pytest.mark.parametrize("width", [40, 80, 120, 200])
@pytest.mark.parametrize("verbosity", [-1, 0, 1])
def test_fits_and_is_tidy(report: Report, width: int, verbosity: int) -> None:
    text = shown(report, width, verbosity)
    for line in text.splitlines():
        assert cell_len(line) <= width
        assert line == line.rstrip()
        assert line.isprintable()


def test_verdict_comes_first(report: Report) -> None:
    word = {"pass": "PASS", "fail": "FAIL", "incomplete": "INCOMPLETE"}[report.verdict]
    assert shown(report).startswith(word + "  ")


def test_says_everything_that_matters(make: Make) -> None:
    text = shown(make["poisoned"](), 100)
    for said in (
        "A trigger predicts the label (class class0)",
        "8 of 40 samples flagged (20.0 %)",
        "discovered   40",
        "Findings  1 critical · 1 medium · 1 info",
        "class class0 · 6 samples",
        "do: Remove the flagged samples",
        "predicted by pixels alone",
        "class1 → class3",
        "Warping triggers",
        "auditor explain BKD001",
        "auditor-report/report.html",
        "auditor-report/flagged.parquet",
    ):
        assert said in text
    assert text.index("BKD001") < text.index("LBL001") < text.index("DUP001")


def test_incomplete_names_what_is_missing(make: Make) -> None:
    text = shown(make["incomplete"]())
    assert "2 of 42 samples could not be read and detector spectral failed" in " ".join(
        text.split()
    )
    assert "truncated 1" in text
    assert "LinAlgError" in text
    assert "--allow-refused 2" in text


def test_quiet_is_the_verdict_and_a_line_a_finding(make: Make) -> None:
    lines = shown(make["poisoned"](), 100, verbosity=-1).splitlines()
    assert len(lines) == 4
    assert lines[1].startswith("critical  BKD001")


def test_verbose_adds_detectors_and_evidence(make: Make) -> None:
    text = shown(make["poisoned"](), 100, verbosity=1)
    assert "shortcut_separation 21.35" in text
    assert "needs two classes" in text
    assert "time: read 500 ms" in text


def test_many_findings_and_classes_stay_short(make: Make) -> None:
    report = make["many_classes"]()
    text = shown(report)
    assert len(text.splitlines()) < 140
    assert "and 138 critical BKD001" in text
    assert "12 of 200, most flagged" in text
    assert shown(report, verbosity=1).count("  critical  BKD001") == 150


def test_ascii_console_gets_ascii(make: Make) -> None:
    for kind in ("poisoned", "hostile"):
        file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        print_report(make[kind](), Console(file=file, width=80, color_system=None))
        file.flush()
        assert "####" in file.buffer.getvalue().decode("ascii")


def test_colour_changes_nothing_but_colour(report: Report) -> None:
    coloured = shown(report, color_system="standard", force_terminal=True, no_color=False)
    assert ANSI.search(coloured)
    assert ANSI.sub("", coloured).split() == shown(report).split()
    assert "\x1b" not in ANSI.sub("", coloured)


def test_hostile_names_neither_paint_nor_command(make: Make) -> None:
    for verbosity in (-1, 0, 1):
        text = shown(make["hostile"](), 60, verbosity)
        assert "\x1b" not in text
        assert "[red]markup[/red]" in text
        assert "##[" not in text
        assert not [line for line in text.splitlines() if line.strip().startswith("::")]


def test_file_rendering_is_plain_and_stable(make: Make, golden: Callable[[str, str], None]) -> None:
    for kind in ("clean", "poisoned", "incomplete"):
        golden(f"report-{kind}.txt", render(make[kind]()))
