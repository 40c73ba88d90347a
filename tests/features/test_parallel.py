import signal
import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from auditor.features.parallel import for_each_fold
from auditor.features.reference import OUTPUTS, train_reference

PATIENCE = 60
"""Seconds after which a thread that should have been stopped counts as hung."""


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_folds_run_together_on_a_share_of_the_cores():
    met = threading.Barrier(2, timeout=PATIENCE)
    seen: list[tuple[int, int]] = []

    def work(fold, advance):
        met.wait()  # passes only if the other fold is there too
        advance(10)
        return fold, torch.get_num_threads()

    done = for_each_fold(work, "cpu", 20, lambda *shown: seen.append(shown))
    assert done == [(0, 1), (1, 1)]
    assert seen == [(10, 20), (20, 20)]
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_a_failure_stops_the_other_fold_and_is_told():
    def work(fold, advance):
        if fold == 1:
            raise OSError("disk full")
        give_up = threading.Event()
        while not give_up.wait(0.001):
            advance(1)

    with pytest.raises(OSError, match="disk full"):
        for_each_fold(work, "cpu", 1, lambda done, total: None)
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_a_signal_stops_both_folds_though_the_main_thread_only_waits():
    def told(number, frame):
        raise KeyboardInterrupt

    def work(fold, advance):
        give_up = threading.Event()
        while not give_up.wait(0.001):
            advance(1)

    before = signal.signal(signal.SIGTERM, told)
    timer = threading.Timer(0.2, signal.raise_signal, [signal.SIGTERM])
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            for_each_fold(work, "cpu", 1, lambda done, total: None)
    finally:
        timer.join()
        signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_one_core_and_a_gpu_take_a_fold_at_a_time(device):
    if device == "cpu":
        torch.set_num_threads(1)
    here = threading.get_ident()
    ran = for_each_fold(lambda fold, _: (fold, threading.get_ident()), device, 1, lambda *_: None)
    assert ran == [(0, here), (1, here)]


def test_for_each_fold_or_in_turn_the_networks_are_the_same(tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 120)
    pixels = (
        rng.integers(0, 200, (120, 32, 32, 3), dtype=np.uint8)
        + 40 * labels.astype(np.uint8)[:, None, None, None]
    )
    before = torch.get_num_threads()
    outs = []
    for n_threads in (1, 2):
        out = tmp_path / str(n_threads)
        out.mkdir()
        torch.set_num_threads(n_threads)
        train_reference(pixels, labels, 2, out, 3, "cpu", lambda *_: None)
        torch.set_num_threads(before)
        outs.append({name: np.load(out / f"{name}.npy") for name in OUTPUTS})
    assert all(np.array_equal(outs[0][name], outs[1][name]) for name in OUTPUTS)
