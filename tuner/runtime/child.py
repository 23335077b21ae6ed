"""Processes of our own interpreter that run a ``main`` of this package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SPARE_S, BYTES_A_SECOND = 30.0, 20e6
"""Seconds that reading a file may take in a child: these, and the file at this speed."""

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


def read_apart(module: str, path: Path, *arguments: str) -> subprocess.CompletedProcess[bytes] | None:
    """Return what the ``main`` of a module, given ``path`` first, did with a file that may be damaged.

    Such a file can take memory without end, a minute of time, or the process with it; it should call
    ``limit_memory``. None where it did not come to an end.
    """
    try:
        return subprocess.run(  # noqa: S603 - our own module
            command(module, str(path), *arguments),
            capture_output=True,
            check=False,
            timeout=SPARE_S + path.stat().st_size / BYTES_A_SECOND,
        )
    except subprocess.TimeoutExpired:
        return None


def limit_memory(n_bytes: int) -> None:
    """Let this process take no more addresses than that, where the system can do so, and leave no dump."""
    try:
        import resource  # noqa: PLC0415 - not on every system
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (n_bytes, n_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
