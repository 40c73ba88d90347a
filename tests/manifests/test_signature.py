"""Signatures of model-signing: the project's own samples, and altered copies."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from auditor.errors import UsageError
from auditor.manifests import verify_manifest
from auditor.manifests.signature import Trust

SAMPLES = "provenance/model-signing/scripts/tests"
KEY = ("v0.3.1-elliptic-key", "v1.0.0-elliptic-key", "v1.0.1-elliptic-key", "v1.1.0-elliptic-key")
CERTIFICATE = (
    "v0.2.0-certificate", "v0.3.1-certificate", "v1.0.0-certificate", "v1.0.1-certificate",
    "v1.1.0-certificate",
)  # fmt: skip

pytestmark = [pytest.mark.data]


@pytest.fixture
def samples(data_root: Path) -> Path:
    pytest.importorskip("model_signing", reason="needs the extra 'sign'")
    return data_root / SAMPLES


def trust(samples: Path, name: str) -> Trust:
    keys = samples / "keys/certificate"
    # Signatures before 1.1 do not say what their signer left out.
    ignored = ("ignore-me",) if "v1.0.1" in name else ()
    if "key" in name:
        return Trust(public_key=keys / "signing-key-pub.pem", ignored=ignored)
    chain = (keys / "ca-cert.pem", keys / "int-ca-cert.pem")
    return Trust(certificate_chain=chain, ignored=ignored)


@pytest.mark.parametrize("name", [*KEY, *CERTIFICATE])
def test_the_samples_verify(name: str, samples: Path) -> None:
    found = verify_manifest(samples / name, samples / name / "model.sig",
                            trust=trust(samples, name))  # fmt: skip
    assert (found.exit_code, found.differences) == (0, ())
    assert found.n_verified in {1, 2}


@pytest.mark.parametrize("name", [*KEY, *CERTIFICATE])
def test_one_changed_byte_fails(name: str, samples: Path, tmp_path: Path) -> None:
    copy = altered(samples / name, tmp_path)
    data = bytearray((copy / "signme-1").read_bytes())
    data[0] ^= 1
    (copy / "signme-1").write_bytes(data)
    found = verify_manifest(copy, copy / "model.sig", trust=trust(samples, name))
    assert found.exit_code == 1
    kinds = {(item.kind, item.path) for item in found.differences}
    assert kinds & {("changed", "signme-1"), ("changed", ".")}
    assert found.n_verified == 0


def altered(folder: Path, tmp_path: Path) -> Path:
    copy = tmp_path / folder.name
    shutil.copytree(folder, copy)
    for path in [copy, *copy.iterdir()]:
        path.chmod(0o755)
    return copy


def test_added_and_missing_files_are_named(samples: Path, tmp_path: Path) -> None:
    name = "v1.1.0-certificate"
    copy = altered(samples / name, tmp_path)
    (copy / "signme-2").unlink()
    (copy / "evil.py").write_text("import os")
    found = verify_manifest(copy, copy / "model.sig", trust=trust(samples, name))
    assert {("missing", "signme-2"), ("extra", "evil.py")} == {
        (item.kind, item.path) for item in found.differences
    }


def test_a_link_or_pipe_is_named_and_never_opened(samples: Path, tmp_path: Path) -> None:
    name = "v1.1.0-certificate"
    copy = altered(samples / name, tmp_path)
    (copy / "link").symlink_to("/etc/passwd")
    os.mkfifo(copy / "pipe")
    found = verify_manifest(copy, copy / "model.sig", trust=trust(samples, name))
    assert [(d.kind, d.path) for d in found.differences] == [
        ("replaced", "link"), ("replaced", "pipe"),
    ]  # fmt: skip
    assert found.n_verified == 0


def test_what_the_signer_left_out_is_said(samples: Path) -> None:
    folder = samples / "v1.1.0-certificate"
    found = verify_manifest(folder, folder / "model.sig", trust=trust(samples, folder.name))
    assert "ignore-me" in found.notices[0]
    old = samples / "v1.0.1-certificate"
    strict = Trust(certificate_chain=trust(samples, old.name).certificate_chain)
    found = verify_manifest(old, old / "model.sig", trust=strict)
    assert [(item.kind, item.path) for item in found.differences] == [("extra", "ignore-me")]


def test_another_key_or_an_altered_signature_does_not_hold(samples: Path, tmp_path: Path) -> None:
    name = "v1.1.0-elliptic-key"
    other = samples / "v1.0.1-elliptic-key/model.sig"
    found = verify_manifest(samples / name, other, trust=trust(samples, name))
    assert found.exit_code == 1
    copy = altered(samples / name, tmp_path)
    text = (copy / "model.sig").read_text()
    place = text.index('"sig"') + 12
    (copy / "model.sig").write_text(
        text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
    )
    found = verify_manifest(copy, copy / "model.sig", trust=trust(samples, name))
    assert found.exit_code == 1
    assert found.differences[0].kind == "invalid"


def test_somebody_must_be_trusted(samples: Path) -> None:
    folder = samples / "v1.1.0-sigstore"
    for nobody in (None, Trust(), Trust(identity="a@b.c"),
                   Trust(identity="a@b.c", issuer="https://i", trust_config=None)):  # fmt: skip
        with pytest.raises(UsageError):
            verify_manifest(folder, folder / "model.sig", trust=nobody)


def test_a_missing_package_names_the_extra(
    data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = data_root / SAMPLES / "v1.1.0-elliptic-key"
    monkeypatch.setitem(sys.modules, "model_signing", None)
    with pytest.raises(UsageError, match=r"dataset-auditor\[sign\]"):
        verify_manifest(folder, folder / "model.sig", trust=Trust(public_key=folder / "model.sig"))
