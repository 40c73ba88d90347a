"""The ``auditor`` command: parse, call, render, exit; nothing else.

Heavy modules are imported inside the commands, so that ``auditor --help`` answers at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor import __version__
from auditor.cli.attest import attest, sbom, verify
from auditor.cli.bench import bench
from auditor.cli.manifest import hook, manifest_app
from auditor.cli.options import Colour
from auditor.cli.poison import attacks, poison
from auditor.cli.rules import explain, rules
from auditor.cli.scan import scan
from auditor.errors import AuditorError

if TYPE_CHECKING:
    from rich.console import Console


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


app.command()(scan)
app.command()(poison)
app.command()(attacks)
app.command()(rules)
app.command()(explain)
app.command()(bench)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where the demo is made.")] = Path("demo"),
    color: Annotated[Colour, typer.Option()] = Colour.auto,
) -> None:
    """Poison a bundled sample of digits, scan it and show the report: exit 0 when it is found."""
    from auditor.cli.demo import run_demo
    from auditor.cli.display import Display

    raise typer.Exit(run_demo(folder, Display(color.value, None, 0)))


app.add_typer(manifest_app)
app.command()(hook)
app.command()(attest)
app.command()(verify)
app.command()(sbom)


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
