"""The ``auditor`` command: parse, call, render, exit; nothing else.

Heavy modules are imported inside the commands, so that ``auditor --help`` answers at once.
"""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from auditor import __version__
from auditor.cli.bench import bench
from auditor.errors import AuditorError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from auditor.cli.display import Display
    from auditor.records import Rule
    from auditor.report import Report

app = typer.Typer(
    name="auditor",
    help="Can this dataset be trusted? Finds poisoned samples, backdoor triggers, wrong labels "
    "and unreadable files before you train.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Level(StrEnum):
    """Severities, as the command line takes them."""

    info = "info"
    low = "low"
    medium = "medium"
    high = "high"
    critical = "critical"


class Surety(StrEnum):
    """Confidences, as the command line takes them."""

    low = "low"
    medium = "medium"
    high = "high"


class Colour(StrEnum):
    """When to colour."""

    auto = "auto"
    always = "always"
    never = "never"


class Profile(StrEnum):
    """How much work a scan may do."""

    fast = "fast"
    default = "default"


class Device(StrEnum):
    """Where the reference network runs."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


def _version(value: bool) -> None:
    if value:
        typer.echo(f"auditor {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


@app.command()
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
        Profile | None, typer.Option(help="'fast' trains no network.  [default: default]")
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
    from auditor.scanning import keep_outside
    from auditor.scanning import scan as run

    display = Display(color.value, progress, -1 if quiet else int(verbose))
    outputs = [_parse_output(item) for item in output or ["terminal"]]
    overrides: dict[str, Any] = {
        "fail_on": fail_on, "min_confidence": min_confidence, "select": select, "ignore": ignore,
        "allow_refused": allow_refused, "image": image, "label": label, "source": source,
        "model": model, "profile": profile, "device": device, "seed": seed, "workers": workers,
        "sample": sample,
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
    result.save(report)
    _emit(result, outputs, display, report)
    raise typer.Exit(result.exit_code)


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


def _emit(report: Report, outputs: list[tuple[str, Path | None]], display: Display,
          folder: Path) -> None:  # fmt: skip
    from auditor.reports import FORMATS, write_report

    renderers = {known.id: known.render for known in FORMATS}
    for name, path in outputs:
        if path is not None:
            write_report(report, name, path)
        elif name == "terminal":
            display.show(report, folder)
        else:
            sys.stdout.write(renderers[name](report))
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary and os.environ.get("GITHUB_ACTIONS") == "true":
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(renderers["markdown"](report))
        if all(name != "github" for name, _ in outputs):
            sys.stderr.write(renderers["github"](report))


@app.command()
def poison(
    dataset: Annotated[Path, typer.Argument(help="The clean dataset; it is only read.")],
    out: Annotated[Path, typer.Argument(help="The poisoned copy; must not exist.")],
    attack: Annotated[str, typer.Option(help="See `auditor attacks`.")],
    rate: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Poisoned samples ÷ all samples, 0–1.")
    ],
    target: Annotated[str | None, typer.Option(help="Class the poison points to.")] = None,
    source_class: Annotated[
        str | None, typer.Option(help="Poison samples of this class only.")
    ] = None,
    param: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Attack parameter; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    progress: Annotated[bool | None, typer.Option("--progress/--no-progress")] = None,
    color: Annotated[Colour, typer.Option()] = Colour.auto,
) -> None:
    """Write a poisoned copy of a dataset, with OUT.truth.parquet and OUT.recipe.json beside it."""
    from auditor.cli.display import Display
    from auditor.interfaces import PoisonPlan
    from auditor.poisoning import poison as run

    display = Display(color.value, progress, 0)
    plan = PoisonPlan(dataset, out, attack, rate, target, source_class, _params(param), seed)
    with display.stage("Poisoning a copy") as advance:
        result = run(plan, advance)
    display.say(
        f"{result.n_poisoned:,} of {result.n_samples:,} samples poisoned with {result.attack}"
        + (f" towards {result.target}" if result.target else "")
        + f"\ncopy    {result.out}\ntruth   {result.truth}\nrecipe  {result.recipe}"
    )


def _params(items: list[str] | None) -> dict[str, str]:
    pairs = [item.partition("=") for item in items or []]
    for item, (name, equals, _) in zip(items or [], pairs, strict=True):
        if not equals or not name:
            raise UsageError(f"--param {item!r}: expected KEY=VALUE, such as --param side=5")
    return {name: value for name, _, value in pairs}


@app.command()
def attacks(color: Annotated[Colour, typer.Option()] = Colour.auto) -> None:
    """List the bundled attacks with their parameters and citations."""
    from auditor.attacks import ATTACKS
    from auditor.cli.display import Display

    display = Display(color.value, False, 0)
    for known in ATTACKS:
        params = " ".join(f"{name}={value}" for name, value in known.params.items())
        display.entry(known.id, known.title, params, known.citation)


@app.command()
def rules(color: Annotated[Colour, typer.Option()] = Colour.auto) -> None:
    """List every rule: id, severity, confidence, title."""
    from auditor.cli.display import Display
    from auditor.ruleset import load_rules

    Display(color.value, False, 0).rules(load_rules())


@app.command()
def explain(
    rule: Annotated[str, typer.Argument(help="A rule's id, such as BKD001.")],
    color: Annotated[Colour, typer.Option()] = Colour.auto,
) -> None:
    """Explain a rule: what it says, on what evidence, why it matters, what to do."""
    from auditor.cli.display import Display

    Display(color.value, False, 0).explain(_find_rule(rule))


def _find_rule(name: str) -> Rule:
    from difflib import get_close_matches

    from auditor.ruleset import load_rules

    known = {rule.id: rule for rule in load_rules()}
    if name.upper() in known:
        return known[name.upper()]
    close = get_close_matches(name.upper(), known, 3)
    hint = f"did you mean {' or '.join(close)}?" if close else "see `auditor rules`"
    raise UsageError(f"rule {name!r}: no such rule; {hint}")


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where the demo is made.")] = Path("demo"),
    color: Annotated[Colour, typer.Option()] = Colour.auto,
) -> None:
    """Poison a bundled sample of digits, scan it and show the report: exit 0 when it is found."""
    from auditor.cli.demo import run_demo
    from auditor.cli.display import Display

    raise typer.Exit(run_demo(folder, Display(color.value, None, 0)))


app.command()(bench)


def _warn(console: Console, error: AuditorError) -> None:
    from rich.text import Text

    from auditor.reports.text import prose

    console.print(Text.assemble(("error: ", "bold red"), prose(str(error))), soft_wrap=True)


def main() -> None:
    """Entry point: turns errors into messages and exit codes."""
    try:
        app()
    except AuditorError as error:
        from rich.console import Console

        _warn(Console(stderr=True), error)
        sys.exit(error.exit_code)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException:  # noqa: BLE001 - Python's own exit code 1 would say "findings"
        import traceback

        traceback.print_exc()
        sys.stderr.write("error: this is a bug in auditor; please report it with the lines above\n")
        sys.exit(4)
