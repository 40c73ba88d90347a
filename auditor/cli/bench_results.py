"""What a bench shows: a line a case as it finishes, then the table and what stands below it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from auditor.benching.results import Alarms, BenchResult, Group
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

FILE_WIDTH = 110
"""Columns of the table where it is written to a file."""


def line(outcome: Outcome, done: int, total: int) -> str:
    """What is said of a case as it finishes."""
    head = f"[{done}/{total}] {outcome.case.slug}: "
    score = outcome.score
    if score is None:
        return head + f"{outcome.status}: {outcome.reason}"
    said = "right" if score.right else "WRONG"
    flagged = f"{score.found['any']}/{score.n_poisoned} found, {score.false['any']} false"
    return head + f"{outcome.verdict} ({said}), {flagged}, {outcome.seconds['total']:.0f} s"


def show(result: BenchResult, display: Display, out: Path) -> None:
    """The tables, and where the rest is."""
    width = None if display.out.is_terminal else FILE_WIDTH
    display.out.print(_table(result), width=width)
    display.say(LEGEND)
    _say_alarms(result.alarms, display)
    _say_power(result, display)
    for group in result.groups:
        for note in group.notes:
            display.say(f"  {group.variant} {group.rate:g}: {note}")
    display.say(
        f"\nresults    {out / 'results.csv'}, results.json\npicture    {out / 'recall.svg'}"
    )


def _say_alarms(alarms: Alarms, display: Display) -> None:
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


def _say_power(result: BenchResult, display: Display) -> None:
    if result.power:
        display.say("\nPower on your data: poisoned samples that are caught with 95 % probability")
    for power in result.power:
        display.say(
            f"  {power.variant} ({power.n_samples:,} samples, {power.profile} profile, "
            f"{power.runs} runs): {power}"
        )


def _table(result: BenchResult) -> Table:
    from rich.table import Table

    table = Table(
        title=f"{result.suite} suite on {result.dataset}",
        title_justify="left",
        title_style="bold",
        header_style="bold",
        box=None,
        pad_edge=False,
    )
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
