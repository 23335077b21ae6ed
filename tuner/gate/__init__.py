"""The recall gate: a decision frozen in a small file, and later measurements judged against it."""

from tuner.gate.baseline import read_baseline, save_baseline, write_baseline
from tuner.gate.run import check
from tuner.types import CheckOptions, CheckResult, GateBaseline, Limits, Line

__all__ = [
    "CheckOptions",
    "CheckResult",
    "GateBaseline",
    "Limits",
    "Line",
    "check",
    "read_baseline",
    "save_baseline",
    "write_baseline",
]
