"""Where ``tune`` begins: libraries that memory does not hold must not look like the honest no."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module

import click

BAD_INPUT = 2
NO_ROOM = ("failed to map segment", "Cannot allocate memory", "cannot allocate memory")
"""In what the loader says of a library that finds no place in memory."""
SENTENCE = "memory does not hold the libraries: free some, or raise its limit (ulimit -v)"


def main() -> None:
    """Load the command line and run it; exit with 2 where memory does not hold its libraries."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing has begun: Ctrl-C ends it without a traceback
    # read when faiss is loaded: threads that wait leave the processor to others, where by default they spin
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        run = import_module("tuner.cli.main").main
    except (ImportError, OSError, MemoryError) as error:
        if not isinstance(error, MemoryError) and not any(words in str(error) for words in NO_ROOM):
            raise
        click.echo(f"tune: {SENTENCE}", err=True)
        sys.exit(BAD_INPUT)
    finally:
        signal.signal(signal.SIGINT, handler)
    run()
