"""Jobs in a running engine: an exported configuration verified, and an index tuned for it."""

from tuner.engine_jobs.points import DefaultComparison, EnginePoint, TargetResult
from tuner.engine_jobs.target import tune_for
from tuner.engine_jobs.verify import VerifyOptions, VerifyResult, verify

__all__ = [
    "DefaultComparison",
    "EnginePoint",
    "TargetResult",
    "VerifyOptions",
    "VerifyResult",
    "tune_for",
    "verify",
]
