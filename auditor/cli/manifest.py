"""``auditor manifest create|verify`` and ``auditor hook``: parse, call, show, exit."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from auditor.cli.options import Colour
from auditor.errors import UsageError

if TYPE_CHECKING:
    from auditor.manifests import Difference, Verification

SHOWN = 20
"""Items of one kind that the terminal names; ``-o json`` names them all."""

manifest_app = typer.Typer(
    name="manifest",
    help="Write down every byte, label and split of a dataset, and compare again.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


CacheDir = Annotated[Path | None, typer.Option(help="Where the index of known files is kept.")]


@manifest_app.command()
def create(
    dataset: Annotated[Path, typer.Argument(help="A folder, or one Parquet file; only read.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="The manifest to write.")
    ],
    image: Annotated[str | None, typer.Option(help="Column that holds the images.")] = None,
    label: Annotated[str | None, typer.Option(help="Column that holds the labels.")] = None,
    source: Annotated[str | None, typer.Option(help="Column that says who supplied it.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Threads; 0 means one a CPU.")] = 0,
    cache_dir: CacheDir = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Read every byte, keep no index.")
    ] = False,
    progress: Annotated[bool | None, typer.Option("--progress/--no-progress")] = None,
    color: Annotated[Colour, typer.Option()] = Colour.auto,
) -> None:
    """Write a manifest: exit 0 complete, 2 usage, 3 nothing there, 4 something unreadable."""
    from auditor.cli.display import Display
    from auditor.manifests import create_manifest
    from auditor.readers import Columns

    display = Display(color.value, progress, 0)
    cache = None if no_cache else _cache_root(dataset, cache_dir)
    with display.stage("Hashing") as advance:
        made = create_manifest(
            dataset, output, columns=Columns(image, label, source), cache_root=cache,
            workers=workers, progress=advance,
        )  # fmt: skip
    display.say(f"{made.n_files:,} files, {made.n_samples:,} samples\nroot      {made.root}")
    if made.row_root is not None:
        display.say(f"row root  {made.row_root}")
    display.say(f"manifest  {made.path}")
    if not made.complete:
        names = [e.path for e in made.entries() if e.kind == "unreadable"]
        for name in names[:SHOWN]:
            display.warn(f"unreadable  {name}")
        display.warn(f"{len(names):,} items could not be read: the manifest is incomplete")
        raise typer.Exit(4)


@manifest_app.command()
def verify(
    dataset: Annotated[Path, typer.Argument(help="A folder, or one Parquet file; only read.")],
    file: Annotated[
        Path,
        typer.Argument(
            help="A manifest, Croissant JSON-LD, a sha256sum list or a model-signing signature."
        ),
    ],
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="FORMAT[=PATH]", help="terminal or json.")
    ] = "terminal",
    cached: Annotated[
        bool,
        typer.Option("--cached", help="Believe the index for files whose times are unchanged."),
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Notices and unverified items fail too.")
    ] = False,
    public_key: Annotated[Path | None, typer.Option(help="Trust this key (model-signing).")] = None,
    certificate_chain: Annotated[
        list[Path] | None,
        typer.Option(help="Trust these certificates (model-signing); repeatable."),
    ] = None,
    identity: Annotated[str | None, typer.Option(help="Trust this keyless signer.")] = None,
    issuer: Annotated[str | None, typer.Option(help="The identity's OpenID issuer.")] = None,
    trust_config: Annotated[
        Path | None, typer.Option(help="Sigstore roots for --identity, from disk.")
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(help="Path that the signer left out (model-signing); repeatable."),
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Threads; 0 means one a CPU.")] = 0,
    cache_dir: CacheDir = None,
    progress: Annotated[bool | None, typer.Option("--progress/--no-progress")] = None,
    color: Annotated[Colour, typer.Option()] = Colour.auto,
) -> None:
    """Compare: exit 0 verified, 1 differences, 2 usage, 3 nothing to verify, 4 unreadable."""
    from auditor.cli.display import Display
    from auditor.manifests import verify_manifest
    from auditor.manifests.signature import Trust
    from auditor.readers.outside import keep_outside

    form, _, target = output.partition("=")
    if form not in {"terminal", "json"} or (form == "terminal" and target):
        raise UsageError(f"--output {output!r}: expected terminal, json or json=PATH")
    if target:
        keep_outside(Path(target), dataset, "--output")
    display = Display(color.value, progress, 0)
    chain, left_out = tuple(certificate_chain or ()), tuple(ignore or ())
    with display.stage("Verifying") as advance:
        found = verify_manifest(
            dataset, file, cache_root=_cache_root(dataset, cache_dir) if cached else None,
            workers=workers, progress=advance,
            trust=Trust(public_key, chain, identity, issuer, trust_config, left_out),
        )  # fmt: skip
    code = found.exit_code
    if strict and code == 0 and (found.notices or found.n_unverified):
        code = 1
    if form == "json":
        _write_json(found, code, target)
    if form == "terminal" or target:
        _show(found, display, code)
    raise typer.Exit(code)


def hook(
    dataset: Annotated[Path, typer.Argument(help="A folder, or one Parquet file; only read.")],
    manifest: Annotated[
        Path | None,
        typer.Option(help="The manifest.  [default: DATASET.manifest.jsonl beside the dataset]"),
    ] = None,
    cache_dir: CacheDir = None,
) -> None:
    """Check before a commit that a dataset is as its manifest says; fast when nothing changed."""
    from auditor.manifests import quick_verify

    home = dataset.resolve()
    path = manifest or home.with_name(f"{home.name}.manifest.jsonl")
    found = quick_verify(dataset, path, cache_root=_cache_root(dataset, cache_dir))
    if found.exit_code or found.notices:
        from auditor.cli.display import Display

        _show(found, Display("auto", False, 0), found.exit_code)
    raise typer.Exit(found.exit_code)


def _cache_root(dataset: Path, cache_dir: Path | None) -> Path:
    """The cache folder of the option, of ``AUDITOR_CACHE_DIR`` or the configuration, or the usual.

    The index speeds up and decides nothing, so that ``no_cache`` in a configuration is not asked.
    """
    from dataclasses import replace

    from auditor.config import load_config

    overrides = {"cache_dir": None if cache_dir is None else str(cache_dir)}
    root = replace(load_config(dataset, overrides=overrides), no_cache=False).cache_root
    assert root is not None
    return root


def _show(found: Verification, display: Any, code: int) -> None:
    """The verdict and each item by name, untrusted text escaped by the display."""
    for item in found.differences[:SHOWN]:
        display.say(_line(item))
    if found.n_differences > SHOWN:
        display.say(f"… and {found.n_differences - min(SHOWN, len(found.differences)):,} more; "
                    "-o json names them")  # fmt: skip
    for title, items in (("unreadable", found.unreadable), ("unverified", found.unverified)):
        for name, why in items[:SHOWN]:
            display.say(f"{title:<11} {_one_line(name)}: {_one_line(why)}")
        if len(items) > SHOWN:
            display.say(f"… and {len(items) - SHOWN:,} more {title}")
    for notice in found.notices[:SHOWN]:
        display.say(f"note        {_one_line(notice)}")
    if len(found.notices) > SHOWN:
        display.say(f"… and {len(found.notices) - SHOWN:,} more notes")
    verdict = {0: "verified", 1: "differs", 3: "nothing could be verified", 4: "incomplete"}[code]
    display.say(
        f"{verdict}: {found.n_verified:,} verified, {found.n_unverified:,} unverified, "
        f"{found.n_differences:,} differences, {len(found.unreadable):,} unreadable "
        f"({found.format})"
    )


def _line(item: Difference) -> str:
    where = item.path if item.record is None else f"{item.path} row {item.record}"
    return f"{item.kind:<11} {_one_line(where)}: {_one_line(item.message)}"


def _one_line(text: str) -> str:
    """A name may hold line breaks; the display escapes what else is not printable."""
    from auditor.reports.text import plain

    return plain(text)


def _write_json(found: Verification, code: int, target: str) -> None:
    """Everything that was found, as JSON on standard output or in a file."""
    import json
    from dataclasses import asdict

    values = {"schema_version": 1, "verified": code == 0, "exit_code": code, **asdict(found)}
    # ASCII escapes keep control and bidirectional characters of file names out of terminals.
    text = json.dumps(values, ensure_ascii=True, indent=1) + "\n"
    if not target:
        sys.stdout.write(text)
        return
    from auditor.reports.atomic import write_together

    write_together(Path(target).parent, {Path(target).name: lambda f: _put(f, text)})


def _put(file: Any, text: str) -> None:
    file.write(text.encode("ascii"))
