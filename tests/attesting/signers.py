"""Keys and certificates made for one test run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class Pair:
    """PEM files of a private and a public key."""

    private: Path
    public: Path


def write_key(folder: Path, name: str, kind: str = "ed25519", password: str = "") -> Pair:
    key: Any = {
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "k1": lambda: ec.generate_private_key(ec.SECP256K1()),
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
    }[kind]()
    return save_key(folder, name, key, password)


def save_key(folder: Path, name: str, key: Any, password: str = "") -> Pair:
    lock: KeySerializationEncryption = (
        BestAvailableEncryption(password.encode()) if password else NoEncryption()
    )
    pair = Pair(folder / f"{name}.pem", folder / f"{name}.pub")
    pair.private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    pair.public.write_bytes(public)
    return pair


class Authority:
    """A root, an intermediate and what they certify."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._keys: dict[str, Any] = {}
        self._certs: dict[str, x509.Certificate] = {}
        self.issue("root", None, ca=True)
        self.issue("intermediate", "root", ca=True)

    def issue(
        self, name: str, by: str | None, ca: bool = False, days: int = 30, signs: bool = True
    ) -> Path:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = subject if by is None else self._certs[by].subject
        start = datetime.now(UTC) - timedelta(days=60)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(datetime.now(UTC) + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca, None), True)
            .add_extension(
                x509.KeyUsage(
                    signs and not ca, False, False, not signs, False, ca, ca, False, False
                ),
                True,
            )
        )
        if not ca:
            names = x509.SubjectAlternativeName([x509.RFC822Name(f"{name}@example.org")])
            builder = builder.add_extension(names, False)
        signed = builder.sign(key if by is None else self._keys[by], hashes.SHA256())
        self._keys[name], self._certs[name] = key, signed
        save_key(self.folder, name, key)
        path = self.folder / f"{name}.crt"
        path.write_bytes(signed.public_bytes(Encoding.PEM))
        return path

    def key(self, name: str) -> Path:
        return self.folder / f"{name}.pem"

    def certificate(self, name: str) -> Path:
        return self.folder / f"{name}.crt"
