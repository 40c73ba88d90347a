import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from easy import easy_classes

from auditor.features import victim
from auditor.features.network import N_PENULTIMATE
from auditor.features.suspect import OUTPUTS, load_views, make_suspect
from auditor.interfaces import InapplicableError

N = 240


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    """Three easy classes (a bright third), one sample without a label."""
    pixels, labels = easy_classes(N)
    labels[1] = -1
    return pixels, labels


@pytest.fixture(scope="module", autouse=True)
def short() -> Iterator[None]:
    """Few steps: three easy classes are learnt in them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(victim, "MIN_STEPS", 60)
        yield


@pytest.fixture(scope="module")
def finished(data, short, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    seen: list[tuple[int, int]] = []
    out = tmp_path_factory.mktemp("suspect")
    digest = make_suspect(*data, 3, out, 7, "cpu", lambda *at: seen.append(at))
    assert seen[-1][0] == seen[-1][1]
    assert all(done <= total for done, total in seen)
    return out, digest


def test_views_have_their_shapes_and_the_victim_learns(data, finished):
    views = load_views(finished[0])
    assert set(views) == set(OUTPUTS)
    assert views["victim_penultimate"].shape == (N, N_PENULTIMATE)
    assert views["victim_penultimate"].dtype == np.float16
    assert views["victim_logits"].shape == (N, 3)
    assert views["victim_logits"].dtype == np.float32
    right = views["victim_logits"].argmax(axis=1) == data[1]
    assert right.mean() > 0.9


def test_a_killed_run_resumes_and_a_finished_one_is_returned(data, finished, tmp_path):
    out, digest = finished
    before = (out / "victim_logits.npy").stat().st_mtime_ns
    assert make_suspect(*data, 3, out, 7, "cpu", lambda *_: None) == digest
    assert (out / "victim_logits.npy").stat().st_mtime_ns == before
    (weights,) = out.glob("victim-*.pt")
    again = tmp_path / "again"
    again.mkdir()
    (again / weights.name).write_bytes(weights.read_bytes())
    assert make_suspect(*data, 3, again, 7, "cpu", lambda *_: None) == digest
    for name in OUTPUTS:
        assert (load_views(again)[name] == load_views(out)[name]).all(), name


def test_row_order_does_not_matter(data, finished, tmp_path):
    pixels, labels = data
    order = np.random.default_rng(1).permutation(N)
    again = tmp_path / "again"
    again.mkdir()
    digest = make_suspect(pixels[order], labels[order], 3, again, 7, "cpu", lambda *_: None)
    assert digest == finished[1]


def test_other_labels_make_another_victim(data, finished, tmp_path):
    """Even where the first one's lies ready."""
    pixels, labels = data
    changed = labels.copy()
    changed[0] = 2
    again = shutil.copytree(finished[0], tmp_path / "again")
    assert make_suspect(pixels, changed, 3, again, 7, "cpu", lambda *_: None) != finished[1]


def test_too_little_is_said(data, tmp_path):
    pixels, labels = data
    with pytest.raises(InapplicableError, match="200 labelled"):
        make_suspect(pixels[:100], labels[:100], 3, tmp_path, 7, "cpu", lambda *_: None)
