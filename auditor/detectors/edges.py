"""The edge probe: do edges, or areas without any, in the same places predict the label?

A square whose colour changes from image to image, or a dark shape over images that are dark there
anyway, hardly moves the mean of any pixel, and a linear probe of pixels looks for little else. What
stays is where it begins and ends, and that nothing happens within: the energies of short derivative
filters, cell by cell (``detail``). The search is that of the shortcut probe (``standing``).
"""

from __future__ import annotations

from auditor.detectors.probing.detail import EDGE_SCALE, local_detail
from auditor.detectors.probing.probe import fit_matrix
from auditor.detectors.probing.standing import fitted_rows, stand_apart, tables
from auditor.interfaces import Detector, Evidence, InapplicableError, Material

PREFIX = "edges"

STRENGTH = 0.1
"""λ of the view. Of 0.03, 0.1 and 0.3, 3×3 patches on 30 of 10,000 CIFAR-10 images have contrast
4.3, 4.2 and 3.3, opaque 4×4 squares the same with each; with 1,200 images 0.03 often finds none of
40 squares that the others find."""


def measure(material: Material) -> Evidence:
    """Measure every class and the disputed samples; columns: ``docs/detectors/edges.md``.

    Raises:
        InapplicableError: too few labelled, distinct samples, or nothing varies.
    """
    index, by_class = fitted_rows(material)
    coded = local_detail(material.views["pixels"], EDGE_SCALE)
    probe = fit_matrix(coded, index, {"edges": (None, STRENGTH)})
    if not probe.views:
        raise InapplicableError("no image has an edge where another has none")
    return tables(PREFIX, stand_apart(probe, by_class, material), material)


EDGES = Detector(
    id="edges",
    version="2",
    title="Edge probe: a group of samples with edges or flat areas in the same places",
    needs=frozenset({"pixels", "labels"}),
    params={
        "strength": STRENGTH,
        "cell": EDGE_SCALE.cell,
        "floor": EDGE_SCALE.floor,
        "filters": [list(taps) for taps in EDGE_SCALE.filters],
    },
    citation="Leave-one-out ridge in closed form (Cook & Weisberg 1982, §2.2), self-trained, on "
    "local energies of derivative filters",
    run=measure,
)
