"""Configuration: where it comes from, what wins, what is an error, what is never obeyed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from auditor.config import Config, ignored_config, load_config
from auditor.errors import UsageError
from auditor.records import Confidence, Severity


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def load(dataset: Path, environment: dict[str, str] | None = None, **overrides: Any) -> Config:
    return load_config(dataset, None, overrides, environment or {})


def test_defaults(dataset: Path) -> None:
    config = load(dataset)
    assert config == Config()
    assert config.n_workers >= 1
    assert load(dataset, workers=3).n_workers == 3
    assert load(dataset, cache_dir=dataset).cache_dir == str(dataset)
    assert load(dataset, no_cache=True).cache_root is None
    assert load(dataset, cache_dir="~/x").cache_root == Path.home() / "x"


def test_file_then_environment_then_arguments(dataset: Path) -> None:
    Path("auditor.toml").write_text('seed = 1\nworkers = 1\nfail-on = "low"\nselect = ["BKD"]\n')
    config = load(dataset, {"AUDITOR_SEED": "2", "AUDITOR_WORKERS": "2"}, seed=3, workers=None)
    assert (config.seed, config.workers, config.fail_on) == (3, 2, Severity.LOW)
    assert config.select == ("BKD",)


def test_pyproject_counts_where_it_has_a_table(dataset: Path) -> None:
    Path("pyproject.toml").write_text('[project]\nname = "x"\n')
    assert load(dataset) == Config()
    Path("pyproject.toml").write_text('[tool.auditor]\nmin_confidence = "high"\n')
    assert load(dataset).min_confidence is Confidence.HIGH
    Path("pyproject.toml").write_text("[tool]\nauditor = 3\n# [tool.auditor]\n")
    with pytest.raises(UsageError, match="no table"):
        load(dataset)


@pytest.mark.parametrize("name", ["auditor.toml", "pyproject.toml"])
def test_a_config_inside_the_dataset_is_not_obeyed(
    dataset: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (dataset / "sub").mkdir()
    text = 'fail_on = "critical"\nselect = ["DUP"]\n'
    for folder in (dataset, dataset / "sub"):
        head = "[tool.auditor]\n" if name == "pyproject.toml" else ""
        (folder / name).write_text(head + text)
        monkeypatch.chdir(folder)
        assert load(dataset) == Config()
        assert load(Path() if folder == dataset else Path("..")) == Config()
        assert ignored_config(dataset, None) == folder / name


def test_a_config_beside_a_single_file_came_with_it(
    dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (dataset / "train.parquet").touch()
    (dataset / "auditor.toml").write_text('fail_on = "critical"')
    monkeypatch.chdir(dataset)
    assert load(Path("train.parquet")) == Config()
    assert load_config(Path("train.parquet"), Path("auditor.toml"), {}, {}).fail_on == "critical"
    assert ignored_config(Path("train.parquet"), Path("auditor.toml")) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fial_on = 'low'", "did you mean 'fail_on'"),
        ("zzz = 1", "known: fail_on"),
        ("seed = -1", "a number of 0 or more"),
        ("seed = 1.5", "a number of 0 or more"),
        ("seed = true", "a number of 0 or more"),
        ("fail_on = 'worst'", "one of info, low"),
        ("allow_refused = 1.5", "a fraction"),
        ("allow_refused = nan", "a fraction"),
        ("allow_refused = -1", "a fraction"),
        ("allow_refused = true", "a fraction"),
        ("profile = 'slow'", "one of fast, default, thorough"),
        ("device = 'tpu'", "one of auto"),
        ("no_cache = 'maybe'", "true or false"),
        ("image = 3", "text"),
        ("cache_dir = 3", "a path"),
        ("select = 3", "rule ids"),
        ("= 3", "no valid TOML"),
        ("x = '\udcff'", "no valid TOML"),
    ],
)
def test_mistakes_are_named(dataset: Path, text: str, message: str) -> None:
    Path("auditor.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError, match=message):
        load(dataset)


def test_a_missing_file_and_unknown_options(dataset: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load_config(dataset, Path("gone.toml"), {}, {})
    with pytest.raises(UsageError, match="did you mean 'workers'"):
        load(dataset, worker=1)
    with pytest.raises(UsageError, match="did you mean AUDITOR_FAIL_ON"):
        load(dataset, {"AUDITOR_FAILON": "low"})
    assert load(dataset, {"AUDITOR_TEST_DATA": "x", "OTHER": "y"}) == Config()


@pytest.mark.parametrize(
    ("text", "value"), [("3", 3), ("0.01", 0.01), ("1e-3", 0.001), ("1.0", 1.0), ("0", 0)]
)
def test_allowances(dataset: Path, text: str, value: float) -> None:
    found = load(dataset, allow_refused=text).allow_refused
    assert found == value
    assert type(found) is type(value)


def test_lists_come_with_commas_too(dataset: Path) -> None:
    assert load(dataset, {"AUDITOR_SELECT": "BKD, LBL,"}).select == ("BKD", "LBL")
