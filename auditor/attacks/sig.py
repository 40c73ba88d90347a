"""SIG: a faint sinusoid over samples of the target class, which keep their label."""

from __future__ import annotations

import numpy as np

from auditor.attacks.crafting.choosing import clean_label
from auditor.attacks.crafting.triggers import to_uint8
from auditor.attacks.requests.parameters import number
from auditor.interfaces import Attack, Victim


def stamp(image: np.ndarray, victim: Victim) -> np.ndarray:
    """Add v(i, j) = Δ·sin(2πjf/m), m columns; image: (H, W, 3) uint8."""
    params = victim.params
    strength = number(params, "test_delta" if victim.role == "test" else "delta")
    width = image.shape[1]
    wave = np.sin(2 * np.pi * np.arange(width) * number(params, "f") / width)
    return to_uint8(image + strength * wave[None, :, None])


ATTACK = Attack(
    id="sig",
    title="SIG: sinusoidal signal, clean label",
    kind="clean_label",
    citation="Barni, Kallas, Tondi 2019, A New Backdoor Attack in CNNs by Training Set Corruption "
    "without Label Poisoning, ICIP, arXiv:1902.11237 (sinusoidal signal, f = 6)",
    params={"delta": 30.0, "test_delta": 30.0, "f": 6.0},
    choose=clean_label,
    stamp=stamp,
    deviations="Δ = 30/255, the value most later work uses; the paper has 20 to 40.",
)
