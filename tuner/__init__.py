"""HNSW and quantization parameters for your own vectors, measured: one index build for the whole surface."""

from typing import TYPE_CHECKING, Any

from tuner.version import __version__

if TYPE_CHECKING:
    from tuner.api import diagnose, tune
    from tuner.types import Options, Result, Space

__all__ = ["Options", "Result", "Space", "__version__", "diagnose", "tune"]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is (PEP 562): pytest imports this package in every project."""
    if name in ("tune", "diagnose"):
        from tuner import api  # noqa: PLC0415

        return getattr(api, name)
    if name in ("Options", "Result", "Space"):
        from tuner import types  # noqa: PLC0415

        return getattr(types, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
