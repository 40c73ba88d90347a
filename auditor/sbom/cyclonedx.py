"""CycloneDX 1.6: the dataset as a data component, its files, and what a scan said of it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from auditor import __version__
from auditor.attesting.extras import need
from auditor.sbom.contents import Contents

NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")
"""For names that are URIs (RFC 9562, appendix C): the same dataset gets the same serial number."""

MAX_CLASSES = 100
"""Classes whose sizes are listed as properties."""


def render(contents: Contents, time: datetime | None = None) -> str:
    """Write the bill of materials as JSON.

    Args:
        contents: the dataset.
        time: when it was scanned; None is now.

    Raises:
        UsageError: the extra ``sbom`` is not installed.
    """
    bom = need("cyclonedx.model.bom", "sbom", "a bill of materials")
    components = need("cyclonedx.model.component", "sbom", "a bill of materials")
    models = need("cyclonedx.model", "sbom", "a bill of materials")
    output = need("cyclonedx.output.json", "sbom", "a bill of materials")

    def hashed(digest: str) -> list[Any]:
        return [models.HashType(alg=models.HashAlgorithm.SHA_256, content=digest)]

    data = components.Component(
        name=contents.name,
        type=components.ComponentType.DATA,
        version=contents.root[:16],
        bom_ref=f"dataset:{contents.root}",
        hashes=hashed(contents.root),
        properties=[models.Property(name=name, value=value) for name, value in _said(contents)],
    )
    scanner = components.Component(
        name="auditor", type=components.ComponentType.APPLICATION, version=__version__
    )
    files = [
        components.Component(
            name=file.path,
            type=components.ComponentType.FILE,
            bom_ref=f"file:{file.path}",
            hashes=hashed(file.sha256),
        )
        for file in contents.files
    ]
    made = bom.Bom(
        serial_number=uuid.uuid5(NAMESPACE, f"urn:auditor:dataset:sha256:{contents.root}"),
        metadata=bom.BomMetaData(
            component=data,
            tools=[],
            timestamp=time or datetime.now(UTC).replace(microsecond=0),
        ),
        components=files,
    )
    made.metadata.tools.components.add(scanner)
    made.register_dependency(data, files)
    return str(output.JsonV1Dot6(made).output_as_string(indent=2)) + "\n"


def _said(contents: Contents) -> Iterator[tuple[str, str]]:
    """Properties: what CycloneDX has no field for. The component's hash is the root digest."""
    yield "auditor:root:sha256", contents.root
    if contents.row_root is not None:
        yield "auditor:rows:sha256", contents.row_root
    yield "auditor:files", str(contents.n_files)
    yield "auditor:files:listed", str(len(contents.files))
    yield "auditor:bytes", str(contents.n_bytes)
    yield "auditor:samples", str(contents.n_samples)
    yield "auditor:classes", str(len(contents.classes))
    for name, n in list(contents.classes.items())[:MAX_CLASSES]:
        yield f"auditor:class:{name}", str(n)
    for name, n in contents.splits.items():
        yield f"auditor:split:{name}", str(n)
    report = contents.report
    if report is None:
        return
    yield "auditor:scan:verdict", str(report["verdict"])
    yield "auditor:scan:version", str(report["tool"]["version"])
    yield "auditor:scan:fingerprint", str(report["dataset"]["fingerprint"])
    yield "auditor:scan:scanned", str(report["coverage"]["scanned"])
    yield "auditor:scan:refused", str(report["coverage"]["refused"])
    yield "auditor:scan:findings", str(len(report["findings"]))
    yield "auditor:scan:flagged", str(report["n_flagged"])
