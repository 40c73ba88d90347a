"""``auditor scan``: the product."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from auditor.cli.options import Colour, Device, Level, Profile, Surety
from auditor.errors import UsageError

if TYPE_CHECKING:
    from auditor.cli.display import Display
    from auditor.config import Config
    from auditor.report import Report


def scan(
    dataset: Annotated[
        Path, typer.Argument(help="A folder of images, a Parquet file, or a folder of shards.")
    ],
    output: Annotated[
        list[str] | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FORMAT[=PATH]",
            help="terminal, json, parquet, html, sarif, junit, github or markdown; repeatable. "
            "Without a path it goes to standard output.",
        ),
    ] = None,
    report: Annotated[
        Path,
        typer.Option(
            help="Folder for report.json, flagged.parquet, evidence.parquet and report.html."
        ),
    ] = Path("auditor-report"),
    fail_on: Annotated[
        Level | None, typer.Option(help="Exit 1 from this severity on.  [default: high]")
    ] = None,
    min_confidence: Annotated[
        Surety | None, typer.Option(help="Leave out findings below it.  [default: low]")
    ] = None,
    select: Annotated[
        list[str] | None, typer.Option(help="Only rules whose id starts with this; repeatable.")
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(help="No rules whose id starts with this; repeatable.")
    ] = None,
    allow_refused: Annotated[
        str | None,
        typer.Option(
            metavar="N|FRACTION",
            help="Refused samples that still let a scan pass, such as 10 or 0.01.  [default: 0]",
        ),
    ] = None,
    image: Annotated[str | None, typer.Option(help="Column that holds the images.")] = None,
    label: Annotated[str | None, typer.Option(help="Column that holds the labels.")] = None,
    source: Annotated[str | None, typer.Option(help="Column that says who supplied it.")] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="'self' trains a small network on the dataset; or a backbone's name or "
            "path.  [default: self]"
        ),
    ] = None,
    profile: Annotated[
        Profile | None,
        typer.Option(
            help="'fast' trains no network; 'thorough' also trains one on the whole dataset.  "
            "[default: default]"
        ),
    ] = None,
    device: Annotated[Device | None, typer.Option(help="[default: auto]")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="[default: 0]")] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Decoding processes.  [default: one a CPU]")
    ] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Scan only N samples, drawn by the seed.")
    ] = None,
    cache_dir: Annotated[
        Path | None, typer.Option(help="Where features are kept between scans.")
    ] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Keep nothing.")] = False,
    baseline: Annotated[
        Path | None,
        typer.Option(help="An accepted report or manifest: judge only what is new since."),
    ] = None,
    suppressions: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Findings that somebody accepted.")
    ] = None,
    power: Annotated[
        bool,
        typer.Option(
            "--with-power",
            help="Also measure how much poison would have been caught, "
            "by planting some in copies of cuts; takes minutes.",
        ),
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline/--online", help="Never touch the network.")
    ] = True,
    config: Annotated[
        Path | None, typer.Option(help="Configuration file.  [default: auditor.toml]")
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Verdict and findings.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Also evidence.")] = False,
    progress: Annotated[
        bool | None,
        typer.Option("--progress/--no-progress", help="[default: when on a terminal]"),
    ] = None,
    color: Annotated[Colour, typer.Option(help="When to colour.")] = Colour.auto,
) -> None:
    """Scan a dataset: exit 0 pass, 1 findings, 2 usage, 3 nothing to scan, 4 incomplete."""
    from auditor.cli.display import Display
    from auditor.config import ignored_config, load_config
    from auditor.readers.outside import keep_outside
    from auditor.scanning import scan as run

    display = Display(color.value, progress, -1 if quiet else int(verbose))
    outputs = [_parse_output(item) for item in output or ["terminal"]]
    overrides: dict[str, Any] = {
        "fail_on": fail_on, "min_confidence": min_confidence, "select": select, "ignore": ignore,
        "allow_refused": allow_refused, "image": image, "label": label, "source": source,
        "model": model, "profile": profile, "device": device, "seed": seed, "workers": workers,
        "sample": sample,
        "baseline": None if baseline is None else str(baseline),
        "suppressions": None if suppressions is None else str(suppressions),
        "cache_dir": None if cache_dir is None else str(cache_dir), "no_cache": no_cache or None,
        "offline": None if offline else False,
    }  # fmt: skip
    settings = load_config(dataset, config, overrides)
    keep_outside(report, dataset, "--report")
    for _, path in outputs:
        if path is not None:
            keep_outside(path, dataset, "--output")
    _mention_ignored(ignored_config(dataset, config), display)
    result = run(dataset, config=settings, observer=display)
    if power:
        result = _with_power(result, dataset, settings, display)
    result.save(report)
    _emit(result, outputs, display, report)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        _tell_github(result, outputs)
    raise typer.Exit(result.exit_code)


def _with_power(report: Report, dataset: Path, settings: Config, display: Display) -> Report:
    from auditor.benching.attaching import with_power

    with display.stage("Measuring power") as advance:
        return with_power(report, dataset, settings, lambda _, done, total: advance(done, total))


def _parse_output(text: str) -> tuple[str, Path | None]:
    from auditor.reports import FORMAT_IDS

    name, _, path = text.partition("=")
    if name not in FORMAT_IDS:
        raise UsageError(
            f"--output {text!r}: unknown format; expected one of {', '.join(FORMAT_IDS)}"
        )
    if name == "parquet" and not path:
        raise UsageError("--output parquet: needs a path, as in --output parquet=flagged.parquet")
    return name, Path(path) if path else None


def _mention_ignored(file: Path | None, display: Display) -> None:
    if file is not None:
        display.warn(f"{file} lies with the dataset and is not obeyed; name it with --config")


def _emit(
    report: Report, outputs: Sequence[tuple[str, Path | None]], display: Display, folder: Path
) -> None:
    """Write or print the report in every format that was asked for."""
    from auditor.reports import render, write_report

    for name, path in outputs:
        if path is not None:
            write_report(report, name, path)
        elif name == "terminal":
            display.show(report, folder)
        else:
            sys.stdout.write(render(report, name))


def _tell_github(report: Report, outputs: Sequence[tuple[str, Path | None]]) -> None:
    """Fill the job's summary where it has one, and annotate unless that was asked for already."""
    from auditor.reports import render

    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if not summary:
        return
    with Path(summary).open("a", encoding="utf-8") as file:
        file.write(render(report, "markdown"))
    if all(name != "github" for name, _ in outputs):
        sys.stderr.write(render(report, "github"))
