"""HNSW and quantization parameters for your own vectors, measured: one index build for the whole surface.

>>> import tuner
>>> result = tuner.tune("embeddings.npy", recall=0.95)  # doctest: +SKIP
>>> result.best.sentence  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tuner.version import __version__

if TYPE_CHECKING:
    from tuner.api import Result, build, check, diagnose, export, tune, tune_shards, verify
    from tuner.diagnosis import Diagnosis
    from tuner.errors import InputError, ResourceError
    from tuner.types import CheckResult, Limits, OperatingPoint, Options, Space, VerifyResult

__all__ = [
    "CheckResult",
    "Diagnosis",
    "InputError",
    "Limits",
    "OperatingPoint",
    "Options",
    "ResourceError",
    "Result",
    "Space",
    "VerifyResult",
    "__version__",
    "build",
    "check",
    "diagnose",
    "export",
    "tune",
    "tune_shards",
    "verify",
]

_JOBS = ("Result", "build", "check", "diagnose", "export", "tune", "tune_shards", "verify")
_HOMES = {
    **dict.fromkeys(_JOBS, "tuner.api"),
    **dict.fromkeys(
        ("CheckResult", "Limits", "OperatingPoint", "Options", "Space", "VerifyResult"), "tuner.types"
    ),
    **dict.fromkeys(("InputError", "ResourceError"), "tuner.errors"),
    "Diagnosis": "tuner.diagnosis",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is (PEP 562): pytest imports this package in every project."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
