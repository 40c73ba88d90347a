"""How a network's answers hold when its input or its weights are disturbed.

A trigger that a network has learnt outlives what blurs content: another picture laid over the
image, amplified layers. Each function asks one trained network about every sample and gives a few
numbers a sample; what they mean is the detectors' business.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn

from auditor.features.network import Hardware
from auditor.features.training import Scaling, forward

BATCH = 1_000

N_BLENDS = 8
"""Pictures laid over each sample; Gao et al. take 100. The time grows with them, and what 8 show
is no better than chance where it was measured."""

FACTOR = 1.5
"""Hou et al. 2024, §5.1: ω of the parameter-oriented scaling."""

Advance = Callable[[int], None]


def blended_answers(
    network: nn.Sequential,
    pixels: np.ndarray,
    labels: np.ndarray,
    partners: np.ndarray,
    scale: Scaling,
    hardware: Hardware,
    advance: Advance,
) -> np.ndarray:
    """Lay other samples over each sample and ask the network.

    Args:
        network: ``Sequential(body, head)``, in evaluation mode.
        pixels: (N, 32, 32, 3) uint8.
        labels: (N,) int64 in 0…K−1, or −1.
        partners: (N, M) int64, the rows laid over each sample.
        scale: the network's input scaling.
        hardware: device and precision.
        advance: called with the number of images asked about since the last call.

    Returns:
        (N, 2) float32: mean entropy of the answers in nats, 0…ln K, and the mean probability of
        the sample's own label (0 without one). Source: Gao et al. 2019, STRIP, §IV, eq. 1–3;
        deviation: equal weights for both pictures, so that pixels need no clipping.
    """
    out = np.zeros((len(pixels), 2), np.float32)
    for rows in _blocks(len(pixels)):
        images = pixels[rows].astype(np.uint16)
        given = torch.from_numpy(np.maximum(labels[rows], 0))[:, None]
        known = torch.from_numpy(labels[rows] >= 0)
        for column in range(partners.shape[1]):
            other = pixels[partners[rows, column]]
            mixed = ((images + other) // 2).astype(np.uint8)
            answers = _probabilities(network, mixed, scale, hardware)
            entropy = -(answers * answers.clamp_min(1e-12).log()).sum(1)
            own = answers.gather(1, given)[:, 0] * known
            out[rows, 0] += entropy.numpy() / partners.shape[1]
            out[rows, 1] += own.numpy() / partners.shape[1]
        advance(len(images) * partners.shape[1])
    return out


def amplified_answers(
    network: nn.Sequential,
    pixels: np.ndarray,
    scale: Scaling,
    hardware: Hardware,
    advance: Advance,
) -> np.ndarray:
    """Amplify the last 1, 2, … batch normalisations and ask whether the network keeps its answer.

    Returns:
        (N, L) float32: probability of the answer of the unchanged network, after the last 1…L
        layers were multiplied by 1.5. Source: Hou et al. 2024, IBD-PSC, §4.2–4.3; deviation: every
        number of layers is kept, the detector chooses among them.
    """
    layers = _normalisations(network)
    louder = [amplified(network, count) for count in range(1, len(layers) + 1)]
    out = np.zeros((len(pixels), len(layers)), np.float32)
    for rows in _blocks(len(pixels)):
        images = np.ascontiguousarray(pixels[rows])
        named = _probabilities(network, images, scale, hardware).argmax(1, keepdim=True)
        for column, changed in enumerate(louder):
            answers = _probabilities(changed, images, scale, hardware)
            out[rows, column] = answers.gather(1, named)[:, 0].numpy()
        advance(len(images) * (1 + len(louder)))
    return out


def amplified(network: nn.Sequential, n_layers: int) -> nn.Sequential:
    """A copy whose last ``n_layers`` batch normalisations give 1.5 times as much."""
    changed = copy.deepcopy(network)
    with torch.no_grad():
        for layer in _normalisations(changed)[-n_layers:]:
            layer.weight.mul_(FACTOR)
            layer.bias.mul_(FACTOR)
    return changed


def normalised_extremes(
    network: nn.Sequential,
    pixels: np.ndarray,
    scale: Scaling,
    hardware: Hardware,
    advance: Advance,
) -> np.ndarray:
    """The most unlikely activation at each batch normalisation, under its running statistics.

    Returns:
        (N, L) float32: the largest |z| over channels and positions, z = (x − running mean) /
        running deviation. Source: Hou et al. 2024, FLARE, §III-B; deviation: |z| in place of the
        normal density, which also falls with the channel's deviation.
    """
    layers = _normalisations(network)
    found: list[torch.Tensor] = []

    def look(layer: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        assert isinstance(layer, nn.BatchNorm2d)
        assert layer.running_mean is not None
        assert layer.running_var is not None
        mean = layer.running_mean[None, :, None, None]
        root = (layer.running_var + layer.eps).sqrt()[None, :, None, None]
        found.append(((given[0].float() - mean) / root).abs().amax(dim=(1, 2, 3)).cpu())

    out = np.zeros((len(pixels), len(layers)), np.float32)
    handles = [layer.register_forward_pre_hook(look) for layer in layers]
    try:
        for rows in _blocks(len(pixels)):
            images = np.ascontiguousarray(pixels[rows])
            found.clear()
            _probabilities(network, images, scale, hardware)
            out[rows] = torch.stack(found, dim=1).numpy()
            advance(len(images))
    finally:
        for handle in handles:
            handle.remove()
    return out


def draw_partners(keys: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Other samples for each sample, never itself, the same in whatever order the rows come.

    Args:
        keys: (N,) uint64 content keys, N ≥ 2.
        generator: draws them.

    Returns:
        (N, 8) int64 rows.
    """
    order = np.argsort(keys, kind="stable")
    n = len(order)
    shift = generator.integers(1, n, (n, N_BLENDS))
    partners = np.empty((n, N_BLENDS), np.int64)
    partners[order] = order[(np.arange(n)[:, None] + shift) % n]
    return partners


def _normalisations(network: nn.Sequential) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


@torch.no_grad()
def _probabilities(
    network: nn.Sequential, images: np.ndarray, scale: Scaling, hardware: Hardware
) -> torch.Tensor:
    """(B, 32, 32, 3) uint8 → (B, K) float32 probabilities on the CPU."""
    batch = torch.from_numpy(images).to(hardware.device)
    return forward(network, batch, scale, hardware)[1].softmax(1).cpu()


def _blocks(n_samples: int) -> Iterator[slice]:
    for start in range(0, n_samples, BATCH):
        yield slice(start, start + BATCH)
