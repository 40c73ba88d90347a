"""Groups that were processed alike: are their pictures the class's own, or those of other classes?

Honest data has groups of one processing: a second camera, a site that shrinks what it shows. Their
pictures still show what their label says. A trigger that a processing carries takes pictures from
other classes, and small pictures (``likeness``) tell: fine structure, which made the group, is gone
from them.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from auditor.detectors.probing.exclusivity import Measured
from auditor.detectors.probing.likeness import Foreignness, foreignness, some_of
from auditor.detectors.probing.standing import Standing
from auditor.interfaces import Evidence, Material

LEAST_MEMBERS = 20
"""Of fewer, the mean vote of neighbours is chance: its standard error is a third of a stranger's
distance."""

LEAST_CONTRAST = 1.5
"""Most natural classes have no clearer group; theirs are not asked, which saves the seconds."""


def with_foreignness(
    evidence: Evidence, prefix: str, standing: Standing, material: Material
) -> Evidence:
    """Add ``<prefix>_foreign`` and ``<prefix>_foreign_z`` (`Foreignness`) to the class table.

    Null for groups of under 20 members or of contrast under 1.5.
    """
    reference = some_of(standing.probe.index, material.generator)
    found = [_foreignness(one, reference, material) for one in standing.best]
    columns = {
        f"{prefix}_foreign": [one and one.share for one in found],
        f"{prefix}_foreign_z": [one and one.z for one in found],
    }
    more = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.Float64))
    return {**evidence, "class": pl.concat([evidence["class"], more], how="horizontal")}


def _foreignness(one: Measured, reference: np.ndarray, material: Material) -> Foreignness | None:
    group = one.group
    if group.size < LEAST_MEMBERS or group.contrast < LEAST_CONTRAST:
        return None
    return foreignness(material, group.rows, group.members, reference)
