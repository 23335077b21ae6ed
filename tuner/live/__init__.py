"""Jobs in a running engine: an exported configuration verified, and an index tuned for it."""

from tuner.live.points import Beside, EnginePoint, TargetResult
from tuner.live.target import tune_for
from tuner.live.verify import VerifyOptions, VerifyResult, verify

__all__ = ["Beside", "EnginePoint", "TargetResult", "VerifyOptions", "VerifyResult", "tune_for", "verify"]
