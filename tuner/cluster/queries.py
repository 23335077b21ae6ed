"""What all shards are asked: the user's queries, or rows that are held out, and how many lie in the base."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from pathlib import Path

import numpy as np

from tuner.cluster.look import Looked, Part
from tuner.cluster.source import Source
from tuner.cluster.stages import across
from tuner.data.split import drawn_of, held_out_rows, random_order
from tuner.data.vectors import Vectors, row_hashes
from tuner.runtime.journal import Journal
from tuner.runtime.workers import Workers
from tuner.sweep.rows_indexed import NO_ROWS
from tuner.types import Event, FloatArray, IdArray, Options, QuerySet, Steps


def draw_queries(
    journal: Journal,
    workers: Workers,
    source: Source,
    looked: Looked,
    queries: Vectors | None,
    options: Options,
) -> Generator[Event, None, tuple[FloatArray, QuerySet]]:
    """Yield events; return the raw queries (nq, d) float32, and what is known of them.

    Args:
        queries: the user's queries, or None to hold rows out, which are drawn as one machine draws them.
    """
    if queries is None:
        rows = held_out_rows(source.n, looked.nowhere, options.n_queries, options.seed)
        raw = yield from _fetch_rows(journal, workers, looked, rows)
        name, fingerprint = "held out of the base", looked.profile.fingerprint
    else:
        rows, raw = NO_ROWS, queries.read(0, queries.n)
        name, fingerprint = queries.source, queries.fingerprint
    n_in_base = yield from count_in_base(journal, workers, looked, raw, held_out=queries is None)
    query_set = QuerySet(
        source=name,
        fingerprint=fingerprint,
        n=len(raw),
        held_out_rows=tuple(rows.tolist()),
        n_in_base=n_in_base,
        drawn=drawn_of(rows, random_order(len(raw), options.seed)),
        indexed=queries is None,
    )
    return raw, query_set


def _fetch_rows(
    journal: Journal, workers: Workers, looked: Looked, rows: IdArray
) -> Generator[Event, None, FloatArray]:
    """Yield events; return some rows (m, d) float32, ascending, each read where its part was."""
    starts = [part.start for part in looked.parts]
    each = np.split(rows, np.searchsorted(rows, starts[1:]))
    items = [(part, mine) for part, mine in zip(looked.parts, each, strict=True) if len(mine)]
    title = "read the rows that become queries"
    found = yield from across(
        journal, workers, "queries", title, FloatArray, _rows_of_part, items, whole_node=False
    )
    return np.concatenate(found)


def count_in_base(
    journal: Journal, workers: Workers, looked: Looked, queries: FloatArray, *, held_out: bool
) -> Generator[Event, None, int]:
    """Yield events; return how many queries (nq, d) equal a row of the base bit for bit, as float32.

    Args:
        held_out: whether they are rows of the base, which are not counted themselves.
    """
    digests = row_hashes(queries)
    items = [(part.digests, digests) for part in looked.parts]
    title = "look for the queries among the rows"
    counts = yield from across(journal, workers, "in-base", title, IdArray, _count, items, whole_node=False)
    shutil.rmtree(looked.parts[0].digests.parent, ignore_errors=True)
    _, same, repeated = np.unique(digests, return_inverse=True, return_counts=True)
    themselves = repeated[same] if held_out else 0
    return int((np.sum(counts, axis=0) > themselves).sum())


def _rows_of_part(item: tuple[Part, IdArray]) -> Steps[FloatArray]:
    """Return some rows of a part."""
    part, rows = item
    yield 0.5
    return part.source.vectors(rows).rows(np.arange(len(rows)))


def _count(item: tuple[Path, IdArray]) -> Steps[IdArray]:
    """Return how many rows of a part have each of some hashes (nq,)."""
    path, wanted = item
    digests = np.memmap(path, dtype=np.int64, mode="r")
    yield 0.5
    found = np.searchsorted(digests, wanted, side="right") - np.searchsorted(digests, wanted)
    return found.astype(np.int64)
