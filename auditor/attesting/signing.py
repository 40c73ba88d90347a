"""Sign a statement: with a key, with a key and its certificate, or keyless through sigstore.

Envelopes (DSSE), keys and bundles are those of securesystemslib and sigstore; each signed statement
is one line of JSON: a DSSE envelope where a key signs, else a sigstore bundle that holds one.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditor.attesting.extras import need
from auditor.errors import UsageError

PAYLOAD_TYPE = "application/vnd.in-toto+json"
BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PASSWORD = "AUDITOR_KEY_PASSWORD"
"""The variable that holds the password of an encrypted private key."""

Sign = Callable[[bytes], bytes]
"""Statement → one line of JSON, without its newline."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the user signs with: a private key, and the certificate that names its holder.

    Attributes:
        key: PEM file of the private key.
        certificate: PEM file of the key's certificate, or None.
        chain: PEM file of the certificates between that one and the root, or None.
    """

    key: Path
    certificate: Path | None = None
    chain: Path | None = None


def open_signer(credentials: Credentials) -> Sign:
    """Load a private key, and its certificate if there is one.

    Raises:
        UsageError: a file can not be read, is of an unsupported kind, or does not fit the others.
    """
    signers = need("securesystemslib.signer", "sign", "signing")
    key = _load_private(credentials.key)
    try:
        signer = signers.CryptoSigner(key)
    except ValueError as error:
        raise UsageError(
            f"--key {str(credentials.key)!r}: {error}; expected an Ed25519, ECDSA (P-256, P-384, "
            "P-521) or RSA key"
        ) from None
    if credentials.certificate is None:
        if credentials.chain is not None:
            raise UsageError("--certificate-chain: needs --certificate, the key's own certificate")
        return lambda statement: _line(_envelope(statement, signer))
    chain = load_certificates(credentials.certificate, "--certificate")
    if chain[0].public_key() != key.public_key():
        raise UsageError(
            f"--certificate {str(credentials.certificate)!r}: belongs to another key than "
            f"{str(credentials.key)!r}; name the certificate of this key"
        )
    if credentials.chain is not None:
        chain += load_certificates(credentials.chain, "--certificate-chain")
    return lambda statement: _bundle(_envelope(statement, signer), chain)


def keyless(statement: bytes) -> bytes:
    """Sign with a short-lived certificate for who is logged in; goes to the network.

    Raises:
        UsageError: nobody could be identified, or a service could not be reached.
    """
    sign = need("sigstore.sign", "sign", "signing")
    dsse = need("sigstore.dsse", "sign", "signing")
    models = need("sigstore.models", "sign", "signing")
    oidc = need("sigstore.oidc", "sign", "signing")
    errors = need("sigstore.errors", "sign", "signing")
    try:
        trust = models.ClientTrustConfig.production()
        found = oidc.detect_credential()
        if found is not None:
            token = oidc.IdentityToken(found)
        else:
            token = oidc.Issuer(trust.signing_config.get_oidc_url()).identity_token()
        with sign.SigningContext.from_trust_config(trust).signer(token) as signer:
            bundle = signer.sign_dsse(dsse.Statement(statement))
    except (errors.Error, OSError) as error:
        raise UsageError(f"keyless signing: {error}; sign with --key where it can not be") from None
    return str(bundle.to_json()).encode()


def load_certificates(path: Path, option: str) -> list[Any]:
    """The certificates of a PEM file, at least one.

    Raises:
        UsageError: it can not be read or holds none.
    """
    x509 = need("cryptography.x509", "sign", "signing")
    data = read_small(path, option)
    try:
        found: list[Any] = x509.load_pem_x509_certificates(data)
    except ValueError:
        found = []
    if not found:
        raise UsageError(f"{option} {str(path)!r}: no certificate in it; expected a PEM file")
    return found


def read_small(path: Path, option: str) -> bytes:
    """Read a key or certificate file.

    Raises:
        UsageError: it can not be read, or is too large to be one.
    """
    try:
        with path.open("rb") as file:
            data = file.read((1 << 20) + 1)
    except OSError as error:
        raise UsageError(f"{option} {str(path)!r}: {error.strerror}; check the path") from None
    if len(data) > 1 << 20:
        raise UsageError(f"{option} {str(path)!r}: over 1 MiB; expected a PEM file")
    return data


def _load_private(path: Path) -> Any:
    serialization = need("cryptography.hazmat.primitives.serialization", "sign", "signing")
    exceptions = need("cryptography.exceptions", "sign", "signing")
    password = os.environ.get(PASSWORD)
    try:
        return serialization.load_pem_private_key(
            read_small(path, "--key"), password.encode() if password else None
        )
    except TypeError:
        said = "is not encrypted" if password else "is encrypted"
        raise UsageError(
            f"--key {str(path)!r}: {said}; set or clear {PASSWORD}, which holds the password"
        ) from None
    except (ValueError, exceptions.UnsupportedAlgorithm) as error:
        raise UsageError(
            f"--key {str(path)!r}: no private key could be read from it ({error}); expected a PEM "
            f"file, and its password in {PASSWORD} if it has one"
        ) from None


def _envelope(statement: bytes, signer: Any) -> dict[str, Any]:
    dsse = need("securesystemslib.dsse", "sign", "signing")
    envelope = dsse.Envelope(statement, PAYLOAD_TYPE, {})
    envelope.sign(signer)
    said: dict[str, Any] = envelope.to_dict()
    return said


def _bundle(envelope: dict[str, Any], chain: list[Any]) -> bytes:
    """A sigstore bundle with the envelope and the signer's certificate chain."""
    bundles = need("sigstore_models.bundle.v1", "sign", "signing")
    serialization = need("cryptography.hazmat.primitives.serialization", "sign", "signing")
    raw = [cert.public_bytes(serialization.Encoding.DER) for cert in chain]
    said = {
        "mediaType": BUNDLE_TYPE,
        "verificationMaterial": {
            "x509CertificateChain": {
                "certificates": [{"rawBytes": base64.b64encode(der).decode()} for der in raw]
            },
            "tlogEntries": [],
        },
        "dsseEnvelope": envelope,
    }
    bundle = bundles.Bundle.from_json(json.dumps(said))
    return str(bundle.to_json()).encode()


def _line(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
