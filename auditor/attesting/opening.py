"""Open a signed statement: only what a trusted key, certificate or identity signed is believed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from auditor.attesting.extras import need
from auditor.attesting.signing import PAYLOAD_TYPE, load_certificates, read_small
from auditor.attesting.statement import read_statement
from auditor.errors import AuditorError, UsageError

MAX_BYTES = 1 << 26
"""A file of attestations above 64 MiB is not read: two statements are a few kilobytes."""

MAX_LINES = 100
MAX_DEPTH = 32
"""Certificates between a signer and the root at most; real chains have one or two."""


class AttestationError(AuditorError):
    """The attestation is not what it says, or does not say what was asked for."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom the user believes; exactly one of ``key``, ``roots`` and ``keyless`` is used.

    Attributes:
        key: PEM file of a public key.
        roots: PEM file of root certificates.
        identity: the name that the signer's certificate must hold; needed for ``keyless``.
        issuer: who vouched for that identity, as the certificate says; for ``keyless``.
        keyless: believe sigstore's certificates for ``identity``.
    """

    key: Path | None = None
    roots: Path | None = None
    identity: str | None = None
    issuer: str | None = None
    keyless: bool = False

    def check(self) -> None:
        """Refuse a choice that trusts nobody, or two at once.

        Raises:
            UsageError: the choice is none.
        """
        chosen = [bool(self.key), bool(self.roots), self.keyless]
        if sum(chosen) != 1:
            raise UsageError(
                "whose signature is trusted? name one of --key PUBLIC.pem, --certificate-chain "
                "ROOTS.pem and --identity NAME with --issuer URL (keyless)"
            )
        if self.keyless and not (self.identity and self.issuer):
            raise UsageError("keyless: needs --identity and --issuer, or anyone could have signed")


@dataclass(frozen=True, slots=True)
class Opened:
    """A statement whose signature holds, who signed it, and the line it came in."""

    statement: Mapping[str, Any]
    signer: str
    line: bytes


def read_lines(path: Path) -> list[bytes]:
    """The envelopes of a file of attestations, one a line.

    Raises:
        UsageError: the file can not be read.
        AttestationError: it holds no, or too many, attestations.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"attestation {str(path)!r}: {error.strerror}; check the path") from None
    lines = [line for line in data.splitlines() if line.strip()]
    if not lines or len(data) > MAX_BYTES or len(lines) > MAX_LINES:
        raise AttestationError(
            f"attestation {str(path)!r}: got {len(data):,} bytes in {len(lines)} lines, expected a "
            "file that `auditor attest` wrote"
        )
    return lines


def open_line(line: bytes, trust: Trust, now: datetime | None = None) -> Opened:
    """Check one line's signature, then read its statement.

    Raises:
        AttestationError: the signature does not hold, or what it covers is no statement.
        UsageError: the key or the roots can not be read.
    """
    trust.check()
    try:
        said = json.loads(line)
        if not isinstance(said, dict):
            raise ValueError("no JSON object")
        if trust.keyless:
            signer, kind, payload = _open_keyless(line, trust)
        elif trust.roots is not None:
            signer, kind, payload = _open_certified(said, trust, now or datetime.now(UTC))
        else:
            signer, kind, payload = _open_keyed(said, trust)
        if kind != PAYLOAD_TYPE:
            raise ValueError(f"its payload is {kind[:60]!r}, expected {PAYLOAD_TYPE!r}")
        return Opened(read_statement(payload), signer, line)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise AttestationError(
            f"attestation: can not be read ({type(error).__name__}: {str(error)[:200]}); it was "
            "damaged, or is no file that `auditor attest` wrote"
        ) from None


def _open_keyed(said: dict[str, Any], trust: Trust) -> tuple[str, str, bytes]:
    serialization = need("cryptography.hazmat.primitives.serialization", "sign", "verifying")
    signers = need("securesystemslib.signer", "sign", "verifying")
    assert trust.key is not None
    data = read_small(trust.key, "--key")
    try:
        key = signers.SSlibKey.from_crypto(serialization.load_pem_public_key(data))
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"--key {str(trust.key)!r}: no public key could be read from it ({error}); expected a "
            "PEM file, as of `openssl pkey -in KEY.pem -pubout`"
        ) from None
    if "dsseEnvelope" in said:
        raise AttestationError(
            "attestation: signed with a certificate, and a key was named; name the roots to trust "
            "with --certificate-chain"
        )
    kind, payload = _verify(said, key, str(trust.key))
    return f"key {key.keyid[:16]}", kind, payload


def _verify(envelope: dict[str, Any], key: Any, name: str) -> tuple[str, bytes]:
    dsse = need("securesystemslib.dsse", "sign", "verifying")
    exceptions = need("securesystemslib.exceptions", "sign", "verifying")
    opened = dsse.Envelope.from_dict(envelope)
    try:
        opened.verify([key], 1)
    except exceptions.VerificationError:
        raise AttestationError(
            f"attestation: the signature is not one of {name} over this statement: it was changed, "
            "or signed with another key; do not rely on it"
        ) from None
    return str(opened.payload_type), bytes(opened.payload)


def _open_certified(said: dict[str, Any], trust: Trust, now: datetime) -> tuple[str, str, bytes]:
    signers = need("securesystemslib.signer", "sign", "verifying")
    x509 = need("cryptography.x509", "sign", "verifying")
    bundles = need("sigstore_models.bundle.v1", "sign", "verifying")
    if "dsseEnvelope" not in said:
        raise AttestationError(
            "attestation: signed with a bare key, and roots were named; name the key with --key"
        )
    bundle = bundles.Bundle.from_json(json.dumps(said))
    held = bundle.verification_material.x509_certificate_chain
    if held is None:
        raise ValueError("it holds no certificate chain")
    chain = [x509.load_der_x509_certificate(one.raw_bytes) for one in held.certificates]
    if not 1 <= len(chain) <= MAX_DEPTH:
        raise ValueError(f"a chain of {len(chain)} certificates")
    assert trust.roots is not None
    _verify_chain(chain, load_certificates(trust.roots, "--certificate-chain"), now)
    names = _names(chain[0])
    if trust.identity is not None and trust.identity not in names:
        raise AttestationError(
            f"attestation: signed by {', '.join(names)[:200] or 'nobody'}, expected "
            f"{trust.identity!r}; do not rely on it"
        )
    key = signers.SSlibKey.from_crypto(chain[0].public_key())
    kind, payload = _verify(said["dsseEnvelope"], key, "the certificate's key")
    return ", ".join(names) or chain[0].subject.rfc4514_string(), kind, payload


def _verify_chain(chain: list[Any], roots: list[Any], now: datetime) -> None:
    """Require a path from the signer to a root, valid now, and a key that may sign."""
    x509 = need("cryptography.x509", "sign", "verifying")
    path = need("cryptography.x509.verification", "sign", "verifying")
    # Attestations are signed by people and machines, not by web servers: their certificates need
    # no host name. What CAs must have is asked of CAs as everywhere.
    policy = path.PolicyBuilder().store(path.Store(roots)).time(now)
    policy = policy.extension_policies(
        ca_policy=path.ExtensionPolicy.permit_all().require_present(
            x509.BasicConstraints, path.Criticality.AGNOSTIC, None
        ),
        ee_policy=path.ExtensionPolicy.permit_all(),
    )
    try:
        policy.build_client_verifier().verify(chain[0], chain[1:])
    except path.VerificationError as error:
        raise AttestationError(
            f"attestation: its certificate does not lead to a root you trust, or is not valid "
            f"today ({error}); do not rely on it, or name the right roots"
        ) from None
    try:
        usage = chain[0].extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        usage = None
    if usage is None or not usage.digital_signature:
        raise AttestationError(
            "attestation: its certificate does not allow signing (KeyUsage digitalSignature)"
        )


def _names(certificate: Any) -> list[str]:
    """Whom a certificate names: its e-mail, URI and host names, then its common name."""
    x509 = need("cryptography.x509", "sign", "verifying")
    names: list[str] = []
    try:
        other = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        for kind in (x509.RFC822Name, x509.UniformResourceIdentifier, x509.DNSName):
            names += [str(value) for value in other.get_values_for_type(kind)]
    except x509.ExtensionNotFound:
        pass
    common = certificate.subject.get_attributes_for_oid(x509.oid.NameOID.COMMON_NAME)
    return names + [str(item.value) for item in common]


def _open_keyless(line: bytes, trust: Trust) -> tuple[str, str, bytes]:
    verify = need("sigstore.verify", "sign", "verifying")
    policies = need("sigstore.verify.policy", "sign", "verifying")
    models = need("sigstore.models", "sign", "verifying")
    errors = need("sigstore.errors", "sign", "verifying")
    try:
        bundle = models.Bundle.from_json(line)
        # Offline: the trust root is the one that came with the library.
        verifier = verify.Verifier.production(offline=True)
        identity = policies.Identity(identity=trust.identity, issuer=trust.issuer)
        kind, payload = verifier.verify_dsse(bundle, identity)
    except errors.Error as error:
        raise AttestationError(
            f"attestation: not signed by {trust.identity!r} of {trust.issuer!r} ({error}); do not "
            "rely on it"
        ) from None
    return f"{trust.identity} ({trust.issuer})", kind, payload
