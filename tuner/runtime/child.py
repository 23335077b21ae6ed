"""Processes of our own interpreter that run a ``main`` of this package."""

from __future__ import annotations

import sys
from pathlib import Path

HOME = Path(__file__).resolve().parents[2]
CODE = (
    "import sys; from importlib import import_module; "
    "sys.path[:] = [*filter(None, sys.path), sys.argv.pop(1)]; import_module(sys.argv.pop(1)).main()"
)


def command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs the ``main`` of a module, which finds ``arguments`` in ``sys.argv[1:]``.

    The current folder is not looked into: an exported faiss.py there would be taken for the package. What
    holds this package is, last, for who runs it where it is not installed.
    """
    return [sys.executable, "-c", CODE, str(HOME), module, *arguments]
