"""The bench: recall and false alarms measured on poisoned copies, never claimed."""

from auditor.benching.cases import Case
from auditor.benching.harness import bench
from auditor.benching.results import BenchResult

__all__ = ["BenchResult", "Case", "bench"]
