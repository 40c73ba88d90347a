"""What every run shares, whichever tool it tries: load arrays, take time, write flags.

Needs numpy alone, so that it works in the peers' environment too.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np


def load(folder: Path, name: str) -> np.ndarray:
    """An array of a set, memory-mapped."""
    array: np.ndarray = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
    return array


def cpu_seconds() -> float:
    """User and system time of this process and of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def peak_mib() -> float:
    """Most memory that this process held at once (``VmHWM``); its children are not in it.

    Not ``ru_maxrss``: that starts at what the process which started this one had held.
    """
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def timed(run: Callable[[], np.ndarray], repeats: int) -> tuple[np.ndarray, dict[str, Any]]:
    """Call ``run`` and measure it.

    Args:
        run: gives (N,) bool, who is flagged.
        repeats: calls; the medians of their times are reported, the last result is returned.

    Returns:
        The flags, and seconds and memory. ``before_mib`` is the peak before the first call: imports
        and what was loaded. ``load`` is the machine's at the end: with more than its CPUs, wall
        seconds say how busy it was, and CPU seconds alone compare.
    """
    before = peak_mib()
    wall, cpu = [], []
    for _ in range(repeats):
        started = time.perf_counter(), cpu_seconds()
        flags = run()
        wall.append(time.perf_counter() - started[0])
        cpu.append(cpu_seconds() - started[1])
    return flags, {
        "wall_seconds": round(statistics.median(wall), 4),
        "cpu_seconds": round(statistics.median(cpu), 4),
        "repeats": repeats,
        "before_mib": round(before),
        "peak_mib": round(peak_mib()),
        "load": round(os.getloadavg()[0], 1),
    }


def write(out: Path, flags: np.ndarray, measured: dict[str, Any], package: str) -> None:
    """Keep flags and measures beside each other: ``OUT.npy`` and ``OUT.json``."""
    np.save(out.with_suffix(".npy"), flags)
    versions = {name: version(name) for name in (package, "numpy", "scikit-learn")}
    text = json.dumps({**measured, "version": versions.pop(package), **versions})
    out.with_suffix(".json").write_text(text, "utf-8")
