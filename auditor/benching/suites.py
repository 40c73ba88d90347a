"""The suites: which attacks at which rates, with what scan."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from auditor.benching.cases import CLEAN, Case
from auditor.errors import UsageError


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a suite before seeds and size are known."""

    attack: str
    rates: tuple[float, ...]
    params: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None
    source_class: str | None = None


STANDARD: tuple[Row, ...] = (
    Row(CLEAN, (0.0,)),
    Row("badnets", (0.01, 0.003)),
    Row("corner_square", (0.1,)),
    Row("blended", (0.01, 0.003)),
    Row("blended", (0.01, 0.003), {"pattern": "picture"}),
    Row("trojan", (0.003,)),
    Row("trojan_moving", (0.003,)),
    Row("low_frequency", (0.05,)),
    Row("bpp", (0.05,)),
    Row("ssba", (0.02,)),
    Row("wanet", (0.05,)),
    Row("input_aware", (0.05,)),
    Row("tact", (0.003,)),
    Row("adaptive_blend", (0.003,)),
    Row("adaptive_patch", (0.003,)),
    Row("all_to_all", (0.05, 0.01)),
    Row("all_to_all", (0.05, 0.01), {"with": "ssba"}),
    Row("untargeted", (0.02,)),
    Row("multi_trigger", (0.01,)),
    Row("ctrl", (0.05,)),
    Row("sig", (0.02,)),
    Row("label_consistent", (0.003,)),
    Row("narcissus", (0.01,)),
    Row("hidden_trigger", (0.01,)),
    Row("feature_collision", (0.01,)),
    Row("bullseye", (0.01,)),
    Row("gradient_matching", (0.01,)),
    Row("label_flip", (0.05, 0.1, 0.2)),
    Row("label_flip", (0.016,), target="0", source_class="1"),
    Row("pair_flip", (0.1,)),
    Row("instance_flip", (0.1,)),
    Row("direct_gradient", (0.03,)),
    Row("generative", (0.03,)),
    Row("noise_injection", (0.01,)),
    Row("outlier_injection", (0.01,)),
    Row("foreign_injection", (0.01,)),
    Row("label_swap", (0.05,)),
    Row("replaced_bytes", (0.05,)),
    Row("near_duplicate_flood", (0.02,)),
    Row("source_concentration", (0.01,)),
    Row("image_scaling", (0.01,)),
)
"""Every attack. Rates are those under which it was published or evaluated elsewhere (BadNets,
blended, SSBA … of AGPD, arXiv:2312.06230; cover attacks of Qi et al. 2023; label noise 5–20 %, and
16 % of one class of ten; 1 % of all is 10 % of a class of ten for narcissus and the attacks on one
image). Attacks that nobody evaluates as poison of training sets get 1–5 %."""

QUICK_DEFAULT: tuple[Row, ...] = (
    Row(CLEAN, (0.0,)),
    Row("label_flip", (0.1,)),
)
QUICK_FAST: tuple[Row, ...] = (
    Row(CLEAN, (0.0,)),
    Row("badnets", (0.01, 0.03)),
    Row("blended", (0.03, 0.05)),
    Row("all_to_all", (0.05,)),
)
"""Few, so that they take two minutes on two cores (six where the CPU has no bfloat16): the whole
scan where labels are judged, which needs the network, and the fast profile for triggers."""

IMPLANT: tuple[Row, ...] = (
    Row(CLEAN, (0.0,)),
    Row("badnets", (0.01, 0.05)),
    Row("blended", (0.05, 0.1)),
    Row("blended", (0.05,), {"pattern": "picture"}),
    Row("trojan", (0.01,)),
    Row("low_frequency", (0.05,)),
    Row("sig", (0.02, 0.05)),
    Row("all_to_all", (0.1, 0.2)),
    Row("corner_square", (0.1,)),
    Row("trojan_moving", (0.01,)),
    Row("all_to_all", (0.1,), {"with": "ssba"}),
    Row("multi_trigger", (0.02,)),
    Row("untargeted", (0.05,)),
    Row("bpp", (0.05,)),
    Row("ssba", (0.05,)),
    Row("wanet", (0.05,)),
    Row("input_aware", (0.05,)),
    Row("ctrl", (0.05,)),
    Row("tact", (0.01,)),
    Row("adaptive_blend", (0.01,)),
    Row("adaptive_patch", (0.01,)),
    Row("label_consistent", (0.02,)),
    Row("narcissus", (0.01,)),
    Row("hidden_trigger", (0.01,)),
    Row("feature_collision", (0.01,)),
    Row("bullseye", (0.01,)),
    Row("gradient_matching", (0.01,)),
    Row("label_flip", (0.2,)),
    Row("pair_flip", (0.2,)),
    Row("instance_flip", (0.2,)),
    Row("direct_gradient", (0.03,)),
    Row("generative", (0.03,)),
    Row("noise_injection", (0.1,)),
    Row("outlier_injection", (0.1,)),
    Row("foreign_injection", (0.1,)),
)
"""Every attack that can be seen to work, at a rate at which it is reported to: twice to ten times
what `STANDARD` asks a detector to see."""

VICTIM_EPOCHS = 30
"""Training that fits: see `docs/bench.md` for the accuracy it gives."""

POWER_ATTACKS = ("badnets", "blended", "sig", "trojan_moving")
POWER_COUNTS = (5, 10, 20, 40, 80, 160, 320)
"""Poisoned samples, doubling: the logarithm of the count is what power depends on."""

CLEAN_SHRINK = (1, 2, 4)
CLEAN_DRAWS = 10
NOISE_DRAWS = 5
"""10 clean and 5 + 5 noisy draws at each of the whole, a half and a quarter of the size."""

QUICK_SIZE = 5_000
STANDARD_SIZE = 10_000


def _rows(rows: Sequence[Row], size: int | None, seeds: Sequence[int], profile: str) -> list[Case]:
    return [
        Case(row.attack, rate, seed, row.target, row.source_class, row.params, size, profile)
        for row in rows
        for rate in row.rates
        for seed in seeds
    ]


def quick(size: int | None, seeds: Sequence[int], profile: str | None) -> list[Case]:
    """A few attacks at moderate rates, label flips and a clean run: for every commit."""
    cases = [
        *_rows(QUICK_DEFAULT, size, seeds, profile or "default"),
        *_rows(QUICK_FAST, size, seeds, profile or "fast"),
    ]
    return sorted(set_of(cases), key=lambda case: case.slug)


def standard(size: int | None, seeds: Sequence[int], profile: str | None) -> list[Case]:
    """Every bundled attack at its usual rates, and a clean run."""
    return _rows(STANDARD, size, seeds, profile or "default")


def clean(size: int | None, seeds: Sequence[int], profile: str | None) -> list[Case]:
    """False alarms: many clean draws over sizes and seeds, and draws with label noise alone."""
    chosen = profile or "fast"
    parts = [None if size is None else max(1, size // shrink) for shrink in CLEAN_SHRINK]
    firsts = [(part, 1000 * seed) for part in parts for seed in seeds]
    draws = [
        Case(CLEAN, 0.0, first + i, size=part, profile=chosen)
        for part, first in firsts
        for i in range(CLEAN_DRAWS)
    ]
    for part, first in firsts:
        for i in range(first + 100, first + 100 + NOISE_DRAWS):
            draws.append(Case("label_flip", 0.1, i, size=part, profile=chosen))
            draws.append(Case("label_flip", 0.016, i, "0", "1", {}, part, chosen))
    return draws


def power(size: int | None, seeds: Sequence[int], profile: str | None) -> list[Case]:
    """A ladder of counts for a few attacks: how much poison it takes to be caught."""
    return ladder(POWER_ATTACKS, size, seeds, profile or "fast")


def implant(size: int | None, seeds: Sequence[int], profile: str | None) -> list[Case]:
    """Does an attack work on a network that was trained to the end on the poisoned copy?"""
    cases = _rows(IMPLANT, size, seeds, profile or "fast")
    return [replace(case, victim_epochs=VICTIM_EPOCHS) for case in cases]


def ladder(
    attacks: Sequence[str], size: int | None, seeds: Sequence[int], profile: str
) -> list[Case]:
    """Cases of `POWER_COUNTS` poisoned samples, up to a twentieth of ``size``.

    Raises:
        UsageError: the size is not known, so that a count is no rate, or too small.
    """
    if size is None:
        raise UsageError("--suite power: the number of samples is not known; give it as --size N")
    counts = [count for count in POWER_COUNTS if count <= size // 20]
    if not counts:
        raise UsageError(
            f"--suite power: got cuts of {size} samples, expected at least {20 * POWER_COUNTS[0]}, "
            "so that poison stays a small part"
        )
    return [
        Case(attack, count / size, seed, size=size, profile=profile)
        for attack in attacks
        for count in counts
        for seed in seeds
    ]


def set_of(cases: Sequence[Case]) -> list[Case]:
    """The cases without repeats, in their order."""
    return list({case.slug: case for case in cases}.values())


Suite = Callable[[int | None, Sequence[int], str | None], list[Case]]

SUITES: Mapping[str, Suite] = {
    "quick": quick, "standard": standard, "clean": clean, "power": power,
    "implant": implant,
}  # fmt: skip
SIZES: Mapping[str, int] = {
    "quick": QUICK_SIZE, "standard": STANDARD_SIZE, "clean": STANDARD_SIZE, "power": STANDARD_SIZE,
    "implant": STANDARD_SIZE,
}  # fmt: skip
"""Samples of a cut where ``--size`` does not say; at most what the dataset has."""
