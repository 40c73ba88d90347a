"""``auditor bench``: what this tool would have caught, measured on the user's own data."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.cli.bench_results import line, show
from auditor.cli.options import Colour, Profile, parse_params

if TYPE_CHECKING:
    from auditor.benching.results import BenchResult
    from auditor.benching.running import Outcome
    from auditor.cli.display import Display


class SuiteName(StrEnum):
    """The suites, as the command line takes them."""

    quick = "quick"
    standard = "standard"
    clean = "clean"
    power = "power"
    implant = "implant"


BASELINE = Path("benchmarks/recall.csv")

FAILED = 4
"""Exit code where a case broke: nothing is known of it."""


def bench(
    dataset: Annotated[
        Path | None,
        typer.Argument(help="A clean dataset; it is only read.  [default: bundled digits]"),
    ] = None,
    suite: Annotated[
        SuiteName,
        typer.Option(
            help="quick: a few attacks; standard: all of them; clean: false alarms; "
            "power: how much poison it takes to be caught; "
            "implant: whether attacks work."
        ),
    ] = SuiteName.quick,
    attack: Annotated[
        list[str] | None,
        typer.Option(help="Only this attack of the suite, or with --rate any attack; repeatable."),
    ] = None,
    rate: Annotated[
        list[float] | None,
        typer.Option(min=0.0, max=1.0, help="Poisoned samples ÷ all samples; repeatable."),
    ] = None,
    seed: Annotated[
        list[int] | None,
        typer.Option(min=0, help="Of cuts and attacks; repeatable.  [default: 0]"),
    ] = None,
    param: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Attack parameter; repeatable.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="Class the poison points to.")] = None,
    source_class: Annotated[
        str | None, typer.Option(help="Poison samples of this class only.")
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Samples of a cut.  "
            "[default: the suite's: 5,000 or 10,000, at most what there is]",
        ),
    ] = None,
    profile: Annotated[
        Profile | None, typer.Option(help="Of the scans.  [default: the suite's]")
    ] = None,
    victim_epochs: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Train a network on the whole copy and ask it whether the attack "
            "works; 0 asks the scan's.  [default: the suite's]",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    out: Annotated[
        Path, typer.Option(help="Folder for results; finished cases in it are not run again.")
    ] = Path("auditor-bench"),
    keep_features: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Keep the scans' features: a changed detector is then "
            "measured again without decoding or training. 50 MB for 10,000 samples.",
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Cases at a time.")] = 1,
    image: Annotated[str | None, typer.Option(help="Column that holds the images.")] = None,
    label: Annotated[str | None, typer.Option(help="Column that holds the labels.")] = None,
    source: Annotated[str | None, typer.Option(help="Column that says who supplied it.")] = None,
    check: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Exit 1 where recall fell below this baseline or a clean run alarmed.",
        ),
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help=f"Write the baseline: --check's, or {BASELINE}.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No line for each case.")] = False,
    color: Annotated[Colour, typer.Option(help="When to colour.")] = Colour.auto,
) -> None:
    """Poison cuts of a dataset, scan each as `auditor scan` does, and measure what was caught.

    Exit 0; 1 where --check finds a loss; 2 usage; 4 where a case broke.
    """
    from auditor.benching import harness
    from auditor.cli.display import Display
    from auditor.readers import Columns

    display = Display(color.value, False, 0)

    def hear(outcome: Outcome, done: int, total: int) -> None:
        if not quiet:
            display.err.print(line(outcome, done, total), soft_wrap=True, markup=False)

    result = harness.bench(
        dataset,
        suite=suite.value,
        attacks=attack or (),
        rates=rate or (),
        seeds=seed or (0,),
        params=parse_params(param),
        target=target,
        source_class=source_class,
        size=size,
        profile=profile.value if profile else None,
        victim_epochs=victim_epochs,
        out=out,
        jobs=jobs,
        device=device,
        columns=Columns(image, label, source),
        features=keep_features,
        hear=hear,
    )
    result.save(out)
    show(result, display, out)
    losses = _hold_to_baseline(result, check, update, display)
    raise typer.Exit(1 if losses else FAILED if result.failed else 0)


def _hold_to_baseline(
    result: BenchResult, check: Path | None, update: bool, display: Display
) -> Sequence[str]:
    """Write the baseline, or compare with it; what got worse."""
    from auditor.benching import baseline

    if update:
        baseline.update(check or BASELINE, result)
        display.say(f"baseline   {check or BASELINE} written")
        return ()
    if check is None:
        return ()
    losses = baseline.check(check, result)
    for loss in losses:
        display.say(f"worse than {check}: {loss}")
    if not losses:
        display.say(f"baseline   nothing is worse than in {check}")
    return losses
