"""Small datasets, built anew for each test, and one shared pool of isolated workers."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from auditor.engines import Limits, WorkerPool
from auditor.features.store import open_store
from auditor.ingest import Ledger, coverage, ingest, open_catalog
from auditor.readers import Catalog, Columns, walk
from auditor.records import Coverage
from auditor.report import Report

DATA = Path(__file__).parent.parent / os.environ.get("AUDITOR_TEST_DATA", "../shared/data")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the user's cache or configuration."""
    monkeypatch.setenv("AUDITOR_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.chdir(tmp_path_factory.mktemp("here"))
    for name in ("CI", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def data_root() -> Path:
    """The evaluation datasets; skips where they are absent."""
    if not DATA.is_dir():
        pytest.skip(f"evaluation data not found at {DATA}; set AUDITOR_TEST_DATA")
    return DATA


def picture(seed: int, width: int = 40, height: int = 36, mode: str = "RGB") -> Image.Image:
    """A smooth random picture: no two seeds look alike."""
    generator = np.random.default_rng(seed)
    small = generator.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    large = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    return large.convert(mode)


def encode(image: Image.Image, format_: str = "PNG", **options: Any) -> bytes:
    """The image's file bytes."""
    out = io.BytesIO()
    image.save(out, format_, **options)
    return out.getvalue()


def write_folder(
    root: Path, classes: Mapping[str, int], seed: int = 0, format_: str = "PNG"
) -> Path:
    """``root/<class>/<n>.<format>``; the pictures of all classes differ."""
    suffix = {"PNG": "png", "JPEG": "jpg"}[format_]
    for place, (name, n) in enumerate(classes.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            data = encode(picture(seed + 1000 * place + i), format_)
            (root / name / f"{i:03d}.{suffix}").write_bytes(data)
    return root


def pictures(n: int, seed: int = 0) -> list[bytes]:
    """``n`` different PNG files."""
    return [encode(picture(seed + i)) for i in range(n)]


def features(names: Mapping[str, Sequence[object]]) -> dict[bytes, bytes]:
    """Schema metadata as Hugging Face writes it, with class names a column."""
    kinds = {name: {"names": list(values), "_type": "ClassLabel"} for name, values in names.items()}
    return {b"huggingface": json.dumps({"info": {"features": kinds}}).encode()}


def write_parquet(
    path: Path,
    columns: Mapping[str, Any],
    metadata: Mapping[bytes, bytes] | None = None,
    **options: Any,
) -> Path:
    """A Parquet file of these columns (lists or Arrow arrays)."""
    table = pa.table(dict(columns))
    if metadata:
        table = table.replace_schema_metadata(dict(metadata))
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, **options)
    return path


def structs(images: Sequence[bytes | None], paths: Sequence[str | None] | None = None) -> pa.Array:
    """The Hugging Face image column: struct<bytes, path>."""
    names = paths or [f"{i}.png" for i in range(len(images))]
    rows = [{"bytes": b, "path": p} for b, p in zip(images, names, strict=True)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.array(rows, kind)


@pytest.fixture(scope="session")
def pool() -> Iterator[WorkerPool]:
    """One isolated worker for all tests that only read."""
    with WorkerPool(1, Limits()) as started:
        yield started


class Readout:
    """A dataset as the pipeline read it: catalog, ledger and coverage."""

    def __init__(self, catalog: Catalog, ledger: Ledger) -> None:
        self.catalog = catalog
        self.ledger = ledger
        self.samples = ledger.samples
        self.coverage: Coverage = coverage(ledger.samples, catalog)

    def column(self, name: str) -> list[Any]:
        return self.samples[name].to_list()

    def by_uri(self, name: str) -> dict[str, Any]:
        return dict(zip(self.column("uri"), self.column(name), strict=True))


@pytest.fixture
def read(pool: WorkerPool) -> Callable[..., Readout]:
    """Read a dataset without judging it, on the shared worker and without a cache."""

    def run(path: Path, **columns: str) -> Readout:
        with open_store(None, "test") as store:
            catalog = open_catalog(walk(path), Columns(**columns), pool)
            ledger = ingest(catalog, pool, store, lambda done, total: None)
            views = {name: np.array(view) for name, view in ledger.views.items()}
        kept = Ledger(ledger.samples, views, ledger.class_names, ledger.fingerprint)
        return Readout(catalog, kept)

    return run


@pytest.fixture
def fast_scan() -> Callable[..., Report]:
    """Scan without a network, on one worker."""
    from auditor.scanning import scan

    def run(path: Path, **options: Any) -> Report:
        return scan(path, **{"profile": "fast", "workers": 1, **options})

    return run
