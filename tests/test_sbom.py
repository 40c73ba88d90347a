"""Bills of materials: valid by the formats' own rules, and true."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import features, pictures, structs, write_folder, write_parquet
from typer.testing import CliRunner

from auditor.cli import app
from auditor.errors import UsageError
from auditor.manifests import create_manifest, verify_manifest
from auditor.report import Report
from auditor.sbom import contents as contents_module
from auditor.sbom.writing import write_sbom

Scan = Callable[..., Report]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    data = write_folder(tmp_path / "pets", {"cat": 5, "dog": 4})
    (data / "README.md").write_text("pets\n")
    return data


def valid(text: str) -> bool:
    """By the library's own schema of CycloneDX 1.6."""
    validation = pytest.importorskip("cyclonedx.validation.json")
    pytest.importorskip("jsonschema")
    from cyclonedx.schema import SchemaVersion

    return validation.JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def properties(said: dict[str, dict[str, dict[str, list[dict[str, str]]]]]) -> dict[str, str]:
    listed = said["metadata"]["component"]["properties"]
    return {item["name"]: item["value"] for item in listed}


def test_cyclonedx_is_valid_and_true(images: Path, tmp_path: Path, fast_scan: Scan) -> None:
    pytest.importorskip("cyclonedx")
    fast_scan(images).save(tmp_path / "report")
    out = tmp_path / "bom.json"
    write_sbom(images, out, report=tmp_path / "report")
    assert valid(out.read_text())
    said = json.loads(out.read_text())
    assert said["specVersion"] == "1.6"
    component = said["metadata"]["component"]
    root = create_manifest(images, tmp_path / "m").root
    assert (component["type"], component["name"]) == ("data", "pets")
    assert component["hashes"] == [{"alg": "SHA-256", "content": root}]
    facts = properties(said)
    assert facts["auditor:samples"] == "9"
    assert facts["auditor:class:cat"] == "5"
    assert facts["auditor:scan:verdict"] == "pass"
    files = {item["name"]: item["hashes"][0]["content"] for item in said["components"]}
    assert len(files) == 10
    for name, digest in files.items():
        assert hashlib.sha256((images / name).read_bytes()).hexdigest() == digest
    again = tmp_path / "again.json"
    write_sbom(images, again, report=tmp_path / "report")
    assert again.read_bytes() == out.read_bytes()


def test_hostile_names_stay_valid(tmp_path: Path) -> None:
    pytest.importorskip("cyclonedx")
    data = write_folder(tmp_path / "d", {"\x1b[31m<b>\n": 2, '"quoted"': 2})
    for format_id in ("cyclonedx", "croissant"):
        out = tmp_path / format_id
        write_sbom(data, out, format_id)
        assert "\x1b" not in out.read_text()
        json.loads(out.read_text())
    assert valid((tmp_path / "cyclonedx").read_text())


def test_our_own_croissant_verifies(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "croissant.json"
    write_sbom(images, out, "croissant")
    checked = verify_manifest(images, out)
    assert checked.format == "croissant"
    assert checked.differences == ()
    assert checked.n_verified == 10
    (images / "cat" / "000.png").write_bytes(b"other")
    assert verify_manifest(images, out).exit_code == 1


def test_a_parquet_file(tmp_path: Path) -> None:
    columns = {"image": structs(pictures(6)), "label": [0, 1] * 3}
    file = write_parquet(tmp_path / "d" / "train.parquet", columns, features({"label": ["a", "b"]}))
    out = tmp_path / "croissant.json"
    write_sbom(file.parent, out, "croissant")
    (entry,) = json.loads(out.read_text())["distribution"]
    assert entry["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert entry["encodingFormat"] == "application/vnd.apache.parquet"


def test_many_files_are_told_by_kind(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents_module, "MAX_FILES", 3)
    out = tmp_path / "croissant.json"
    found = write_sbom(images, out, "croissant")
    assert not found.listed
    kinds = {item["includes"] for item in json.loads(out.read_text())["distribution"]}
    assert kinds == {"**/*.png", "**/*.md"}


def test_a_report_of_another_dataset_is_refused(
    images: Path, tmp_path: Path, fast_scan: Scan
) -> None:
    other = write_folder(tmp_path / "other", {"cat": 5, "dog": 4}, seed=500)
    fast_scan(other).save(tmp_path / "report")
    with pytest.raises(UsageError, match="not what was scanned"):
        write_sbom(images, tmp_path / "bom.json", "croissant", report=tmp_path / "report")
    with pytest.raises(UsageError, match="cyclonedx or croissant"):
        write_sbom(images, tmp_path / "bom.json", "spdx")


def test_the_command(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "c.json"
    run = CliRunner().invoke(
        app, ["sbom", str(images), "-o", str(out), "--format", "croissant"], catch_exceptions=False
    )
    assert run.exit_code == 0
    assert "10 files, 9 samples" in run.output
    inside = CliRunner().invoke(app, ["sbom", str(images), "-o", str(images / "bom.json")])
    assert isinstance(inside.exception, UsageError)
    assert not (images / "bom.json").exists()
