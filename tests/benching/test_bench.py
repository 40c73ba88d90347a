"""The bench from end to end, on small cuts of the bundled digits in the fast profile."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from polars.testing import assert_frame_equal
from sklearn.neighbors import KNeighborsClassifier

import auditor
from auditor.benching import harness, running
from auditor.benching.cases import Case
from auditor.benching.cutting import cut
from auditor.benching.running import Place, poison_plan, run_case, scan_copy
from auditor.benching.scoring import score
from auditor.errors import UsageError
from auditor.poisoning import poison
from auditor.readers import Columns

SIZE = 1_200


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


def test_bench_measures_a_caught_attack_and_keeps_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []

    def run() -> harness.BenchResult:
        return harness.bench(
            attacks=["badnets", "clean"], rates=[0.05], size=SIZE, profile="fast", out=home,
            hear=lambda outcome, done, total: heard.append(f"{done}/{total}"),
        )  # fmt: skip

    result = run()
    poisoned, clean = (outcome.score for outcome in result.outcomes)
    assert heard == ["1/2", "2/2"]
    assert poisoned is not None
    assert poisoned.n_poisoned == 60
    assert poisoned.n_samples == SIZE
    assert poisoned.found["BKD"] >= 57
    assert poisoned.false["BKD"] <= 3
    assert poisoned.right
    assert poisoned.rankings["shortcut_score"].auroc > 0.9
    assert clean is not None
    assert clean.right
    assert clean.n_poisoned == 0
    assert result.outcomes[0].success is not None
    assert "fast profile" in result.outcomes[0].success.reason
    assert not (home / "work").exists(), "scratch copies are removed"

    def never(*_: object) -> None:
        raise AssertionError("a finished case was run again")

    monkeypatch.setattr(running, "_run", never)
    assert run() == result


def test_the_scan_never_sees_the_truth(tmp_path: Path) -> None:
    """Scrambled truth leaves samples, evidence and flags bit for bit as they are."""
    place = Place(_digits(tmp_path), "", tmp_path, Columns(), 2, "auto")
    case = Case("badnets", 0.05, size=800, profile="fast")
    part = cut(place.dataset, case.size, case.seed, tmp_path / "cut", Columns())
    result = poison(poison_plan(case, part, tmp_path, place))
    before = scan_copy(result.out, case, place, tmp_path / "cache-1")
    truth = pl.read_parquet(result.truth)
    order = np.random.default_rng(0).permutation(truth.height)
    shuffled = truth.with_columns(truth["poisoned"].gather(order), truth["attack"].gather(order))
    shuffled.write_parquet(result.truth)
    after = scan_copy(result.out, case, place, tmp_path / "cache-2")
    assert_frame_equal(before.samples, after.samples, check_exact=True)
    assert_frame_equal(before.flagged, after.flagged, check_exact=True)
    assert before.evidence.keys() == after.evidence.keys()
    for scope, frame in before.evidence.items():
        assert_frame_equal(frame, after.evidence[scope], check_exact=True)
    told = score(before, truth, "badnets", "dirty_label")
    fooled = score(after, shuffled, "badnets", "dirty_label")
    assert told.n_poisoned == fooled.n_poisoned == 40
    assert told.found["any"] > fooled.found["any"], "only the score knows the truth"


def test_what_can_not_be_run_stays_in_the_table(tmp_path: Path) -> None:
    place = Place(_digits(tmp_path), "", tmp_path, Columns(), 2, "auto")
    outcome = run_case(Case("sig", 0.5, size=200, profile="fast"), place)
    assert outcome.status == "inapplicable"
    assert "of the target class" in outcome.reason
    assert place.result_file(outcome.case).exists()


def test_what_breaks_is_named_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(_digits(tmp_path), "", tmp_path, Columns(), 2, "auto")

    def broken(*_: object) -> None:
        raise ZeroDivisionError("no")

    monkeypatch.setattr(running, "scan", broken)
    monkeypatch.setattr(running, "scan_copy", broken)
    outcome = run_case(Case("badnets", 0.1, size=200, profile="fast"), place)
    assert outcome.status == "failed"
    assert "ZeroDivisionError: no" in outcome.reason
    assert not place.result_file(outcome.case).exists()
    assert list((tmp_path / "work").iterdir()) == []


def test_benches_that_share_a_folder_leave_one_another_their_work(tmp_path: Path) -> None:
    quick = {"attacks": ["sig"], "rates": [0.5], "size": 200, "profile": "fast", "out": tmp_path}
    theirs = tmp_path / "work" / "badnets-1"
    theirs.mkdir(parents=True)
    other = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_SH)  # another bench is at work
    auditor.bench(**quick)  # type: ignore[arg-type]
    assert theirs.exists()
    os.close(other)
    auditor.bench(**quick)  # type: ignore[arg-type]
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"suite": "quik"}, "--suite: got 'quik'"),
        ({"attacks": ["badnet"], "rates": [0.1]}, "did you mean 'badnets'"),
        ({"attacks": ["wanet"]}, "the suite has no such case"),
        ({"size": 10**6}, "--size: got 1000000"),
        ({"attacks": ["badnets"], "rates": [0.1], "params": {"x": "1"}}, "no parameter 'x'"),
        ({"jobs": 0}, "--jobs: got 0"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_runs(
    home: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        harness.bench(out=home, **options)  # type: ignore[arg-type]


def test_definition_and_dataset_name_a_result() -> None:
    case = Case("badnets", 0.1)
    assert case.digest("a") == Case("badnets", 0.1).digest("a")
    others = [Case("badnets", 0.1, seed=1), Case("badnets", 0.2), Case("sig", 0.1)]
    digests = {case.digest("a"), case.digest("b"), *(other.digest("a") for other in others)}
    assert len(digests) == 5


@pytest.mark.slow
def test_attack_success_is_measured_with_the_scans_own_networks(
    brief: None, tmp_path: Path
) -> None:
    place = Place(_digits(tmp_path), "", tmp_path, Columns(), 2, "cpu")
    outcome = run_case(Case("corner_square", 0.1, size=400), place)
    success = outcome.success
    assert outcome.status == "ok", outcome.reason
    assert success is not None
    assert success.rate is not None
    assert 0 <= success.rate <= 1
    assert success.n_images > 100
    assert success.clean_accuracy is not None
    assert outcome.reference_accuracy is not None
    assert abs(success.clean_accuracy - outcome.reference_accuracy) < 0.2


@pytest.mark.slow
def test_a_victim_trained_on_the_whole_copy_obeys_the_trigger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auditor.features.victim.BATCH_SIZE", 64)  # half of the time
    monkeypatch.setattr("auditor.features.victim.MIN_STEPS", 300)  # enough for digits
    place = Place(_digits(tmp_path), "", tmp_path, Columns(), 2, "cpu")
    case = Case("corner_square", 0.1, size=800, profile="fast", victim_epochs=1)
    outcome = run_case(case, place)
    assert outcome.status == "ok", outcome.reason
    assert outcome.success is not None
    assert outcome.success.rate is not None
    assert outcome.success.rate > 0.9
    assert outcome.success.clean_accuracy is not None
    assert outcome.success.clean_accuracy > 0.9


def test_wrong_labels_cost_the_victim_accuracy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The victim here is the nearest neighbour: it obeys every label and trains in no time."""
    monkeypatch.setattr("auditor.benching.success.train_victim", _nearest)
    result = harness.bench(
        _stripes(tmp_path / "stripes"), attacks=["clean", "pair_flip"], rates=[0.4], size=240,
        profile="fast", victim_epochs=1, out=tmp_path / "out",
    )  # fmt: skip
    rows = {row["attack"]: row for row in result.table.iter_rows(named=True)}
    assert rows["clean"]["clean_accuracy"] > 0.95
    assert rows["pair_flip"]["attack_success"] is None
    assert 0.2 < rows["pair_flip"]["accuracy_drop"] < 0.6


def _stripes(root: Path) -> Path:
    """300 pictures of noise, a third of each bright: which third is the class."""
    generator = np.random.default_rng(0)
    for i in range(300):
        label = i % 3
        pixels = generator.integers(0, 100, (32, 32, 3), dtype=np.uint8)
        pixels[label * 10 : label * 10 + 10] += 120
        folder = root / "abc"[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return root


def _nearest(
    pixels: np.ndarray, labels: np.ndarray, n_classes: int, *_: object
) -> Callable[[np.ndarray], np.ndarray]:
    """What `train_victim` gives: a function from images to (M, K) logits."""
    model = KNeighborsClassifier(1).fit(pixels.reshape(len(pixels), -1), labels)
    return lambda images: np.eye(n_classes)[model.predict(images.reshape(len(images), -1))]


def _digits(folder: Path) -> Path:
    """The bundled digits, written once for all tests of the process."""
    shared = folder.parent / "digits-of-the-bench"
    if not shared.exists():
        from auditor.sample import write_sample

        write_sample(folder / "digits")
        shutil.move(folder / "digits", shared)
    return shared
