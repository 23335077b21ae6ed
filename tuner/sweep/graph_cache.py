"""Graphs of earlier runs, kept in the cache: another target, or rows that came since, need no build."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import faiss
import msgspec

from tuner.index.graph import DerivableGraph
from tuner.runtime.cache import GRAPH_SUFFIX, LINKS_SUFFIX, MOST_BYTES, cache_dir, graph_dir, mark_used, store
from tuner.runtime.journal import decoded, encoded
from tuner.runtime.machine import free_bytes
from tuner.search import digest_of
from tuner.types import IdArray, Metric, Options

LARGEST_SHARE = 0.5
"""Share of the cache that one graph may take."""
COPIED = 1 << 20
"""Bytes copied at once."""
SUM_BYTES = 16
"""Bytes of the sum before a graph."""
KEPT_FREE = 4
"""Times the size of a graph that must be free on the disk before it is kept."""


@dataclass(frozen=True)
class Kept:
    """A graph in the cache.

    Attributes:
        build_cpu_s: CPU seconds that its build took.
        digest: BLAKE2b of its level 0 lists.
    """

    graph: DerivableGraph
    build_cpu_s: float
    digest: str = ""


def name_of(fingerprint: str, metric: Metric, left_out: IdArray, options: Options) -> str:
    """Return the name of the graph of some vectors.

    Args:
        fingerprint: digest of all of them.
        left_out: rows that the graph lacks, ascending int64.
    """
    space = options.space
    settings = (fingerprint, metric, options.seed, space.most_links, space.ef_construction, faiss.__version__)
    digest = hashlib.blake2b(repr(settings).encode(), digest_size=SUM_BYTES)
    digest.update(left_out.tobytes())
    return digest.hexdigest()


def is_kept(name: str) -> bool:
    """Return whether the cache has a graph of that name."""
    return all((graph_dir() / f"{name}{suffix}").exists() for suffix in (GRAPH_SUFFIX, LINKS_SUFFIX))


def keep(name: str, what: Kept, links: Path) -> None:
    """Copy a graph into the cache if it has room.

    Args:
        links: level 0 lists of the graph.
    """
    size = links.stat().st_size
    if size > LARGEST_SHARE * MOST_BYTES or KEPT_FREE * size > free_bytes(cache_dir()):
        return
    graph = encoded(replace(what, digest=digest_of(links)))
    with links.open("rb") as lists:
        store(graph_dir() / f"{name}{LINKS_SUFFIX}", lambda out: shutil.copyfileobj(lists, out, COPIED))
    store(graph_dir() / f"{name}{GRAPH_SUFFIX}", lambda out: out.write(_sum_of(graph) + graph))


def kept(name: str, links: Path) -> Kept | None:
    """Return a graph, its level 0 lists copied to ``links``; None if the cache has none, or a damaged one."""
    folder = graph_dir()
    try:
        content = (folder / f"{name}{GRAPH_SUFFIX}").read_bytes()
        graph = content[SUM_BYTES:]
        if _sum_of(graph) != content[:SUM_BYTES]:
            return None
        found: Kept = decoded(graph, Kept)
        shutil.copyfile(folder / f"{name}{LINKS_SUFFIX}", links)
        if digest_of(links) != found.digest:
            return None
    except (OSError, msgspec.DecodeError, ValueError):
        return None
    for suffix in (GRAPH_SUFFIX, LINKS_SUFFIX):
        mark_used(folder / f"{name}{suffix}")
    return found


def _sum_of(graph: bytes) -> bytes:
    """Return what stands before a graph in its file, so that damage to it shows."""
    return hashlib.blake2b(graph, digest_size=SUM_BYTES).digest()
