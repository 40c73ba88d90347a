"""``attest`` and ``verify``: the whole way, by Python and by the command."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from attested import Attested
from signers import Authority, Pair, write_key
from tampering import TAMPERINGS, Tampering
from tiny import encode, picture
from typer.testing import CliRunner

from auditor.attesting.checking import Checked, open_attestation, verify_attestation
from auditor.attesting.creating import attest
from auditor.attesting.opening import AttestationError, Trust
from auditor.attesting.signing import Credentials, open_signer
from auditor.attesting.statement import DECISION, SCAN
from auditor.cli import app
from auditor.errors import UsageError
from auditor.scanning import scan

Copy = Callable[..., Attested]


def check(found: Attested, **options: object) -> Checked:
    return verify_attestation(
        found.dataset, found.file, Trust(key=found.pair.public), **{"require": ["any"], **options}
    )  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["images", "table", "metadata"])
def test_an_untouched_dataset_verifies(originals: dict[str, Attested], kind: str) -> None:
    checked = check(originals[kind])
    assert checked.problems == ()
    assert checked.exit_code == 0


@pytest.mark.parametrize("tampering", TAMPERINGS, ids=lambda item: item.name)
def test_every_tampering_is_caught(copy: Copy, tampering: Tampering) -> None:
    found = copy(tampering.kind)
    tampering.do(found.dataset)
    checked = check(found)
    assert checked.exit_code == 1
    assert "not the one that was scanned" in checked.problems[0]
    assert checked.verification is not None
    assert checked.verification.n_differences >= 1


@pytest.mark.parametrize("tampering", TAMPERINGS[::6], ids=lambda item: item.name)
def test_without_the_manifest_tampering_is_caught_but_not_named(
    copy: Copy, tampering: Tampering
) -> None:
    found = copy(tampering.kind)
    found.file.with_name(found.file.name + ".manifest").unlink()
    assert check(found).exit_code == 0
    tampering.do(found.dataset)
    checked = check(found)
    assert checked.exit_code == 1
    assert "give it with --manifest" in checked.problems[0]


def test_moving_the_whole_dataset_changes_nothing(copy: Copy, tmp_path: Path) -> None:
    found = copy("images")
    moved = found.dataset.rename(tmp_path / "elsewhere")
    assert check(Attested(moved, found.report, found.file, found.pair)).exit_code == 0


def test_the_statement_says_what_was_scanned(originals: dict[str, Attested]) -> None:
    found = originals["images"]
    scanned = open_attestation(found.file, Trust(key=found.pair.public))
    said = scanned.predicate
    report = json.loads((found.report / "report.json").read_text())
    assert said["dataset"]["fingerprint"] == report["dataset"]["fingerprint"]
    assert said["verdict"] == report["verdict"]
    assert said["coverage"]["scanned"] == 24
    assert {run["id"] for run in said["detectors"]} == {run["id"] for run in report["detectors"]}
    assert sum(said["findings"].values()) == len(report["findings"])
    assert len(said["rules"]["sha256"]) == len(said["config"]["sha256"]) == 64
    assert said["config"]["options"]["profile"] == "fast"


def test_the_decision_is_bound_to_the_scan(originals: dict[str, Attested]) -> None:
    import base64

    first, second = originals["images"].file.read_bytes().splitlines()
    scan_said, decision = (
        json.loads(base64.b64decode(json.loads(line)["payload"])) for line in (first, second)
    )
    assert scan_said["predicateType"] == SCAN
    assert decision["predicateType"] == DECISION
    assert decision["subject"] == scan_said["subject"]
    passed = scan_said["predicate"]["verdict"] == "pass"
    assert decision["predicate"]["verificationResult"] == ("PASSED" if passed else "FAILED")


def test_a_decision_of_another_scan_is_refused(copy: Copy, originals: dict[str, Attested]) -> None:
    found = copy("images")
    own = found.file.read_bytes().splitlines()
    foreign = originals["table"].file.read_bytes().splitlines()
    found.file.write_bytes(own[0] + b"\n" + foreign[1] + b"\n")
    with pytest.raises(AttestationError, match="another scan"):
        check(found)
    found.file.write_bytes(own[0] + b"\n" + foreign[0] + b"\n")
    with pytest.raises(AttestationError, match="2 statements"):
        check(found)
    found.file.write_bytes(own[1] + b"\n")
    with pytest.raises(AttestationError, match="0 statements"):
        check(found)


def test_age_and_requirements(originals: dict[str, Attested]) -> None:
    found = originals["images"]
    later = datetime.now(UTC) + timedelta(days=40)
    checked = check(found, max_age=timedelta(days=30), now=later)
    assert checked.exit_code == 1
    assert "too old" in checked.problems[0]
    assert check(found, require=["power:badnets<=50"]).exit_code == 1
    with pytest.raises(UsageError, match="--require"):
        check(found, require=["nonsense"])


def test_a_report_of_another_dataset_is_not_attested(
    originals: dict[str, Attested], tmp_path: Path, copy: Copy
) -> None:
    found = copy("images")
    sign = open_signer(Credentials(found.pair.private))
    with pytest.raises(UsageError, match="were not scanned or are not what was scanned"):
        attest(found.dataset, originals["table"].report, tmp_path / "s.jsonl", sign)
    (found.dataset / "train/cat/new.png").write_bytes(encode(picture(999)))
    with pytest.raises(UsageError, match=r"1 samples.*train/cat/new\.png"):
        attest(found.dataset, found.report, tmp_path / "s.jsonl", sign)
    assert not (tmp_path / "s.jsonl").exists()


def test_a_scan_of_a_part_is_not_attested(copy: Copy, tmp_path: Path) -> None:
    found = copy("images")
    scan(found.dataset, profile="fast", workers=1, no_cache=True, sample=10).save(tmp_path / "part")
    with pytest.raises(UsageError, match="14 samples"):
        attest(found.dataset, tmp_path / "part", tmp_path / "s.jsonl",
               open_signer(Credentials(found.pair.private)))  # fmt: skip


def test_a_changed_report_is_not_attested(copy: Copy, originals: dict[str, Attested]) -> None:
    found = copy("images")
    shutil.copy(originals["table"].report / "evidence.parquet", found.report / "evidence.parquet")
    sign = open_signer(Credentials(found.pair.private))
    with pytest.raises(UsageError, match="different scans"):
        attest(found.dataset, found.report, found.file, sign)
    (found.report / "report.json").write_text("{}")
    with pytest.raises(UsageError, match="can not be read"):
        attest(found.dataset, found.report, found.file, sign)


def test_a_given_manifest_must_describe_the_dataset(
    copy: Copy, originals: dict[str, Attested]
) -> None:
    found = copy("images")
    sign = open_signer(Credentials(found.pair.private))
    manifest = found.file.with_name(found.file.name + ".manifest")
    again = attest(found.dataset, found.report, found.file, sign, manifest=manifest)
    assert again.manifest.path == manifest
    other = originals["table"].file
    with pytest.raises(UsageError, match="not the one it describes"):
        attest(found.dataset, found.report, found.file, sign,
               manifest=other.with_name(other.name + ".manifest"))  # fmt: skip


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(item) for item in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        error = result.exception
        return getattr(error, "exit_code", 4), str(error)
    return result.exit_code, result.output


def test_the_commands(copy: Copy, tmp_path: Path, authority: Authority) -> None:
    found = copy("images")
    out = tmp_path / "signed.jsonl"
    code, said = run("attest", found.dataset, "--report", found.report, "-o", out,
                     "--key", found.pair.private)  # fmt: skip
    assert (code, "24 samples" in said) == (0, True)
    trusting = ["verify", found.dataset, "--attestation", out, "--key", found.pair.public]
    code, said = run(*trusting, "--require", "no-critical", "--max-age", "1d")
    assert code == 0
    assert "the dataset is the one that was scanned" in said
    other = write_key(tmp_path, "other")
    code, said = run("verify", found.dataset, "--attestation", out, "--key", other.public)
    assert (code, "another key" in said) == (1, True)
    assert run(*trusting, "--require", "power:badnets<=50")[0] == 1
    assert run(*trusting, "--require", "nonsense")[0] == 2
    assert run("verify", found.dataset, "--attestation", out)[0] == 2
    assert run(*trusting[:3], tmp_path / "absent", *trusting[4:])[0] == 2
    (found.dataset / "train/cat/000.png").write_bytes(encode(picture(999)))
    code, said = run(*trusting, "--require", "any")
    assert code == 1
    assert "NOT AS ATTESTED" in said
    assert "train/cat/000.png" in said


def test_the_commands_with_a_certificate(copy: Copy, tmp_path: Path, authority: Authority) -> None:
    found = copy("images")
    out = tmp_path / "signed.jsonl"
    code, _ = run(
        "attest", found.dataset, "--report", found.report, "-o", out,
        "--key", authority.key("signer"), "--certificate", authority.certificate("signer"),
        "--certificate-chain", authority.certificate("intermediate"),
    )  # fmt: skip
    assert code == 0
    roots = authority.certificate("root")
    code, said = run("verify", found.dataset, "--attestation", out, "--certificate-chain", roots,
                     "--identity", "signer@example.org", "--require", "any")  # fmt: skip
    assert (code, "signer@example.org" in said) == (0, True)


def test_what_attest_refuses(copy: Copy, keys: Pair) -> None:
    found = copy("images")
    inside = found.dataset / "signed.jsonl"
    plain = ["attest", found.dataset, "--report", found.report]
    assert run(*plain, "-o", inside, "--key", keys.private)[0] == 2
    assert not inside.exists()
    code, said = run(*plain, "-o", "out.jsonl")
    assert (code, "who signs?" in said) == (2, True)


@pytest.mark.skipif(not hasattr(Path, "chmod"), reason="needs file modes")
def test_a_hostile_name_is_shown_harmless(copy: Copy) -> None:
    found = copy("images")
    name = "\x1b[31mred\n::error::x.png"
    (found.dataset / "train" / "cat" / name).write_bytes(encode(picture(999)))
    _, said = run("verify", found.dataset, "--attestation", found.file, "--key", found.pair.public)
    assert "\x1b" not in said
    assert not any(line.startswith("::") for line in said.splitlines())


def test_files_written_after_the_scan_are_noted(copy: Copy) -> None:
    found = copy("images")
    files = sorted(found.dataset.rglob("*.png"))
    for file in found.dataset.rglob("*.*"):
        os.utime(file, (1_000_000_000, 1_000_000_000))
    assert check(found).n_later == 0
    later = datetime.now(UTC).timestamp() + 60
    for file in files[:2]:
        os.utime(file, (later, later))
    checked = check(found)
    assert (checked.exit_code, checked.n_later) == (0, 2)
    command = ["verify", str(found.dataset), "--attestation", str(found.file), "--require", "any"]
    result = CliRunner().invoke(app, [*command, "--key", str(found.pair.public)])
    assert result.exit_code == 0
    assert "2 files were written after the scan; their bytes are the ones scanned" in result.output
    found.file.with_name(found.file.name + ".manifest").unlink()
    assert check(found).n_later == 2
    files[0].write_bytes(b"other")
    assert check(found).n_later == 0
