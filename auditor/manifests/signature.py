"""Signatures of model-signing (OpenSSF): a bundle that signs the digest of every file.

The package ``model-signing`` does the verification; this module only says what it may use. Nothing
is fetched: a key or a certificate chain is enough, a keyless signature needs a trust configuration
on disk.
"""

from __future__ import annotations

import ast
import base64
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditor.errors import UsageError
from auditor.manifests.records import Difference, DifferenceKind, Verification
from auditor.manifests.tree import Node, Tree

EXTRA = "pip install 'dataset-auditor[sign]'"

MISMATCH = "Signature mismatch: "
UNSIGNED = "is not signed; if its signer left it out, name it with --ignore"

SAID: Mapping[DifferenceKind, str] = {
    "changed": "is not as it was signed", "extra": UNSIGNED, "missing": "is signed, but not there",
}  # fmt: skip

NAMED: tuple[tuple[DifferenceKind, re.Pattern[str]], ...] = (
    ("changed", re.compile(r"Hash mismatch for '(?P<names>.+)': Expected .*\Z", re.DOTALL)),
    ("extra", re.compile(r"Extra files found in model '.*?': (?P<names>.+)\Z", re.DOTALL)),
    ("missing", re.compile(r"Missing files in model '.*?': (?P<names>.+)\Z", re.DOTALL)),
)
"""How model-signing 1.1 words what differs (`verifying.Config._get_manifest_diff`)."""


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom to believe: exactly one of a public key, a certificate chain, an identity.

    ``trust_config`` is the file with the roots for a keyless ``identity`` and its ``issuer``.
    ``ignored`` are paths in the dataset that the signer left out without signing that.
    """

    public_key: Path | None = None
    certificate_chain: tuple[Path, ...] = ()
    identity: str | None = None
    issuer: str | None = None
    trust_config: Path | None = None
    ignored: tuple[str, ...] = ()


def looks_like_signature(value: object) -> bool:
    """Whether a JSON document is a Sigstore bundle."""
    if not isinstance(value, dict):
        return False
    kind = value.get("mediaType")
    return "dsseEnvelope" in value or (isinstance(kind, str) and "sigstore.bundle" in kind)


def verify_signature(
    tree: Tree, signature: Path, bundle: Mapping[str, Any], trust: Trust | None
) -> Verification:
    """Verify the signature, then every file against what it signs.

    Raises:
        UsageError: nobody was named to trust, a key file is unusable, or the package is missing.
    """
    try:
        from model_signing import hashing, verifying
    except ImportError as error:
        raise UsageError(
            f"signature {str(signature)!r}: needs the package model-signing ({error.name} is "
            f"missing); install it with {EXTRA}"
        ) from None
    payload = _payload(bundle)
    model, target = _model(tree, payload)
    make: Callable[[], Any] = verifying.Config
    config = _trusting(make(), signature, trust)
    ignored = trust.ignored if trust is not None else ()
    config.set_hashing_config(_hashing(hashing, signature, payload, ignored))
    found = list(_beside(tree, signature, target))
    if any(item.kind == "replaced" for item in found):
        # The library refuses such a folder as a whole.
        said = ("the signature and the other files were not checked: remove these items first",)
        return Verification("model-signing", 0, tuple(found), len(found), notices=said)
    try:
        # The library prints advice; standard output is this tool's own.
        with redirect_stdout(sys.stderr):
            config.verify(model, signature.resolve())
    except _failures() as error:
        found += _differences(str(error) or type(error).__name__, signature)
    found.sort(key=lambda item: item.path)
    n_files = len(_names(payload)) if not found else 0
    notices = _notices(payload, ignored)
    return Verification("model-signing", n_files, tuple(found), len(found), notices=notices)


def _failures() -> tuple[type[Exception], ...]:
    """What the library and those below it raise on a signature or files that do not fit."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from OpenSSL.crypto import Error as OpenSslError
    from OpenSSL.crypto import X509StoreContextError
    from sigstore.errors import Error as SigstoreError

    shapes = (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OSError)
    return (*shapes, InvalidSignature, UnsupportedAlgorithm, OpenSslError, X509StoreContextError,
            SigstoreError)  # fmt: skip


def _model(tree: Tree, payload: Mapping[str, Any]) -> tuple[Path, Node | None]:
    """What was signed: the folder, or one file in it, which the signature names ``.``."""
    files = [node for node in tree.nodes if node.kind == "file"]
    if _names(payload) == ["."]:
        subjects = [item.get("name") for item in payload["subject"] if isinstance(item, dict)]
        target = next((node for node in files if node.uri in subjects), None)
        if target is not None:
            return Path(target.path).resolve(), target
    return tree.root.resolve(), None


def _beside(tree: Tree, signature: Path, target: Node | None) -> Iterator[Difference]:
    """What no signature covers: links and special files; beside a single file, all others."""
    for node in tree.nodes:
        if node.kind != "file":
            said = "a symbolic link" if node.kind == "link" else "no regular file"
            yield Difference("replaced", node.uri, None, f"is {said}, which no signature covers")
        elif target not in (None, node) and Path(node.path).resolve() != signature.resolve():
            yield Difference("extra", node.uri, None, UNSIGNED)


def _notices(payload: Mapping[str, Any], ignored: tuple[str, ...]) -> tuple[str, ...]:
    left_out = _serialization(payload).get("ignore_paths", [])
    names = [*(str(name) for name in left_out if isinstance(left_out, list)), *ignored]
    return (f"left out, and not verified: {', '.join(sorted(set(names)))}",) if names else ()


def _trusting(config: Any, signature: Path, trust: Trust | None) -> Any:
    """The configuration that believes the one who was named."""
    trust = trust or Trust()
    named = [bool(trust.public_key), bool(trust.certificate_chain), bool(trust.identity)]
    if sum(named) != 1:
        raise UsageError(
            f"signature {str(signature)!r}: got {sum(named)} signers to trust, expected one: name "
            "--public-key FILE, --certificate-chain FILE, or --identity with --issuer and "
            "--trust-config"
        )
    for file in (trust.public_key, trust.trust_config, *trust.certificate_chain):
        if file is not None and not file.is_file():
            raise UsageError(f"key or certificate {str(file)!r}: no such file")
    try:
        if trust.public_key is not None:
            return config.use_elliptic_key_verifier(public_key=trust.public_key)
        if trust.certificate_chain:
            return config.use_certificate_verifier(certificate_chain=trust.certificate_chain)
        if trust.issuer is None or trust.trust_config is None:
            raise UsageError(
                f"signature {str(signature)!r}: --identity needs --issuer and --trust-config; "
                "without it the trusted roots would be fetched, and nothing is fetched here"
            )
        return config.use_sigstore_verifier(
            identity=trust.identity, oidc_issuer=trust.issuer, trust_config=trust.trust_config
        )
    except (ValueError, TypeError) as error:
        raise UsageError(f"key or certificate for {str(signature)!r}: {error}") from None


def _hashing(
    hashing: Any, signature: Path, payload: Mapping[str, Any], ignored: tuple[str, ...]
) -> Any:
    """How the signer hashed; what is ignored is the signature itself and what the user named.

    The words come from the bundle before its signature is checked. They only choose how to hash:
    whether the result is what was signed is decided after the check. Paths that the signer left
    out and signed as such are added by the library.
    """
    said = _serialization(payload)
    config = hashing.Config()
    algorithm = said.get("hash_type", "sha256")
    try:
        if said.get("method") == "shards":
            size = int(said["shard_size"])
            config = config.use_shard_serialization(hashing_algorithm=algorithm, shard_size=size)
        else:
            config = config.use_file_serialization(hashing_algorithm=algorithm)
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(
            f"signature {str(signature)!r}: how it hashes is unknown: {error}"
        ) from None
    paths = [signature.resolve(), *(Path(name) for name in ignored)]
    return config.set_ignored_paths(paths=paths, ignore_git_paths=False)


def _payload(bundle: Mapping[str, Any]) -> Mapping[str, Any]:
    """The signed statement; empty where there is none, which the library will say."""
    try:
        said = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) and isinstance(said.get("subject"), list) else {}


def _serialization(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """How files were hashed; signatures before 0.3 do not say it: files and sha256."""
    predicate = payload.get("predicate")
    said = predicate.get("serialization") if isinstance(predicate, dict) else None
    return said if isinstance(said, dict) else {}


def _names(payload: Mapping[str, Any]) -> list[str]:
    """The signed files; before 0.3 they are the statement's subjects."""
    predicate = payload.get("predicate")
    said = predicate.get("resources") if isinstance(predicate, dict) else None
    listed = said if isinstance(said, list) else payload.get("subject", [])
    return [str(item.get("name")) for item in listed if isinstance(item, dict)]


def _differences(message: str, signature: Path) -> Iterator[Difference]:
    """The library's message as differences; what it words otherwise is about the signature."""
    if not message.startswith(MISMATCH):
        yield Difference("invalid", signature.name, None, f"the signature does not hold: {message}")
        return
    try:
        parts = [str(part) for part in ast.literal_eval(message.removeprefix(MISMATCH))]
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        parts = [message]
    for part in parts:
        for kind, pattern in NAMED:
            if match := pattern.match(part):
                names = [match["names"]] if kind == "changed" else match["names"].split(", ")
                yield from (Difference(kind, name, None, SAID[kind]) for name in names)
                break
        else:
            yield Difference("changed", signature.name, None, part)
    if not parts:
        yield Difference("changed", signature.name, None, "the files are not the signed ones")
