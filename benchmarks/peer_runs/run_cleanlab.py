"""Runs cleanlab's search for label issues on given probabilities.

    python run_cleanlab.py METHOD FOLDER OUT REPEATS RATE

METHOD is a value of ``find_label_issues(filter_by=…)``. RATE is not used: cleanlab asks for none.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from cleanlab.filter import find_label_issues
from timed import load, timed, write


def main(method: str, folder: str, out: str, repeats: str, _rate: str) -> None:
    """Load, run, write. One process: starting more costs more than they save at these sizes."""
    labels = np.array(load(Path(folder), "labels"))
    probabilities = np.array(load(Path(folder), "probabilities"), np.float32)

    def run() -> np.ndarray:
        return np.asarray(find_label_issues(labels, probabilities, filter_by=method, n_jobs=1))

    write(Path(out), *timed(run, int(repeats)), "cleanlab")


if __name__ == "__main__":
    main(*sys.argv[1:])
