"""``auditor bench``: what this tool would have caught, measured on the user's own data."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.cli.options import Colour, Profile, parse_params

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from auditor.benching.results import BenchResult, Group
    from auditor.benching.running import Outcome
    from auditor.cli.display import Display


LEGEND = """
TPR     poisoned samples flagged (with its 95 % interval); BKD, LBL: by backdoor, label rules
FPR     clean samples flagged
AUROC   of the score column that ranks best
learnt  % of held-out images with the trigger that get the answer the attacker wants; for attacks on
        accuracy, the points lost against the clean case of the same suite
right   runs with the right verdict
"""


class SuiteName(StrEnum):
    """The suites, as the command line takes them."""

    quick = "quick"
    standard = "standard"
    clean = "clean"
    power = "power"
    implant = "implant"


BASELINE = Path("benchmarks/recall.csv")

FILE_WIDTH = 110
"""Columns of the table where it is written to a file."""

FAILED = 4
"""Exit code where a case broke: nothing is known of it."""


def bench(
    dataset: Annotated[
        Path | None,
        typer.Argument(help="A clean dataset; it is only read.  [default: bundled digits]"),
    ] = None,
    suite: Annotated[
        SuiteName,
        typer.Option(help="quick: a few attacks; standard: all of them; clean: false alarms; "
                     "power: how much poison it takes to be caught; "
                     "implant: whether attacks work."),
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
        int | None, typer.Option(min=1, metavar="N", help="Samples of a cut.  [default: the "
                                 "suite's: 5,000 or 10,000, at most what there is]")
    ] = None,
    profile: Annotated[
        Profile | None, typer.Option(help="Of the scans.  [default: the suite's]")
    ] = None,
    victim_epochs: Annotated[
        int | None,
        typer.Option(min=0, help="Train a network on the whole copy and ask it whether the attack "
                     "works; 0 asks the scan's.  [default: the suite's]"),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    out: Annotated[
        Path, typer.Option(help="Folder for results; finished cases in it are not run again.")
    ] = Path("auditor-bench"),
    keep_features: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep the scans' features: a changed detector is then "
                     "measured again without decoding or training. 50 MB for 10,000 samples."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Cases at a time.")] = 1,
    image: Annotated[str | None, typer.Option(help="Column that holds the images.")] = None,
    label: Annotated[str | None, typer.Option(help="Column that holds the labels.")] = None,
    source: Annotated[str | None, typer.Option(help="Column that says who supplied it.")] = None,
    check: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Exit 1 where recall fell below this baseline or a "
                     "clean run alarmed."),
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help=f"Write the baseline: --check's, or {BASELINE}.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No line for each case.")] = False,
    color: Annotated[Colour, typer.Option(help="When to colour.")] = Colour.auto,
) -> None:  # fmt: skip
    """Poison cuts of a dataset, scan each as `auditor scan` does, and measure what was caught.

    Exit 0; 1 where --check finds a loss; 2 usage; 4 where a case broke.
    """
    from auditor.benching import baseline, harness
    from auditor.benching.cutting import Columns
    from auditor.cli.display import Display

    display = Display(color.value, False, 0)

    def hear(outcome: Outcome, done: int, total: int) -> None:
        if not quiet:
            display.err.print(_line(outcome, done, total), soft_wrap=True, markup=False)

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
    _show(result, display, out)
    losses: list[str] = []
    if update:
        baseline.update(check or BASELINE, result)
        display.say(f"baseline   {check or BASELINE} written")
    elif check is not None:
        losses = list(baseline.check(check, result))
        for loss in losses:
            display.say(f"worse than {check}: {loss}")
        if not losses:
            display.say(f"baseline   nothing is worse than in {check}")
    raise typer.Exit(1 if losses else FAILED if result.failed else 0)


def _line(outcome: Outcome, done: int, total: int) -> str:
    """What is said of a case as it finishes."""
    head = f"[{done}/{total}] {outcome.case.slug}: "
    score = outcome.score
    if score is None:
        return head + f"{outcome.status}: {outcome.reason}"
    said = "right" if score.right else "WRONG"
    flagged = f"{score.found['any']}/{score.n_poisoned} found, {score.false['any']} false"
    return head + f"{outcome.verdict} ({said}), {flagged}, {outcome.seconds['total']:.0f} s"


def _show(result: BenchResult, display: Display, out: Path) -> None:
    """The tables, and where the rest is."""
    width = None if display.out.is_terminal else FILE_WIDTH
    display.out.print(_table(result), width=width)
    display.say(LEGEND)
    alarms = result.alarms
    if alarms.runs:
        display.say(
            f"Backdoor alarms on {alarms.runs} clean or only mislabelled draws: {alarms.alarms} "
            f"(at most {_percent(alarms.upper)} of such draws, exact 95 % bound)"
        )
    if alarms.clean_samples:
        share = alarms.clean_flagged / alarms.clean_samples
        display.say(
            f"Samples flagged on clean draws, by any rule: {alarms.clean_flagged:,} of "
            f"{alarms.clean_samples:,} ({share:.3%})"
        )
    if result.power:
        display.say("\nPower on your data: poisoned samples that are caught with 95 % probability")
    for power in result.power:
        display.say(
            f"  {power.variant} ({power.n_samples:,} samples, {power.profile} profile, "
            f"{power.runs} runs): {power}"
        )
    for group in result.groups:
        for note in group.notes:
            display.say(f"  {group.variant} {group.rate:g}: {note}")
    display.say(
        f"\nresults    {out / 'results.csv'}, results.json\npicture    {out / 'recall.svg'}"
    )


def _table(result: BenchResult) -> Table:
    from rich.table import Table

    table = Table(
        title=f"{result.suite} suite on {result.dataset}", title_justify="left", box=None,
        pad_edge=False, header_style="bold", title_style="bold",
    )  # fmt: skip
    table.add_column("attack", overflow="fold", min_width=10)
    for name in ("rate %", "poison", "TPR %", "BKD", "LBL", "FPR %", "AUROC", "learnt", "right"):
        table.add_column(name, justify="right", no_wrap=True)
    for group in result.groups:
        table.add_row(*_cells(group))
    return table


def _cells(group: Group) -> list[str | Text]:
    from rich.text import Text

    from auditor.benching.scoring import wilson

    n = group.n_poisoned
    recall = ["–", "", ""]
    if n:
        low, high = wilson(group.found["any"], n)
        recall = [f"{100 * group.found['any'] / n:.0f} · {100 * low:.0f}–{100 * high:.0f}"]
        recall += [f"{100 * group.found[family] / n:.0f}" for family in ("BKD", "LBL")]
    false = f"{100 * group.false['any'] / group.n_clean:.2f}" if group.n_clean else "–"
    scored = group.runs > len(group.notes)
    return [
        Text(group.variant + (" (fast)" if group.profile == "fast" else "")),
        f"{100 * group.rate:.3g}",
        f"{n:,}" if group.runs == 1 else f"{group.runs}×{n // group.runs}",
        *recall,
        false,
        "–" if group.best_auroc is None else f"{group.best_auroc:.3f}",
        _learnt(group),
        f"{group.right}/{group.runs}" if scored else "–",
    ]


def _learnt(group: Group) -> str:
    if group.success is not None:
        return f"{100 * group.success:.0f}"
    if group.accuracy_drop is not None:
        return f"{-100 * group.accuracy_drop:+.1f} pt"
    return "–"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
