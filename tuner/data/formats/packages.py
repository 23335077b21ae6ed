"""Packages that read a format, imported only where such a file is given."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tuner.errors import InputError

FORMATS = {
    "h5py": "h5py>=3.10",
    "pyarrow": "pyarrow>=16",
    "safetensors": "safetensors>=0.4.3",
    "fsspec": "fsspec>=2024.2",
}
"""As in the extra ``formats``, which a test compares."""
REQUIREMENTS = FORMATS | {
    "chromadb": "chromadb>=1.5.9",
    "duckdb": "duckdb==1.5.5",
    "lancedb": "lancedb>=0.40.0",
    "psycopg": "psycopg[binary]>=3.2",
    "qdrant_client": "qdrant-client>=1.20",
}
"""The others are those of the engines' extras."""


def package(module: str, source: str, what: str) -> Any:
    """Return a module of a package that reads a format.

    Args:
        module: full name of the module.
        source: name of the file in messages.
        what: what the file is.

    Raises:
        InputError: the package is not installed, with the line that installs it.
    """
    name = module.partition(".")[0]
    try:
        return import_module(module)
    except ImportError:
        raise InputError(
            f"{source} is {what}, and {name} reads such files but is not installed: pip install "
            f"'{REQUIREMENTS[name]}'"
        ) from None
