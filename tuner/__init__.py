"""HNSW and quantization parameters for your own vectors, measured: one index build for the whole surface."""

from tuner.api import tune
from tuner.types import Options, Result, Space
from tuner.version import __version__

__all__ = ["Options", "Result", "Space", "__version__", "tune"]
