import numpy as np
import pytest
from material import material

from auditor.detectors.outlier import (
    N_FEATURES,
    distances,
    fit,
    image_features,
    measure,
    roughness,
)
from auditor.interfaces import InapplicableError
from auditor.tables import check_evidence


def scenes(n: int, seed: int = 0) -> np.ndarray:
    """Smooth random images of varied brightness with a little grain."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(0, 25, (n, 4, 4, 3)).repeat(8, axis=1).repeat(8, axis=2)
    level = rng.normal(120, 25, (n, 1, 1, 3))
    grain = rng.normal(0, 1, (n, 32, 32, 1)) * rng.gamma(4.0, 1.0, (n, 1, 1, 1))
    return np.clip(coarse + level + grain, 0, 255).astype(np.uint8)


def test_features_match_a_slow_twin():
    image = scenes(1)
    found = image_features(image)[0]
    assert found.shape == (N_FEATURES,)
    scaled = image[0] / 255.0
    assert found[:3] == pytest.approx(scaled[:4, :4].mean(axis=(0, 1)), abs=1e-5)
    grey = scaled.mean(axis=2)
    total = sum(abs(grey[y + 1, x] - grey[y, x]) for y in range(8) for x in range(8)) / 64
    assert found[192] == pytest.approx(0.25 * np.log(total + 4e-4), abs=1e-4)


def test_distance_within_is_the_mahalanobis_distance():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(500, 6)) * np.array([9, 5, 3, 1, 0.1, 0.1])
    chosen = fit(features)
    inside, worst, outside = distances(features, chosen)
    centred = features - chosen.centre
    along = centred @ chosen.directions
    slow = [sum((a / s) ** 2 for a, s in zip(row, chosen.deviation, strict=True)) for row in along]
    assert np.exp(inside) == pytest.approx(np.array(slow) / len(chosen.deviation), rel=1e-4)
    assert np.exp(worst) == pytest.approx(((along / chosen.deviation) ** 2).max(axis=1), rel=1e-4)
    residual = ((centred - along @ chosen.directions.T) ** 2).sum(axis=1)
    assert np.exp(outside) == pytest.approx(residual, rel=1e-3, abs=1e-6)


def test_foreign_images_stand_out_and_the_rest_does_not():
    pixels = scenes(1_000)
    clean = measure(material(np.full(1_000, -1), 0, pixels=pixels))
    check_evidence("outlier", clean)
    assert (clean["sample"]["outlier_score"].to_numpy() > 6).mean() < 0.001
    assert clean["sample"]["outlier_apart"].max() < 0.9
    rng = np.random.default_rng(1)
    pixels[:5] = rng.integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    sample = measure(material(np.full(1_000, -1), 0, pixels=pixels))["sample"]
    score, surely = sample["outlier_score"].to_numpy(), sample["outlier_apart"].to_numpy()
    assert score[:5].min() > 4.5 > score[5:].max()
    assert surely[:5].min() > 0.9
    assert (surely[5:] > 0.9).mean() <= 0.005


def test_roughness_matches_a_slow_twin_and_tells_noise_from_pictures():
    image = scenes(1)[0].astype(float).mean(axis=2)
    down = np.mean([(image[y + 1, x] - image[y, x]) ** 2 for y in range(31) for x in range(32)])
    right = np.mean([(image[y, x + 1] - image[y, x]) ** 2 for y in range(32) for x in range(31)])
    slow = np.log(((down + right) / 4 + 0.01) / (image.var() + 0.05))
    assert roughness(scenes(1))[0] == pytest.approx(slow, abs=1e-4)
    rng = np.random.default_rng(0)
    for strength in (2, 20, 90):
        noise = np.clip(rng.normal(128, strength, (4, 32, 32, 3)), 0, 255).astype(np.uint8)
        assert roughness(noise) == pytest.approx(np.zeros(4), abs=0.25)
    assert roughness(np.full((1, 32, 32, 3), 7, np.uint8))[0] < -1.5


@pytest.mark.parametrize("sigma", [60, 97])
def test_noisy_copies_form_a_group(sigma: int):
    pixels = scenes(2_000, 2)
    rng = np.random.default_rng(3)
    noisy = pixels[:20] + rng.normal(0, sigma, (20, 32, 32, 3))
    pixels[:20] = np.clip(noisy, 0, 255).astype(np.uint8)
    sample = measure(material(np.full(2_000, -1), 0, pixels=pixels))["sample"]
    flagged = sample["outlier_apart"].to_numpy() > 0.9
    assert flagged[:20].mean() > 0.8
    assert not flagged[20:].any()


def test_too_few_or_equal_images_are_said():
    with pytest.raises(InapplicableError, match="there are 50"):
        measure(material(np.zeros(50, np.int64), 1, pixels=scenes(50)))
    with pytest.raises(InapplicableError, match="alike"):
        measure(material(np.zeros(200, np.int64), 1, pixels=np.zeros((200, 32, 32, 3), np.uint8)))
