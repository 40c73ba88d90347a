"""``auditor attest``, ``verify`` and ``sbom``: signed results, and what a dataset is made of."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.cli.options import Colour
from auditor.errors import UsageError

if TYPE_CHECKING:
    from auditor.attesting.checking import Checked
    from auditor.cli.display import Display

SHOWN = 20
"""Differences that are listed; more are counted."""


class SbomFormat(StrEnum):
    """The formats of a bill of materials."""

    cyclonedx = "cyclonedx"
    croissant = "croissant"


ColourOption = Annotated[Colour, typer.Option(help="When to colour.")]
Bars = Annotated[
    bool | None, typer.Option("--progress/--no-progress", help="[default: when on a terminal]")
]
Dataset = Annotated[Path, typer.Argument(help="The dataset; it is only read.")]
ManifestFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The dataset's manifest.  [default: beside the attestation]"),
]


def attest(
    dataset: Dataset,
    out: Annotated[Path, typer.Option("-o", "--output", help="The file of attestations.")],
    report: Annotated[Path, typer.Option(help="What the scan wrote.")] = Path("auditor-report"),
    manifest: ManifestFile = None,
    key: Annotated[
        Path | None, typer.Option(metavar="PEM", help="Private key to sign with.")
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(metavar="PEM", help="The key's certificate, to be signed under.")
    ] = None,
    certificate_chain: Annotated[
        Path | None, typer.Option(metavar="PEM", help="Certificates between it and the root.")
    ] = None,
    image: Annotated[str | None, typer.Option(help="Column that holds the images.")] = None,
    label: Annotated[str | None, typer.Option(help="Column that holds the labels.")] = None,
    source: Annotated[str | None, typer.Option(help="Column that says who supplied it.")] = None,
    offline: Annotated[
        bool, typer.Option("--offline/--online", help="Online: sign keyless, as who logs in.")
    ] = True,
    progress: Bars = None,
    color: ColourOption = Colour.auto,
) -> None:
    """Sign what a scan found, bound to the dataset as it is: needs the extra 'sign'.

    The password of an encrypted key is taken from AUDITOR_KEY_PASSWORD.
    """
    from auditor.attesting.creating import attest as run
    from auditor.attesting.signing import Credentials, keyless, open_signer
    from auditor.cli.display import Display
    from auditor.readers import Columns
    from auditor.readers.outside import keep_outside

    display = Display(color.value, progress, 0)
    keep_outside(out, dataset, "--output")
    if key is None and (certificate or certificate_chain):
        raise UsageError("--certificate: needs --key, the private key that belongs to it")
    if key is None and offline:
        raise UsageError("who signs? name a private key with --key, or sign keyless with --online")
    sign = keyless if key is None else open_signer(Credentials(key, certificate, certificate_chain))
    with display.stage("Hashing the dataset") as advance:
        done = run(
            dataset, report, out, sign,
            manifest=manifest, columns=Columns(image, label, source), progress=advance,
        )  # fmt: skip
    found = done.predicate
    display.say(
        f"attested   {found['coverage']['scanned']:,} samples, verdict {found['verdict']}\n"
        f"dataset    sha256 {done.manifest.root}\n"
        f"manifest   {done.manifest.path}\n"
        f"signed     {done.path}"
    )


def verify(
    dataset: Dataset,
    attestation: Annotated[Path, typer.Option(metavar="FILE", help="What `attest` wrote.")],
    key: Annotated[
        Path | None, typer.Option(metavar="PEM", help="Public key whose signature is trusted.")
    ] = None,
    certificate_chain: Annotated[
        Path | None, typer.Option(metavar="PEM", help="Root certificates that are trusted.")
    ] = None,
    identity: Annotated[
        str | None, typer.Option(help="Whom the signer's certificate must name.")
    ] = None,
    issuer: Annotated[
        str | None, typer.Option(help="Who vouched for that identity (keyless).")
    ] = None,
    manifest: ManifestFile = None,
    require: Annotated[
        list[str] | None,
        typer.Option(
            help="pass, complete, no-SEVERITY, detector:ID, power:ATTACK<=N or any; repeatable.  "
            "[default: pass]"
        ),
    ] = None,
    max_age: Annotated[
        str | None, typer.Option(metavar="AGE", help="How old the scan may be: 30d, 12h, 2w.")
    ] = None,
    progress: Bars = None,
    color: ColourOption = Colour.auto,
) -> None:
    """Check a dataset against a signed scan: exit 0 as attested, 1 not, 2 usage, 4 unreadable."""
    from auditor.attesting.checking import verify_attestation
    from auditor.attesting.opening import Trust
    from auditor.attesting.requirements import parse_age
    from auditor.cli.display import Display

    display = Display(color.value, progress, 0)
    alone = key is None and certificate_chain is None and identity is not None
    trust = Trust(key, certificate_chain, identity, issuer, keyless=alone)
    with display.stage("Hashing the dataset") as advance:
        checked = verify_attestation(
            dataset, attestation, trust,
            manifest=manifest, require=require or ("pass",),
            max_age=parse_age(max_age) if max_age else None, progress=advance,
        )  # fmt: skip
    _show(checked, display)
    raise typer.Exit(checked.exit_code)


def _show(checked: Checked, display: Display) -> None:
    scan = checked.scanned.predicate
    display.say(
        f"signed by  {checked.scanned.signer}\n"
        f"scanned    {scan['timeScanned']} by {scan['scanner']['name']} "
        f"{scan['scanner']['version']}, verdict {scan['verdict']}"
    )
    for problem in checked.problems:
        display.say(f"NOT AS ATTESTED: {problem}")
    found = checked.verification
    if found is not None:
        lines = [(item.path, item.record, item.message) for item in found.differences]
        lines += [(path, None, reason) for path, reason in found.unreadable]
        _list(lines, found.n_differences + len(found.unreadable), display)
    if checked.exit_code == 0:
        display.say(f"verified   the dataset is the one that was scanned ({_extent(checked)})")
        if checked.n_later:
            display.say(_later(checked.n_later))
    elif not checked.problems:
        display.say("INCOMPLETE: something could not be read, so nothing vouches for it")


def _later(n: int) -> str:
    if n == 1:
        return "note       1 file was written after the scan; its bytes are the ones scanned"
    return f"note       {n:,} files were written after the scan; their bytes are the ones scanned"


def _extent(checked: Checked) -> str:
    coverage = checked.scanned.predicate["coverage"]
    return f"{coverage['scanned']:,} samples scanned, {coverage['refused']:,} refused"


def _list(lines: Sequence[tuple[str, int | None, str]], total: int, display: Display) -> None:
    for path, record, message in lines[:SHOWN]:
        row = "" if record is None else f" row {record}"
        display.say(f"  {path}{row}: {message}")
    if total > SHOWN:
        display.say(f"  and {total - SHOWN:,} more")


def sbom(
    dataset: Dataset,
    out: Annotated[Path, typer.Option("-o", "--output", help="The file to write.")],
    format_: Annotated[
        SbomFormat, typer.Option("--format", help="CycloneDX 1.6 or Croissant 1.0, both JSON.")
    ] = SbomFormat.cyclonedx,
    report: Annotated[
        Path | None, typer.Option(help="What a scan wrote: adds its verdict and figures.")
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The dataset's manifest, verified first."),
    ] = None,
    progress: Bars = None,
    color: ColourOption = Colour.auto,
) -> None:
    """Write what a dataset is made of: its digests, files and classes, for other tools."""
    from auditor.cli.display import Display
    from auditor.readers.outside import keep_outside
    from auditor.sbom.writing import write_sbom

    display = Display(color.value, progress, 0)
    keep_outside(out, dataset, "--output")
    with display.stage("Hashing the dataset") as advance:
        found = write_sbom(
            dataset, out, format_.value, report=report, manifest=manifest, progress=advance
        )
    display.say(f"written    {out}: {found.n_files:,} files, {found.n_samples:,} samples")
    if not found.listed:
        display.say(f"           only the first {len(found.files):,} files are listed one by one")
