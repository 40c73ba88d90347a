"""Searching one class again and again: past floods of copies, and for further triggers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from auditor.detectors.probing.copies import MOSTLY, share_of_copies
from auditor.detectors.probing.exclusivity import Measured, best_of_each
from auditor.detectors.probing.group import ENOUGH
from auditor.detectors.probing.probe import Probe, search
from auditor.interfaces import Material

MIN_CLASS_ROWS = 40
"""Below it a group of 20 is no minority of its class and nothing can stand apart."""

FURTHER_CONTRAST = 3.0
FURTHER_EXCESS = 0.15
MAX_FURTHER = 7
"""A class whose group stands out this far is searched again without its members: an attacker with
several triggers leaves several groups. Of 117 clean or mislabelled draws two reached the contrast
with 25 members, 3.00 and 3.08 (Fashion-MNIST, 10 % flips); no rule fires there, so none is
flagged."""


@dataclass(frozen=True, slots=True)
class Search:
    """Searches class after class, and keeps account of what may still be searched.

    Attributes:
        probe: the probe.
        material: labels, pixels if known, and the generator.
        left: label → the fitted rows that are no copies.
        copies: (N,) bool, rows that were set aside.
    """

    probe: Probe
    material: Material
    left: dict[int, np.ndarray]
    copies: np.ndarray

    def best(self, label: int, rows: np.ndarray) -> Measured | None:
        """The best group of a class among some of its rows."""
        if len(rows) < MIN_CLASS_ROWS:
            return None
        groups = search(self.probe, label, rows, self.material.generator)
        return next(iter(best_of_each(self.probe, groups, self.material.labels)), None)

    def without_copies(self, one: Measured | None, without: np.ndarray) -> Measured | None:
        """A group itself, or the best one of its class once those of copies are set aside.

        After so many floods in one class the next is kept, and judged as any group; so is every
        one where no pixels are known. Rows in ``without`` are not searched.
        """
        pixels = self.material.views.get("pixels")
        for _ in range(MAX_FURTHER):
            if one is None or pixels is None or share_of_copies(pixels, one.group) < MOSTLY:
                break
            label, members = one.group.label, one.group.rows[one.group.members]
            self.copies[members] = True
            self.left[label] = np.setdiff1d(self.left[label], members, assume_unique=True)
            one = self.best(label, np.setdiff1d(self.left[label], without))
        return one

    def further(self, first: Measured) -> list[Measured]:
        """What else stands out in a class once the members of what was found are left out."""
        label, found = first.group.label, [first]
        members = np.empty(0, np.int64)
        while _stands_out(found[-1]) and len(found) <= MAX_FURTHER:
            group = found[-1].group
            members = np.union1d(members, group.rows[group.members])
            one = self.best(label, np.setdiff1d(self.left[label], members))
            one = self.without_copies(one, members)
            if one is None:
                break
            found.append(one)
        return [one for one in found[1:] if _stands_out(one)]


def _stands_out(one: Measured) -> bool:
    return (
        one.group.size >= ENOUGH
        and one.group.contrast >= FURTHER_CONTRAST
        and one.excess <= FURTHER_EXCESS
    )
