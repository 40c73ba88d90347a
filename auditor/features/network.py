"""The reference network: a small VGG-like net on 32×32 images, made for two CPU cores.

A 2×2 space-to-depth stem quarters the positions of every later layer without losing a pixel, and
pooling between wide 3×3 layers keeps small patterns alive: 34 million floating-point operations an
image.
"""

from __future__ import annotations

import platform
import threading
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from auditor.errors import UsageError

_drawing = threading.Lock()

WIDTHS = (48, 96, 192)
N_PENULTIMATE = WIDTHS[-1]


@dataclass(frozen=True, slots=True)
class Hardware:
    """Where and how precisely the network is computed."""

    device: str
    dtype: torch.dtype

    @property
    def name(self) -> str:
        """Device and precision, as a report shows them."""
        return f"{self.device} ({str(self.dtype).removeprefix('torch.')})"


def choose_hardware(device: str) -> Hardware:
    """Pick device and precision.

    Args:
        device: ``auto`` (CUDA if there is one), ``cpu`` or ``cuda``.

    Raises:
        UsageError: an unknown device, or CUDA asked for and absent.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device: got {device!r}, expected auto, cpu or cuda")
    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise UsageError("--device cuda: torch finds no CUDA device; use --device cpu or auto")
    if device != "cpu" and has_cuda:
        return Hardware("cuda", torch.bfloat16)
    return Hardware("cpu", torch.bfloat16 if cpu_has_bfloat16() else torch.float32)


def cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 in hardware; emulated, it is slower than float32."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    capabilities = torch.backends.cpu.get_cpu_capability()
    if "AVX512" not in capabilities:
        return False
    cpu = getattr(torch, "cpu", None)
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(cpu, probe)()) for probe in probes if hasattr(cpu, probe))


def build_network(n_classes: int, seed: int) -> nn.Sequential:
    """``Sequential(body, head)``; the body gives (B, 192) penultimate activations.

    The same seed gives the same weights; torch's global generator is left as it was. One thread at
    a time draws from it.
    """
    first, second, third = WIDTHS
    with _drawing, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body = nn.Sequential(
            nn.PixelUnshuffle(2),
            _convolution(12, first),
            nn.MaxPool2d(2),
            _convolution(first, second),
            _convolution(second, second),
            nn.MaxPool2d(2),
            _convolution(second, third),
            _convolution(third, third),
            nn.AdaptiveMaxPool2d(1),
            nn.Flatten(),
        )
        network = nn.Sequential(body, nn.Linear(third, n_classes))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def load_network(path: Path, n_classes: int, hardware: Hardware) -> nn.Sequential:
    """Read the weights of a network that a scan stored; nothing but tensors is unpickled.

    Raises:
        FileNotFoundError: there is no such file.
    """
    network = build_network(n_classes, 0)
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.to(hardware.device).eval()


def _convolution(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(n_out),
        nn.ReLU(inplace=True),
    )
