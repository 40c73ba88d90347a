import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from auditor.features.muon import COEFFICIENTS, MOMENTUM, Muon, orthogonalised

MATRICES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=12)


def slow(matrix: np.ndarray, iterations: int) -> np.ndarray:
    """The odd quintic, applied to each singular value."""
    a, b, c = COEFFICIENTS
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    values = values / np.sqrt((values**2).sum())
    for _ in range(iterations):
        values = a * values + b * values**3 + c * values**5
    return left @ np.diag(values) @ right


@given(MATRICES, st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_singular_values_go_through_the_quintic(shape, seed, iterations):
    matrix = np.random.default_rng(seed).normal(size=shape)
    got = orthogonalised(torch.from_numpy(matrix), iterations).numpy()
    assert got == pytest.approx(slow(matrix, iterations), abs=1e-4)


@given(MATRICES, st.integers(0, 2**32 - 1))
def test_turning_the_matrix_turns_the_result(shape, seed):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=shape)
    turn, _ = np.linalg.qr(rng.normal(size=(shape[0], shape[0])))
    got = orthogonalised(torch.from_numpy(turn @ matrix)).numpy()
    assert got == pytest.approx(turn @ orthogonalised(torch.from_numpy(matrix)).numpy(), abs=1e-6)


@pytest.mark.parametrize("shape", [(48, 108), (96, 864), (192, 1728), (300, 20)])
def test_the_network_s_filters_are_brought_near_to_orthogonal(shape):
    matrix = torch.from_numpy(np.random.default_rng(0).normal(size=shape))
    values = torch.linalg.svdvals(orthogonalised(matrix))
    assert float(values.min()) > 0.6
    assert float(values.max()) < 1.25


def test_zeros_stay_zeros():
    assert not orthogonalised(torch.zeros(4, 7)).any()


def test_a_step_is_the_orthogonalised_momentum_from_filters_of_fixed_length():
    rng = np.random.default_rng(1)
    start = rng.normal(size=(5, 2, 3, 3))
    gradients = rng.normal(size=(3, 5, 2, 3, 3))
    weights = torch.nn.Parameter(torch.from_numpy(start.copy()))
    optimizer = Muon([weights], lr=0.1)
    expected, momentum = start, np.zeros_like(start)
    for gradient in gradients:
        weights.grad = torch.from_numpy(gradient)
        optimizer.step()
        momentum = MOMENTUM * momentum + gradient
        turn = slow((gradient + MOMENTUM * momentum).reshape(5, 18), 3).reshape(start.shape)
        expected = expected * 5**0.5 / np.sqrt((expected**2).sum()) - 0.1 * turn
    assert weights.detach().numpy() == pytest.approx(expected, abs=1e-5)


def test_the_scale_of_a_loss_does_not_matter():
    start = np.random.default_rng(2).normal(size=(4, 3, 3, 3)).astype(np.float32)
    images = torch.randn(8, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    ends = []
    for factor in (1.0, 1_000.0):
        weights = torch.nn.Parameter(torch.from_numpy(start.copy()))
        optimizer = Muon([weights], lr=0.05)
        for _ in range(4):
            weights.grad = None
            loss = factor * torch.nn.functional.conv2d(images, weights).tanh().sum()
            loss.backward()
            optimizer.step()
        ends.append(weights.detach().numpy())
    assert ends[0] == pytest.approx(ends[1], abs=1e-4)
