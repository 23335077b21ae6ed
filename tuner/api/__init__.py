"""The jobs as functions: what ``tuner`` exports, without screens, files or settings of the command line."""

from tuner.api.engines import export, verify
from tuner.api.gate import check
from tuner.api.jobs import build, diagnose, tune
from tuner.api.keywords import QueryOptions, TuneOptions
from tuner.api.result import Result

__all__ = ["QueryOptions", "Result", "TuneOptions", "build", "check", "diagnose", "export", "tune", "verify"]
