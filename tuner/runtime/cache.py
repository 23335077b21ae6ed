"""The cache of exact neighbours and of graphs: where it lies, how large it may grow, how it is emptied."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import platformdirs

MOST_BYTES = 2_000_000_000
"""Size that the cache is kept below: what was not used for longest goes first."""
TRUTH_SUFFIX, GRAPH_SUFFIX, LINKS_SUFFIX, UNFINISHED = ".npz", ".graph", ".i32", ".tmp"
SUFFIXES = (TRUTH_SUFFIX, GRAPH_SUFFIX, LINKS_SUFFIX, UNFINISHED)
"""Suffixes of what is ours: nothing else is counted or removed."""


@dataclass(frozen=True)
class CacheSize:
    """What lies in the cache: number of files, and their bytes."""

    n_files: int
    n_bytes: int


def cache_dir() -> Path:
    """Return the folder of the cache (``TUNER_CACHE_DIR`` moves it)."""
    return Path(os.environ.get("TUNER_CACHE_DIR") or platformdirs.user_cache_dir("vector-index-tuner"))


def truth_dir() -> Path:
    """Return the folder of cached truths."""
    return cache_dir() / "truth"


def graph_dir() -> Path:
    """Return the folder of cached graphs."""
    return cache_dir() / "graphs"


def store(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file of the cache under a name of its own and rename it; what cannot be written is not kept."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=UNFINISHED, delete=False) as out:
            write(out)
        Path(out.name).replace(path)
        trim_cache()
    except OSError:
        pass  # a cache that cannot be written costs time, not the answer


def cache_size() -> CacheSize:
    """Return what lies in the cache now."""
    found = _files()
    return CacheSize(len(found), sum(size for _, size, _ in found))


def trim_cache(most_bytes: int = MOST_BYTES) -> None:
    """Remove what was not used for longest, until the rest takes at most so many bytes."""
    found = sorted(_files())
    left = sum(size for _, size, _ in found)
    for _, size, path in found:
        if left <= most_bytes:
            return
        with suppress(OSError):
            path.unlink()
            left -= size


def clear_cache() -> CacheSize:
    """Remove everything in the cache; return what that was."""
    before = cache_size()
    trim_cache(-1)
    after = cache_size()
    return CacheSize(before.n_files - after.n_files, before.n_bytes - after.n_bytes)


def mark_used(path: Path) -> None:
    """Note that a file of the cache was read now."""
    with suppress(OSError):
        os.utime(path)


def _files() -> list[tuple[float, int, Path]]:
    """Return when each file was used last, its bytes and its path."""
    found = []
    for path in (*truth_dir().glob("*"), *graph_dir().glob("*")):
        with suppress(OSError):
            if path.suffix in SUFFIXES and path.is_file():
                state = path.stat()
                found.append((state.st_mtime, state.st_size, path))
    return found
