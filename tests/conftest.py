"""Small datasets, built anew for each test, and one shared pool of isolated workers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks of small sets see each image eight times, not 39: for tests of what is asked of
    them, not of what they know."""
    from auditor.features import training

    monkeypatch.setattr(training, "MAX_EPOCHS", 8.0)


@pytest.fixture
def data_root() -> Path:
    """The evaluation datasets; skips where they are absent."""
    if not DATA.is_dir():
        pytest.skip(f"evaluation data not found at {DATA}; set AUDITOR_TEST_DATA")
    return DATA


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
