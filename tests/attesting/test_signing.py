"""Statements are signed and opened; whatever is not signed by whom is trusted is not believed."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from signers import Authority, Pair, write_key

from auditor.attesting.opening import AttestationError, Trust, open_line, read_lines
from auditor.attesting.signing import Credentials, open_signer
from auditor.attesting.statement import SCAN, read_statement, subjects_of, write_statement
from auditor.errors import UsageError

STATEMENT = write_statement({"dataset": "ab" * 32}, SCAN, {"verdict": "pass", "samples": 50_000})


@pytest.mark.parametrize("kind", ["ed25519", "p256", "p384", "rsa"])
def test_every_kind_of_key_signs_and_verifies(tmp_path: Path, kind: str) -> None:
    pair = write_key(tmp_path, "k", kind)
    line = open_signer(Credentials(pair.private))(STATEMENT)
    opened = open_line(line, Trust(key=pair.public))
    assert opened.statement["predicate"] == {"verdict": "pass", "samples": 50_000}
    assert subjects_of(opened.statement) == {"dataset": "ab" * 32}


def test_the_envelope_is_dsse_with_an_in_toto_statement(keys: Pair) -> None:
    said = json.loads(open_signer(Credentials(keys.private))(STATEMENT))
    assert said["payloadType"] == "application/vnd.in-toto+json"
    payload = json.loads(base64.b64decode(said["payload"]))
    assert payload["_type"] == "https://in-toto.io/Statement/v1"
    assert payload["predicateType"] == SCAN
    # Canonical JSON: a whole number stays one, which protobuf would write as 50000.0.
    assert b'"samples":50000,' in base64.b64decode(said["payload"])


def test_another_key_does_not_verify(keys: Pair, tmp_path: Path) -> None:
    line = open_signer(Credentials(keys.private))(STATEMENT)
    with pytest.raises(AttestationError, match="signed with another key"):
        open_line(line, Trust(key=write_key(tmp_path, "other").public))


def test_a_changed_statement_does_not_verify(keys: Pair) -> None:
    said = json.loads(open_signer(Credentials(keys.private))(STATEMENT))
    payload = base64.b64decode(said["payload"]).replace(b"pass", b"fail")
    said["payload"] = base64.b64encode(payload).decode()
    with pytest.raises(AttestationError, match="was changed"):
        open_line(json.dumps(said).encode(), Trust(key=keys.public))


def test_another_payload_type_is_no_attestation(keys: Pair) -> None:
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import CryptoSigner

    from auditor.attesting.signing import _load_private

    envelope = Envelope(STATEMENT, "application/json", {})
    envelope.sign(CryptoSigner(_load_private(keys.private)))
    with pytest.raises(AttestationError, match="payload"):
        open_line(json.dumps(envelope.to_dict()).encode(), Trust(key=keys.public))


@given(st.binary(max_size=300))
@settings(max_examples=50, deadline=None)
def test_bytes_that_are_no_envelope_are_refused(data: bytes) -> None:
    trust = Trust(key=Path(__file__))  # never reached: no such bytes are an envelope
    with pytest.raises((AttestationError, UsageError)):
        open_line(data, trust)


@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_no_flipped_bit_changes_what_is_believed(keys: Pair, place: int, bit: int) -> None:
    """Either the line is refused, or it still says what was signed (as in ``keyid`` spaces)."""
    line = bytearray(open_signer(Credentials(keys.private))(STATEMENT))
    line[place % len(line)] ^= 1 << bit
    try:
        opened = open_line(bytes(line), Trust(key=keys.public))
    except AttestationError:
        return
    assert opened.statement == read_statement(STATEMENT)


def test_a_password_is_taken_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = write_key(tmp_path, "locked", password="secret")
    with pytest.raises(UsageError, match="is encrypted"):
        open_signer(Credentials(pair.private))
    monkeypatch.setenv("AUDITOR_KEY_PASSWORD", "wrong")
    with pytest.raises(UsageError, match="no private key"):
        open_signer(Credentials(pair.private))
    monkeypatch.setenv("AUDITOR_KEY_PASSWORD", "secret")
    line = open_signer(Credentials(pair.private))(STATEMENT)
    assert open_line(line, Trust(key=pair.public))


def test_what_is_no_key_is_named(tmp_path: Path, keys: Pair) -> None:
    other = write_key(tmp_path, "k1", "k1")
    with pytest.raises(UsageError, match="expected an Ed25519"):
        open_signer(Credentials(other.private))
    with pytest.raises(UsageError, match="check the path"):
        open_signer(Credentials(tmp_path / "absent.pem"))
    with pytest.raises(UsageError, match="no private key"):
        open_signer(Credentials(keys.public))
    line = open_signer(Credentials(keys.private))(STATEMENT)
    with pytest.raises(UsageError, match="no public key"):
        open_line(line, Trust(key=keys.private))


def certified(authority: Authority, name: str = "signer") -> bytes:
    credentials = Credentials(
        authority.key(name), authority.certificate(name), authority.certificate("intermediate")
    )
    return open_signer(credentials)(STATEMENT)


def test_a_certificate_verifies_up_to_its_root(authority: Authority) -> None:
    opened = open_line(certified(authority), Trust(roots=authority.certificate("root")))
    assert opened.signer == "signer@example.org, signer"
    assert opened.statement["predicate"]["verdict"] == "pass"


def test_the_certificate_must_name_whom_the_user_expects(authority: Authority) -> None:
    root = authority.certificate("root")
    line = certified(authority)
    assert open_line(line, Trust(roots=root, identity="signer@example.org"))
    with pytest.raises(AttestationError, match=r"expected 'other@example.org'"):
        open_line(line, Trust(roots=root, identity="other@example.org"))


def test_another_root_does_not_verify(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path)
    with pytest.raises(AttestationError, match="root you trust"):
        open_line(certified(authority), Trust(roots=other.certificate("root")))


def test_a_certificate_counts_only_while_it_is_valid(authority: Authority) -> None:
    root = Trust(roots=authority.certificate("root"))
    later = datetime.now(UTC) + timedelta(days=31)
    with pytest.raises(AttestationError, match="not valid"):
        open_line(certified(authority), root, later)


def test_a_holder_of_a_certificate_can_not_issue_another(authority: Authority) -> None:
    authority.issue("forged", "signer")
    chain = authority.folder / "chain.crt"
    parts = [authority.certificate(name).read_bytes() for name in ("signer", "intermediate")]
    chain.write_bytes(b"".join(parts))
    credentials = Credentials(authority.key("forged"), authority.certificate("forged"), chain)
    line = open_signer(credentials)(STATEMENT)
    with pytest.raises(AttestationError, match="root you trust"):
        open_line(line, Trust(roots=authority.certificate("root")))


def test_a_certificate_that_may_not_sign_is_refused(authority: Authority) -> None:
    authority.issue("encrypts", "intermediate", signs=False)
    with pytest.raises(AttestationError, match="does not allow signing"):
        open_line(certified(authority, "encrypts"), Trust(roots=authority.certificate("root")))


def test_a_certificate_must_belong_to_the_key(authority: Authority, keys: Pair) -> None:
    with pytest.raises(UsageError, match="belongs to another key"):
        open_signer(Credentials(keys.private, authority.certificate("signer")))


def test_a_signature_in_a_bundle_is_checked(authority: Authority) -> None:
    said = json.loads(certified(authority))
    payload = base64.b64decode(said["dsseEnvelope"]["payload"]).replace(b"pass", b"fail")
    said["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    with pytest.raises(AttestationError, match="was changed"):
        open_line(json.dumps(said).encode(), Trust(roots=authority.certificate("root")))


def test_trust_must_be_one_choice(keys: Pair, authority: Authority) -> None:
    line = open_signer(Credentials(keys.private))(STATEMENT)
    for trust in (Trust(), Trust(key=keys.public, roots=authority.certificate("root"))):
        with pytest.raises(UsageError, match="whose signature"):
            open_line(line, trust)
    with pytest.raises(UsageError, match="anyone could have signed"):
        open_line(line, Trust(keyless=True))
    with pytest.raises(AttestationError, match="bare key"):
        open_line(line, Trust(roots=authority.certificate("root")))
    with pytest.raises(AttestationError, match="certificate"):
        open_line(certified(authority), Trust(key=keys.public))


@pytest.mark.data
def test_a_real_keyless_signature_verifies_offline(data_root: Path) -> None:
    """A statement that somebody signed with sigstore's public service, log entry included."""
    file = data_root / "provenance/model-signing/scripts/tests/v1.1.0-sigstore/model.sig"
    issuer = "https://sigstore.verify.ibm.com/oauth2"
    trust = Trust(identity="stefanb@us.ibm.com", issuer=issuer, keyless=True)
    opened = open_line(file.read_bytes(), trust)
    assert opened.statement["predicateType"] == "https://model_signing/signature/v1.0"
    for other in (
        Trust(identity="someone@us.ibm.com", issuer=issuer, keyless=True),
        Trust(identity="stefanb@us.ibm.com", issuer="https://example.org", keyless=True),
    ):
        with pytest.raises(AttestationError, match="not signed by"):
            open_line(file.read_bytes(), other)


def test_a_file_of_attestations_is_bounded(tmp_path: Path) -> None:
    file = tmp_path / "many.jsonl"
    file.write_bytes(b"{}\n" * 101)
    with pytest.raises(AttestationError, match="101 lines"):
        read_lines(file)
    file.write_bytes(b"\n")
    with pytest.raises(AttestationError, match="0 lines"):
        read_lines(file)
    with pytest.raises(UsageError, match="check the path"):
        read_lines(tmp_path / "absent")
