"""Jobs in a running engine: an exported config verified or diagnosed, and an index tuned for it."""

from tuner.engine_jobs.diagnose import diagnose_engine
from tuner.engine_jobs.pose import VerifyOptions
from tuner.engine_jobs.rehearse import rehearse_for
from tuner.engine_jobs.target import tune_for
from tuner.engine_jobs.verify import verify

__all__ = ["VerifyOptions", "diagnose_engine", "rehearse_for", "tune_for", "verify"]
