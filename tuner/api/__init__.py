"""The jobs as functions: what ``tuner`` exports, without screens, files or settings of the command line."""

from tuner.api.engines import export, verify
from tuner.api.gate import check
from tuner.api.jobs import build, diagnose, tune
from tuner.api.keywords import QueryOptions, TuneOptions
from tuner.api.result import Result
from tuner.api.shards import tune_shards

__all__ = [
    "QueryOptions",
    "Result",
    "TuneOptions",
    "build",
    "check",
    "diagnose",
    "export",
    "tune",
    "tune_shards",
    "verify",
]
