"""Loading a pretrained backbone from weights alone: no pickled objects, no code, no network.

A model is a folder (or a weights file in one) with the weights, ``*.safetensors`` or a state
dictionary ``*.pt|*.pth|*.bin`` that torch reads with ``weights_only``, and a ``config.json``:
``{"architecture": NAME, "input_size": 224, "mean": [r, g, b], "std": [r, g, b]}``. NAME is one of
timm's architectures (extra ``pretrained``), or ``auditor-small``, the reference network's body.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from auditor.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import nn

BUILT_IN = "auditor-small"
WEIGHT_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Colour scaling that most published backbones were trained with (torchvision, timm)."""

MAX_CONFIG_BYTES = 1_000_000
MAX_INPUT_SIZE = 1_024


@dataclass(frozen=True, slots=True)
class Settings:
    """A model's ``config.json``, checked."""

    architecture: str
    input_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Backbone:
    """A loaded model: ``embed`` turns (B, H, W, 3) uint8 images into (B, D) float32 features."""

    name: str
    digest: str
    device: str
    input_size: int
    embed: Callable[[np.ndarray], np.ndarray]


def load_backbone(model: str, device: str) -> Backbone:
    """Load the model that ``--model`` names.

    Args:
        model: path of a folder or a weights file.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        UsageError: no such model, no safe weights in it, or an extra that is not installed.
    """
    from auditor.features.network import choose_hardware

    path = Path(model)
    if not path.exists():
        raise UsageError(
            f"--model {model!r}: neither 'self' nor an existing path; models are not downloaded, "
            "expected a folder with config.json and *.safetensors"
        )
    weights = _weights_file(path)
    settings = _settings(weights)
    network = _architecture(settings, weights)
    hardware = choose_hardware(device)
    network.to(hardware.device).eval()
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    embed = _embedder(network, settings, hardware.device)
    return Backbone(settings.architecture, digest, hardware.device, settings.input_size, embed)


def _weights_file(path: Path) -> Path:
    """The weights in a folder, safetensors first, or the file itself."""
    if path.is_file():
        found = [path] if path.suffix in WEIGHT_SUFFIXES else []
    else:
        found = sorted(
            (item for item in path.iterdir() if item.suffix in WEIGHT_SUFFIXES),
            key=lambda item: (WEIGHT_SUFFIXES.index(item.suffix), item.name),
        )
    if not found:
        raise UsageError(
            f"--model {str(path)!r}: no weights found, expected a file that ends in "
            f"{', '.join(WEIGHT_SUFFIXES)}"
        )
    return found[0]


def _settings(weights: Path) -> Settings:
    """Read ``config.json`` beside the weights."""
    path = weights.parent / "config.json"
    if not path.is_file() or path.stat().st_size > MAX_CONFIG_BYTES:
        raise UsageError(f"--model: expected a small {str(path)!r} that names the architecture")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"--model: {str(path)!r} is no JSON: {error}") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("architecture"), str):
        raise UsageError(f'--model: {str(path)!r} has no "architecture", expected a name')
    size = raw.get("input_size", 32 if raw["architecture"] == BUILT_IN else 224)
    if not isinstance(size, int) or not 8 <= size <= MAX_INPUT_SIZE:
        raise UsageError(f'--model: "input_size" is {size!r}, expected 8 to {MAX_INPUT_SIZE}')
    mean, std = _colours(raw, "mean", IMAGENET_MEAN), _colours(raw, "std", IMAGENET_STD)
    if min(std) <= 0:
        raise UsageError(f'--model: "std" is {list(std)}, expected three positive numbers')
    return Settings(raw["architecture"], size, mean, std)


def _colours(raw: Mapping[str, Any], name: str, default: tuple[float, ...]) -> tuple[float, ...]:
    values = raw.get(name, default)
    if (
        not isinstance(values, list | tuple)
        or len(values) != 3
        or not all(isinstance(value, int | float) for value in values)
    ):
        raise UsageError(f"--model: {name!r} is {values!r}, expected three numbers")
    return tuple(float(value) for value in values)


def _architecture(settings: Settings, weights: Path) -> nn.Module:
    """The architecture with its weights; a classifier's weights in the file are left out."""
    state = _state(weights)
    network: nn.Module
    if settings.architecture == BUILT_IN:
        from auditor.features.network import build_network

        network = build_network(1, 0)[0]
        state = {name[2:]: value for name, value in state.items() if name.startswith("0.")}
    else:
        try:
            import timm
        except ImportError as error:
            raise UsageError(
                f"--model: the architecture {settings.architecture!r} needs timm; "
                "pip install 'dataset-auditor[pretrained]'"
            ) from error
        if settings.architecture not in timm.list_models():
            raise UsageError(f"--model: timm knows no architecture {settings.architecture!r}")
        network = timm.create_model(settings.architecture, pretrained=False, num_classes=0)
    try:
        missing, _ = network.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise UsageError(f"--model: weights do not fit the architecture: {error}") from error
    if missing:
        raise UsageError(
            f"--model: {weights.name!r} lacks {len(missing)} weights of "
            f"{settings.architecture!r}, first {missing[0]!r}"
        )
    return network


def _state(weights: Path) -> dict[str, torch.Tensor]:
    """Tensors by name, read without running anything from the file."""
    import torch

    if weights.suffix == ".safetensors":
        try:
            from safetensors import SafetensorError
            from safetensors.torch import load_file
        except ImportError as error:
            raise UsageError(
                "--model: reading safetensors needs an extra; "
                "pip install 'dataset-auditor[pretrained]'"
            ) from error
        try:
            tensors: dict[str, torch.Tensor] = load_file(weights)
        except SafetensorError as error:
            raise UsageError(f"--model: {weights.name!r} is no safetensors: {error}") from error
        return tensors
    try:
        loaded = torch.load(weights, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise UsageError(
            f"--model: {weights.name!r} is no plain state dictionary and would have to run code "
            "to load; convert it to safetensors"
        ) from error
    if not isinstance(loaded, dict) or not all(
        isinstance(value, torch.Tensor) for value in loaded.values()
    ):
        raise UsageError(f"--model: {weights.name!r} holds no dictionary of tensors")
    return loaded


def _embedder(
    network: nn.Module, settings: Settings, device: str
) -> Callable[[np.ndarray], np.ndarray]:
    import torch
    from torch.nn import functional

    mean = torch.tensor(settings.mean, device=device).view(1, 3, 1, 1)
    std = torch.tensor(settings.std, device=device).view(1, 3, 1, 1)
    size = (settings.input_size, settings.input_size)

    def embed(images: np.ndarray) -> np.ndarray:
        batch = torch.from_numpy(np.ascontiguousarray(images)).to(device)
        batch = batch.permute(0, 3, 1, 2).float() / 255.0
        if batch.shape[2:] != size:
            batch = functional.interpolate(batch, size, mode="bilinear", antialias=True)
        with torch.no_grad():
            features = network((batch - mean) / std)
        result: np.ndarray = features.flatten(1).float().cpu().numpy()
        return result

    return embed
