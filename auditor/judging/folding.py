"""Findings of several rules on the same samples told as one: the worst, and its witnesses.

A clear trigger breaks many rules at once: it is a pattern of its class, its labels are disputed,
its samples were processed alike. To a reader that is one thing, seen six times. Nothing is dropped:
a witness stays in ``report.json`` and keeps its samples flagged; it only says whose witness it is.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from auditor.judging.judge import Judgement
from auditor.records import Finding
from auditor.tables import members

FAMILIES = ("BKD", "LBL", "OUT")
"""Rules that judge the same thing from several sides. Facts on files (FMT, PRV, INT) and copies
(DUP) are no witnesses: they call for something else to be done."""

COVERED = 0.8
"""Share of a finding's samples that another one names too. A group that two detectors see differs
by a few samples at its edge; two triggers of one class share none."""

WIDER = 1.5
"""So many times as many samples make a finding of equal severity the better name of the thing: an
attack on all classes is one attack, not ten."""


def fold(judgement: Judgement) -> Judgement:
    """Name each finding whose samples a worse or wider one names too as its witness.

    Findings come worst first, so a witness is never worse than what it is a witness of, and a
    verdict that looks at the worst finding does not change.
    """
    findings = judgement.findings
    groups = {
        at: members(judgement.flagged, finding)["row"].to_numpy()
        for at, finding in enumerate(findings)
        if finding.rule.startswith(FAMILIES)
    }
    lead_of: dict[int, int] = {}
    for at, rows in groups.items():
        if not len(rows):
            continue
        leads = [one for one, lead in lead_of.items() if one == lead]
        shared = {one: _shared(findings, groups, at, one) for one in leads}
        told = [one for one in leads if shared[one] >= COVERED * len(rows)]
        if told:
            lead_of[at] = max(told, key=lambda one: (shared[one], -one))
            continue
        lead_of[at] = at
        for one in leads:
            narrow = len(rows) >= WIDER * len(groups[one])
            inside = shared[one] >= COVERED * len(groups[one])
            if narrow and inside and findings[one].severity is findings[at].severity:
                lead_of |= {two: at for two, lead in lead_of.items() if lead == one}
    folded = (
        replace(one, witness_of=_name(findings[lead]))
        if (lead := lead_of.get(at, at)) != at
        else one
        for at, one in enumerate(findings)
    )
    return replace(judgement, findings=tuple(folded))


def _shared(
    findings: tuple[Finding, ...], groups: dict[int, np.ndarray], one: int, other: int
) -> int:
    """How many samples two findings both name."""
    a, b = findings[one], findings[other]
    if a.scope == b.scope != "sample" and a.key != b.key:
        return 0
    return len(np.intersect1d(groups[one], groups[other], assume_unique=True))


def _name(finding: Finding) -> tuple[str, str | None]:
    return finding.rule, finding.key
