from pathlib import Path

import numpy as np
import pytest
from easy import easy_classes

from auditor.errors import UsageError
from auditor.features.network import N_PENULTIMATE
from auditor.features.reference import OUTPUTS, train_reference
from auditor.interfaces import InapplicableError

N = 80


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    """Three easy classes (a bright third), one sample of a fourth, one without a label."""
    pixels, labels = easy_classes(N)
    labels[0], labels[1] = 3, -1
    return pixels, labels


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory) -> tuple[Path, object]:
    out = tmp_path_factory.mktemp("reference")
    seen: list[tuple[int, int]] = []
    reference = train_reference(*data, 4, out, 7, "cpu", lambda *at: seen.append(at))
    assert seen[-1][0] == seen[-1][1]
    assert all(done <= total for done, total in seen)
    return out, reference


def read(out: Path) -> dict[str, np.ndarray]:
    return {name: np.load(out / f"{name}.npy", allow_pickle=False) for name in OUTPUTS}


def test_views_have_their_shapes_and_the_network_learns(data, finished):
    out, reference = finished
    views = read(out)
    assert views["probabilities"].shape == (N, 4)
    assert views["probabilities"].dtype == np.float32
    assert views["probabilities"].sum(axis=1) == pytest.approx(np.ones(N), abs=1e-5)
    assert views["penultimate"].dtype == np.float16
    assert views["penultimate"].shape == (N, N_PENULTIMATE)
    assert set(views["fold"].tolist()) == {0, 1}
    assert views["fold"][1] == 0
    correct = views["probabilities"].argmax(axis=1) == data[1]
    assert reference.accuracy == pytest.approx(correct.sum() / (N - 1))
    assert reference.accuracy > 0.8
    assert len(reference.digest) == 64


def test_a_killed_run_resumes_to_the_same_result(data, finished, tmp_path):
    out, reference = finished
    first = next(iter(out.glob("fold0-*.pt")))
    (tmp_path / first.name).write_bytes(first.read_bytes())
    again = train_reference(*data, 4, tmp_path, 7, "cpu", lambda *_: None)
    assert again == reference
    for name, view in read(tmp_path).items():
        assert (view == read(out)[name]).all(), name


def test_a_finished_run_is_returned_as_it_is(data, finished):
    out, reference = finished
    before = (out / "probabilities.npy").stat().st_mtime_ns
    assert train_reference(*data, 4, out, 7, "cpu", lambda *_: None) == reference
    assert (out / "probabilities.npy").stat().st_mtime_ns == before


def test_networks_that_are_asked_otherwise_are_not_trained_anew(data, finished, monkeypatch):
    out, reference = finished
    weights = {path.name: path.stat().st_mtime_ns for path in out.glob("*.pt")}
    before = read(out)
    monkeypatch.setattr("auditor.features.reference.OUTPUTS_VERSION", "other")
    again = train_reference(*data, 4, out, 7, "cpu", lambda *_: None)
    assert again.digest != reference.digest  # evidence made from the earlier answers is not reused
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("*.pt")} == weights
    after = read(out)
    assert all((after[name] == before[name]).all() for name in OUTPUTS)
    monkeypatch.undo()
    assert train_reference(*data, 4, out, 7, "cpu", lambda *_: None) == reference


def test_row_order_does_not_matter(data, finished, tmp_path):
    pixels, labels = data
    order = np.random.default_rng(1).permutation(N)
    again = train_reference(pixels[order], labels[order], 4, tmp_path, 7, "cpu", lambda *_: None)
    assert again.digest == finished[1].digest
    expected, found = read(finished[0]), read(tmp_path)
    assert (found["fold"] == expected["fold"][order]).all()
    gap = np.abs(found["probabilities"] - expected["probabilities"][order])
    assert gap.max() < 0.02


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(40, np.int64), "at least 2 classes"),
        (np.full(40, -1, np.int64), "at least 2 classes"),
        (np.r_[np.arange(10) % 2, np.full(30, -1)], "20 labelled"),
    ],
)
def test_too_little_is_said(labels, message, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    with pytest.raises(InapplicableError, match=message):
        train_reference(pixels, labels, 2, tmp_path, 0, "cpu", lambda *_: None)


def test_copies_of_one_image_are_no_data(tmp_path):
    pixels = np.zeros((40, 32, 32, 3), np.uint8)
    with pytest.raises(InapplicableError, match="different images"):
        train_reference(pixels, np.arange(40) % 2, 2, tmp_path, 0, "cpu", lambda *_: None)


def test_unknown_device_is_a_usage_error(data, tmp_path):
    with pytest.raises(UsageError, match="--device"):
        train_reference(*data, 4, tmp_path, 7, "tpu", lambda *_: None)
