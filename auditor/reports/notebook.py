"""How a report shows itself in a notebook: verdict, findings and the worst samples."""

from __future__ import annotations

from auditor.report import Report
from auditor.reports.html import environment, picture
from auditor.reports.html.account import short_facts
from auditor.reports.pictures import choose
from auditor.reports.text import count, prose, shorten
from auditor.reports.wording import VERDICT_WORDS, leading, place, reason, worst_samples

_FINDINGS, _IMAGES = 10, 14


def notebook(report: Report) -> str:
    """Write a small HTML fragment without scripts, for a notebook's output cell.

    Args:
        report: the result of a scan.
    """
    findings = leading(report.findings)
    shown = findings[:_FINDINGS]
    coverage = report.coverage
    refused = f"{count(coverage.refused)} refused"
    return (
        environment()
        .get_template("notebook.html.j2")
        .render(
            verdict=report.verdict,
            word=VERDICT_WORDS[report.verdict],
            reason=reason(report),
            root=report.dataset.root,
            facts=[*short_facts(report), f"{count(coverage.scanned)} scanned", refused],
            findings=[
                {
                    "severity": str(finding.severity),
                    "rule": finding.rule,
                    "title": prose(finding.title),
                    "message": prose(finding.message),
                    "place": shorten(place(finding), 60),
                    "n_samples": count(finding.n_samples),
                }
                for finding in shown
            ],
            left=count(len(findings) - len(shown)) if len(findings) > len(shown) else "",
            images=_images(report),
            blind_spots=[prose(spot) for spot in report.blind_spots],
            flagged=count(report.n_flagged, "sample"),
        )
    )


def _images(report: Report) -> list[dict[str, object]]:
    worst = worst_samples(report.flagged, 200)
    pictures = choose(report, (), worst["row"].to_list()[:_IMAGES])
    names = dict(zip(worst["row"].to_list(), worst["uri"].to_list(), strict=True))
    return [picture(row, *image, label=names[row]) for row, image in pictures.images.items()]
