"""The recall gate: a decision frozen in a small file, and later measurements judged against it."""

from tuner.gate.baseline import GateBaseline, read_baseline, save_baseline, write_baseline
from tuner.gate.run import CheckOptions, check
from tuner.gate.verdict import CheckResult, Limits
from tuner.types import Line

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
