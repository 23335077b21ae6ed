"""The recall gate: a decision frozen in a small file, and later measurements judged against it."""

from tuner.check.frozen import Frozen, freeze, read_frozen, write_frozen
from tuner.check.run import CheckOptions, check
from tuner.check.verdict import CheckResult, Limits
from tuner.types import Line

__all__ = [
    "CheckOptions",
    "CheckResult",
    "Frozen",
    "Limits",
    "Line",
    "check",
    "freeze",
    "read_frozen",
    "write_frozen",
]
