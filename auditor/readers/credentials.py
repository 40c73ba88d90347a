"""Inside a worker: what C2PA content credentials say, checked offline by c2pa-python.

The library is native code that parses hostile bytes, so it runs under a worker's limits. It is told
to fetch nothing, and its web requests are sent to a proxy that nobody serves.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from auditor.readers.signatures import sniff

TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif",
         "TIFF": "image/tiff"}  # fmt: skip

SETTINGS: Mapping[str, Any] = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": False},
    "core": {"allowed_network_hosts": []},
}

NOWHERE = "http://127.0.0.1:9"
"""A proxy that nobody serves (the discard port): what asks for the network all the same fails."""

GENERATED = ("trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia")
"""Digital source types of IPTC that mean: made by a trained model, in whole or in part."""

MINING = ("c2pa.training-mining", "cawg.training-mining")

FINDINGS = pa.schema(
    [
        ("state", pa.string()),
        ("codes", pa.string()),
        ("generated", pa.bool_()),
        ("no_training", pa.bool_()),
    ]
)
"""What is said of each sample; all null where the credentials could not be read."""


def check(data: bytes) -> dict[str, object]:
    """Validate one image's credentials.

    Returns:
        A row of `FINDINGS`. ``state`` is ``Valid``, ``Invalid`` or ``Trusted``, or ``Unreadable``
        where the library gives up. Who signed is not judged: no list of trusted signers is used.

    Raises:
        ImportError: c2pa-python is not installed.
    """
    os.environ |= {"HTTP_PROXY": NOWHERE, "HTTPS_PROXY": NOWHERE, "ALL_PROXY": NOWHERE}
    from c2pa import C2paError, Context, Reader, Settings  # type: ignore[import-untyped]

    kind = TYPES.get(sniff(data[:16]) or "")
    if kind is None:
        return {"state": "Unreadable", "codes": "format"}
    try:
        with Reader(kind, io.BytesIO(data), context=Context(Settings.from_dict(SETTINGS))) as found:
            state = str(found.get_validation_state())
            said = json.loads(found.json())
    except (C2paError, ValueError, RecursionError) as error:
        return {"state": "Unreadable", "codes": str(error)[:200]}
    codes = [str(one.get("code")) for one in said.get("validation_status", [])]
    wrong = sorted({code for code in codes if code != "signingCredential.untrusted"})
    manifest = said.get("manifests", {}).get(said.get("active_manifest"), {})
    assertions = list(_assertions(manifest))
    return {
        "state": state,
        "codes": ", ".join(wrong)[:200],
        "generated": any(_is_generated(data) for _, data in assertions),
        "no_training": any(_forbids(data) for label, data in assertions if label in MINING),
    }


def _assertions(manifest: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for item in manifest.get("assertions", []):
        if isinstance(item, dict):
            # A repeated assertion carries a number: c2pa.actions.v2__1.
            yield str(item.get("label")).split("__")[0], item.get("data")


def _is_generated(data: object) -> bool:
    actions = data.get("actions") if isinstance(data, dict) else None
    kinds = [
        str(one.get("digitalSourceType", ""))
        for one in (actions if isinstance(actions, list) else [])
        if isinstance(one, dict)
    ]
    return any(kind.rsplit("/", 1)[-1] in GENERATED for kind in kinds)


def _forbids(data: object) -> bool:
    entries = data.get("entries") if isinstance(data, dict) else None
    return isinstance(entries, dict) and any(
        "training" in name and isinstance(entry, dict) and entry.get("use") != "allowed"
        for name, entry in entries.items()
    )
