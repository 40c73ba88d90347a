"""What an attestation says: the scan's predicate and the short decision, as in-toto statements.

References: in-toto attestation framework, Statement v1; SLSA, Verification Summary v1.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from auditor.attesting.extras import need
from auditor.errors import UsageError
from auditor.records import Severity

SCAN = "urn:auditor:dataset-scan:v1"
"""Predicate type of the scan's results. A name and no address: nothing is ever fetched from it."""

DECISION = "https://slsa.dev/verification_summary/v1"
"""Predicate type of the short decision."""

MAX_REFUSED = 10_000
"""Refused samples that a statement names. The guard must know each, and a statement that holds more
is no statement on a dataset that was scanned."""

PASSED_LEVEL = "AUDITOR_DATASET_SCAN_PASS"
"""What a passed scan verifies. SLSA leaves names that do not begin with SLSA_ to verifiers."""


def digest_of(value: object) -> str:
    """Sha256, in hex, of a value's canonical JSON (RFC 8785)."""
    canonical = need("rfc8785", "sign", "an attestation")
    return hashlib.sha256(canonical.dumps(value)).hexdigest()


def rules_digest(rules: Sequence[Any]) -> str:
    """Sha256, in hex, over everything that the rules say; which file says it does not matter."""
    from dataclasses import asdict

    return digest_of([asdict(rule) for rule in sorted(rules, key=lambda rule: rule.id)])


def scan_predicate(
    report: Mapping[str, Any], rules: str, refused: Sequence[Mapping[str, Any]], time: str
) -> dict[str, Any]:
    """Build the predicate of a scan from its ``report.json``.

    Args:
        report: what ``report.json`` holds.
        rules: digest of the rules, see `rules_digest`.
        refused: ``uri, record, reason`` of each sample that was not scanned.
        time: when the scan ended, RFC 3339 in UTC.

    Raises:
        UsageError: more samples were refused than a statement can name.
    """
    if len(refused) > MAX_REFUSED:
        raise UsageError(
            f"report: {len(refused):,} samples were refused, and an attestation names at most "
            f"{MAX_REFUSED:,}; remove what can not be read and scan again"
        )
    counts = Counter(finding["severity"] for finding in report["findings"])
    options = dict(report["options"])
    dataset = report["dataset"]
    return {
        "scanner": {"name": report["tool"]["name"], "version": report["tool"]["version"]},
        "rules": {"sha256": rules},
        "config": {"sha256": digest_of(options), "options": options},
        "reference": report["reference"] and {
            "name": report["reference"]["name"],
            "digest": report["reference"]["digest"],
            "seed": options.get("seed"),
        },
        "dataset": {
            "fingerprint": dataset["fingerprint"],
            "format": dataset["format"],
            "samples": dataset["n_samples"],
            "classes": dataset["n_classes"],
        },
        "detectors": [
            {"id": run["id"], "version": run["version"], "status": run["status"]}
            for run in report["detectors"]
        ],
        "coverage": {
            "discovered": report["coverage"]["discovered"],
            "scanned": report["coverage"]["scanned"],
            "refused": report["coverage"]["refused"],
            "byReason": dict(report["coverage"]["by_reason"]),
            "refusedSamples": [dict(item) for item in refused],
        },
        "findings": {level.value: counts.get(level.value, 0) for level in Severity},
        "flaggedSamples": report["n_flagged"],
        "power": report.get("power"),
        "failOn": report["fail_on"],
        "verdict": report["verdict"],
        "timeScanned": time,
    }  # fmt: skip


def decision_predicate(scan: Mapping[str, Any], root: str, envelope: bytes) -> dict[str, Any]:
    """Build the verification summary of a scan.

    Args:
        scan: the scan's predicate.
        root: the dataset's root digest, in hex.
        envelope: the signed scan statement, as it is stored.
    """
    passed = scan["verdict"] == "pass"
    return {
        "verifier": {"id": "urn:auditor", "version": {"auditor": scan["scanner"]["version"]}},
        "timeVerified": scan["timeScanned"],
        "resourceUri": f"urn:auditor:dataset:sha256:{root}",
        "policy": {"uri": "urn:auditor:rules", "digest": {"sha256": scan["rules"]["sha256"]}},
        "inputAttestations": [{"digest": {"sha256": hashlib.sha256(envelope).hexdigest()}}],
        "verificationResult": "PASSED" if passed else "FAILED",
        "verifiedLevels": [PASSED_LEVEL if passed else "FAILED"],
    }


def write_statement(
    subjects: Mapping[str, str], predicate_type: str, predicate: Mapping[str, Any]
) -> bytes:
    """Serialise an in-toto Statement v1 as canonical JSON.

    Args:
        subjects: name → sha256 in hex.
        predicate_type: its type URI.
        predicate: plain values.

    Raises:
        UsageError: the extra ``sign`` is not installed.
    """
    statements = need("in_toto_attestation.v1.statement", "sign", "an attestation")
    resources = need("in_toto_attestation.v1.resource_descriptor", "sign", "an attestation")
    protobuf = need("google.protobuf.json_format", "sign", "an attestation")
    canonical = need("rfc8785", "sign", "an attestation")
    named = [
        resources.ResourceDescriptor(name=name, digest={"sha256": digest}).pb
        for name, digest in subjects.items()
    ]
    statement = statements.Statement(named, predicate_type, dict(predicate))
    statement.validate()
    payload: bytes = canonical.dumps(protobuf.MessageToDict(statement.pb))
    return payload


def read_statement(payload: bytes) -> Mapping[str, Any]:
    """Parse the signed payload of an envelope.

    Raises:
        ValueError: it is no in-toto Statement v1.
    """
    statements = need("in_toto_attestation.v1.statement", "sign", "an attestation")
    messages = need("in_toto_attestation.v1.statement_pb2", "sign", "an attestation")
    protobuf = need("google.protobuf.json_format", "sign", "an attestation")
    try:
        message = protobuf.Parse(payload, messages.Statement())
    except protobuf.ParseError as error:
        raise ValueError(f"no in-toto statement: {error}") from None
    statements.Statement.copy_from_pb(message).validate()
    said: Mapping[str, Any] = json.loads(payload)
    return said


def subjects_of(statement: Mapping[str, Any]) -> dict[str, str]:
    """The statement's subjects: name → sha256 in hex, of those that have one."""
    return {
        str(item.get("name", "")): str(item["digest"]["sha256"])
        for item in statement["subject"]
        if "sha256" in item.get("digest", {})
    }
