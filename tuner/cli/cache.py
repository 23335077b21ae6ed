"""``tune cache``: where exact neighbours and graphs are kept, how much there is, and how it is emptied."""

from __future__ import annotations

import click

from tuner.cli.outputs import say
from tuner.report.words import bytes_text
from tuner.runtime.cache import MOST_BYTES, cache_dir, cache_size, clear_cache
from tuner.text import counted


@click.command("cache", short_help="Show the cache of exact neighbours and graphs, or clear it.")
@click.option("--clear", is_flag=True, help="Remove what is in the cache.")
def cache(*, clear: bool) -> int:
    """Show where exact neighbours and graphs are cached, how much there is and how much may be.

    A run, a check or a test on the same vectors and queries finds exact neighbours there instead of searching
    again; a run on the same vectors, or on more of them, finds the graph. TUNER_CACHE_DIR moves the cache.
    """
    if clear:
        removed = clear_cache()
        say(f"{cache_dir()}: removed {counted(removed.n_files, 'file')}, {bytes_text(removed.n_bytes)}")
        return 0
    size = cache_size()
    say(
        f"{cache_dir()}: {counted(size.n_files, 'file')}, {bytes_text(size.n_bytes)} of at most "
        f"{bytes_text(MOST_BYTES)}; what was not used for longest makes room, tune cache --clear removes all"
    )
    return 0
