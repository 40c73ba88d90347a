"""Adds to a backdoor finding's message what its pattern did where it was stamped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from auditor.judging.judge import Judgement
from auditor.records import Finding
from auditor.trials.carriers import FIXED, prefix_of

LEARNT = 0.2
LEARNT_OVER_CONTROL = 0.1
"""From here on the network has learnt the pattern: at least a fifth of the images follow it, and at
least a tenth more than follow the shuffled one. Natural groups moved 0 … 8 %, triggers that were
not learnt 5 … 9 %, one that was 96 %."""

ONLY_PATTERN = 0.55
"""Up to here nearest neighbours see nothing but the pattern (`stamping.resemblance`): 43 of 44
triggers, none of 122 natural groups near a gate (0.58 … 0.94; benchmarks/stamping.csv)."""


def explain(judgement: Judgement) -> Judgement:
    """Add to the message of each backdoor finding what its pattern did where it was stamped."""
    findings = tuple(
        replace(one, message=f"{one.message} {said}") if (said := words(one)) else one
        for one in judgement.findings
    )
    return replace(judgement, findings=findings)


def words(finding: Finding) -> str:
    """What stamping showed, in a sentence or two; empty where nothing was stamped."""
    prefix = prefix_of(finding)
    if prefix is None:
        return ""
    known = {name.removeprefix(prefix): value for name, value in finding.evidence.items()}
    agreement, moved, control = (
        float(known.get(name) or 0) for name in ("pattern_agreement", "stamped", "stamped_control")
    )
    if agreement < FIXED:
        return (
            f"No fixed pattern could be told from chance: two halves of the group agree to r = "
            f"{agreement:.2f} only, so the trigger is faint, moves, or is another in every image."
        )
    opaque = float(known.get("pattern_opaque") or 0)
    how = f"replaces {opaque:.1%} of the pixels" if opaque else "shifts pixels"
    said = (
        f"The estimated pattern {how} (two halves of the group agree to r = {agreement:.2f}); "
        f"stamped on {known.get('stamped_n')} other images it moves {moved:.0%} of them "
        f"into the group, shuffled {control:.0%}."
    )
    return " ".join(filter(None, (said, _alike_words(known), _network_words(known))))


def _alike_words(known: Mapping[str, object]) -> str:
    alike = known.get("stamped_alike")
    if not isinstance(alike, float):
        return ""
    if alike <= ONLY_PATTERN:
        return "Apart from the pattern its samples are no more alike than others."
    return "Its samples are alike in other ways too, as natural groups are: look before you remove."


def _network_words(known: Mapping[str, object]) -> str:
    moved, control = known.get("network_moved"), known.get("network_control")
    if not isinstance(moved, float) or not isinstance(control, float):
        return ""
    shares = f"{moved:.0%} of the stamped images, shuffled {control:.0%}"
    if moved >= LEARNT and moved - control >= LEARNT_OVER_CONTROL:
        return f"The scan's own network follows it too: its answer moves for {shares}."
    return (
        f"The scan's own network did not learn it (its answer moves for {shares}); a network that "
        "trains longer may."
    )
