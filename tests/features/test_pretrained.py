import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from auditor.errors import UsageError
from auditor.features.backbone import load_backbone
from auditor.features.network import N_PENULTIMATE, build_network
from auditor.features.pretrained import fit_ridge, pretrained_views


@pytest.fixture
def model(tmp_path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"architecture": "auditor-small"}))
    torch.save(build_network(5, 3).state_dict(), folder / "weights.pt")
    return folder


def test_views_from_a_tiny_backbone(model, tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 2
    pixels = rng.integers(0, 100, (120, 32, 32, 3), dtype=np.uint8)
    pixels[labels == 1, :16] += 100
    labels[0] = -1
    out = tmp_path / "out"
    out.mkdir()
    batches = (pixels[start : start + 50] for start in range(0, 120, 50))
    backbone = load_backbone(str(model), "cpu")
    reference = pretrained_views(batches, labels, 2, out, 0, backbone, lambda *_: None)
    probabilities = np.load(out / "probabilities.npy")
    assert np.load(out / "penultimate.npy").shape == (120, N_PENULTIMATE)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(120), abs=1e-5)
    assert reference.accuracy == pytest.approx((probabilities.argmax(axis=1) == labels).sum() / 119)
    assert reference.accuracy > 0.9
    assert not list(out.glob(".*partial"))


def test_safetensors_and_state_dict_give_the_same(model, tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    images = np.random.default_rng(0).integers(0, 256, (3, 48, 40, 3), dtype=np.uint8)
    expected = load_backbone(str(model), "cpu").embed(images)
    state = {name: value.contiguous() for name, value in build_network(5, 3).state_dict().items()}
    safetensors.save_file(state, model / "weights.safetensors")
    found = load_backbone(str(model), "cpu")
    assert found.embed(images) == pytest.approx(expected)


class Evil:
    def __reduce__(self):
        return (Path.touch, (Path("owned"),))


def test_a_pickle_is_refused_and_not_run(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (model / "weights.pt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UsageError, match="convert it to safetensors"):
        load_backbone(str(model), "cpu")
    torch.save({"weight": Evil()}, model / "weights.pt")
    with pytest.raises(UsageError, match="convert it to safetensors"):
        load_backbone(str(model), "cpu")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "no JSON"),
        ("[]", "architecture"),
        ('{"architecture": "auditor-small", "input_size": -3}', "input_size"),
        ('{"architecture": "auditor-small", "std": [0, 1, 1]}', "std"),
        ('{"architecture": "no-such-net"}', "timm"),
    ],
)
def test_bad_config_is_said(model, config, message):
    (model / "config.json").write_text(config)
    with pytest.raises(UsageError, match=message):
        load_backbone(str(model), "cpu")


def test_missing_things_are_said(model, tmp_path):
    with pytest.raises(UsageError, match="not downloaded"):
        load_backbone("resnet50", "cpu")
    with pytest.raises(UsageError, match="no weights"):
        load_backbone(str(tmp_path / "model" / "config.json"), "cpu")
    state = build_network(5, 3).state_dict()
    del state["0.1.0.weight"]
    torch.save(state, model / "weights.pt")
    with pytest.raises(UsageError, match="lacks 1 weights"):
        load_backbone(str(model), "cpu")


def test_ridge_matches_its_definition():
    rng = np.random.default_rng(0)
    features = rng.normal(2.0, 3.0, (60, 4))
    labels = rng.integers(0, 3, 60)
    rows = np.arange(50)
    mean, weights, bias = fit_ridge(features, rows, labels, 3)
    x = features[rows]
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    targets = np.eye(3)[labels[rows]]
    slow = (
        np.linalg.inv(scaled.T @ scaled + 1e-2 * 50 * np.eye(4))
        @ scaled.T
        @ (targets - targets.mean(axis=0))
    )
    expected = scaled @ slow + targets.mean(axis=0)
    assert (x - mean) @ weights + bias == pytest.approx(expected, abs=1e-4)
