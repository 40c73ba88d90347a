"""Muon: steps along the orthogonalised momentum, for filters that batch normalisation follows.

All directions of a filter bank move alike, not just the few that dominate its gradient, so that far
fewer images need to be shown: what a network of this size knows of CIFAR-10 after 18 epochs of
plain momentum it knows after 6. torch's own Muon iterates in bfloat16, which most CPUs emulate.
"""

from __future__ import annotations

import torch

MOMENTUM = 0.6
ITERATIONS = 3
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of a quintic whose slope at zero is as steep as convergence of the iteration allows."""

EPSILON = 1e-7


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum and filters of fixed length.

    Each filter bank is scaled to a mean filter length of 1 before a step: with batch normalisation
    behind it only its direction matters, and the rate then says by what angle it turns.

    Args:
        filters: parameters of two dimensions or more, the first that of the outputs.
        lr: learning rate, in units of a filter's length.

    Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers"; fixed lengths and momentum
    as in airbench94, Jordan 2024 (arXiv 2404.00498), repository version with Muon.
    """

    def __init__(self, filters: list[torch.nn.Parameter], lr: float) -> None:
        super().__init__(filters, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Turn every filter bank by its gradient's orthogonalised momentum."""
        for group in self.param_groups:
            for weights in group["params"]:
                gradient = weights.grad
                state = self.state[weights]
                if not state:
                    state["momentum"] = torch.zeros_like(weights)
                momentum = state["momentum"].mul_(MOMENTUM).add_(gradient)
                ahead = gradient.add(momentum, alpha=MOMENTUM)
                turn = orthogonalised(ahead.flatten(1)).view_as(weights)
                weights.mul_(len(weights) ** 0.5 / (weights.norm() + EPSILON))
                weights.add_(turn, alpha=-group["lr"])


def orthogonalised(matrix: torch.Tensor, iterations: int = ITERATIONS) -> torch.Tensor:
    """Bring the singular values of a matrix (M, N) near 1, by Newton–Schulz iterations.

    Near means 0.6–1.2 after three iterations, for the filters of the reference network; more gain
    nothing in training. The iterations run on the smaller Gram matrix alone, which gives the same
    for half of the products. Same shape and type; zeros stay zeros.
    """
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x: torch.Tensor = (matrix.T if tall else matrix) / (matrix.norm() + EPSILON)
    gram = x @ x.T
    whole = torch.eye(len(gram), dtype=x.dtype, device=x.device)
    for _ in range(iterations):
        factor = b * gram + c * gram @ gram
        factor.diagonal().add_(a)
        gram = factor @ gram @ factor
        whole = factor @ whole
    x = whole @ x
    return x.T if tall else x
