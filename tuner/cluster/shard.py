"""One shard of the vectors, as it is sent to a machine, and the exact neighbours within it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tuner.cluster.deal import rows_of
from tuner.cluster.source import Source
from tuner.data.base import Base, prepared_queries
from tuner.data.profile import scan
from tuner.data.split import random_order
from tuner.data.vectors import Vectors
from tuner.recall.order import SPARE, settled
from tuner.recall.truth import MARGIN, Truth, nearest_in
from tuner.runtime.journal import JOURNAL, Journal
from tuner.runtime.machine import available_cores
from tuner.runtime.steps import result_of
from tuner.sweep.added_rows import Places
from tuner.sweep.pose import LINKS, WHOLE, prepared_base
from tuner.sweep.problem import Problem
from tuner.sweep.rows_indexed import NO_ROWS, rows_indexed
from tuner.types import FloatArray, IdArray, Options, Profile, Steps

NO_TRUTH = Truth(np.zeros((0, 0), np.int64), np.zeros((0, 0), np.bool_), np.zeros(0), 0)
"""For what has to do with no neighbours."""


@dataclass(frozen=True, eq=False)
class Shard:
    """One shard, as it is sent to a machine: small, what is large lies in storage that all machines share.

    Attributes:
        number: number of the shard, from 0 on.
        source: where the rows lie.
        runs: (m, 2) int64 runs of rows of the source, first and last + 1, ascending.
        left_out: rows among them that no index holds, ascending.
        held_out: (nq,) row of the source that each query is, ascending; none where queries are given.
        n: number of rows of its index, those among them that are queries included.
        ids: file of the user's own ids of all rows, whole numbers; None where row numbers are ids.
        n_shards: number of all shards.
        folder: scratch folder of the shard.
        identity: what the run depends on.
        profile: profile of all rows; its metric and longest row are those of every shard.
        options: what the user asked for, of the space what is sensible.
        asked: file of the queries (nq, d) float32 as the user has them.
    """

    number: int
    source: Source
    runs: IdArray
    left_out: IdArray
    held_out: IdArray
    n: int
    ids: Path | None
    n_shards: int
    folder: Path
    identity: dict[str, str]
    profile: Profile
    options: Options
    asked: Path

    def __repr__(self) -> str:
        return f"<Shard {self.number} of {self.source.shown}>"

    @property
    def rows(self) -> IdArray:
        """Rows (n,) of the source, ascending int64."""
        return rows_of(self.runs, self.left_out)

    @property
    def queries_here(self) -> IdArray:
        """Places among the rows of those that are queries, ascending int64."""
        return np.flatnonzero(np.isin(self.rows, self.held_out, assume_unique=True))

    @property
    def rows_measured(self) -> IdArray:
        """Rows of the source that indexes hold while they are measured: none of them is a query."""
        return np.delete(self.rows, self.queries_here)

    @property
    def queries(self) -> FloatArray:
        """The queries (nq, d) float32 as the user has them."""
        return _queries(self.asked, self.asked.stat().st_mtime_ns)

    @property
    def vectors(self) -> Vectors:
        """The rows, with what the index of the shard answers with as ids."""
        rows = self.rows
        ids = np.load(self.ids, mmap_mode="r")[rows] if self.ids else rows
        whole = len(rows) == self.source.n  # then positions are rows
        return replace(self.source.vectors(rows), ids=None if whole and not self.ids else ids)

    @property
    def journal(self) -> Journal:
        """What was finished of this shard, in this run and in one that it goes on with."""
        return Journal(self.folder, self.identity, resume=(self.folder / JOURNAL).exists())

    def prepared(self) -> Base:
        """Return the prepared rows, written once."""
        return self.stages()[1]

    def stages(self) -> tuple[Profile, Base]:
        """Return the profile of the shard and its prepared rows, both made once."""
        journal, whole, vectors = self.journal, self.profile, self.vectors
        work = partial(scan, vectors, whole.metric, seed=self.options.seed)
        profile: Profile = result_of(journal.stage("profile", "profile the shard", Profile, work))
        profile = replace(profile, norm_max=whole.norm_max, metric_reason=whole.metric_reason)
        indexed = rows_indexed(vectors.n, NO_ROWS, self.queries_here, None, put_back=True)
        base = result_of(prepared_base(journal, vectors, profile, indexed, self.folder))
        return profile, base

    def places(self) -> Places:
        """Return where the rows stand among all of the shard, prepared once: those that are queries too."""
        profile, base = self.stages()
        indexed = rows_indexed(self.n, NO_ROWS, NO_ROWS, None, put_back=False)
        preparing = prepared_base(self.journal, self.vectors, profile, indexed, self.folder, name=WHOLE)
        kept = np.arange(base.n) if base.rows is None else base.rows
        rows, queries = self.rows, np.full(len(self.held_out), -1)
        mine = np.isin(self.held_out, rows, assume_unique=True)
        queries[mine] = np.searchsorted(rows, self.held_out[mine])
        return Places(result_of(preparing), kept, queries)

    def problem(self, base: Base) -> Problem:
        """Return what indexes of this shard are made of; nobody asks it for neighbours."""
        return Problem(
            options=self.options,
            base=base,
            raw=self.queries,
            queries=prepared_queries(self.queries, base.metric),
            truth=NO_TRUTH,
            order=random_order(len(self.queries), self.options.seed),
            links_path=self.folder / LINKS,
            threads=self.options.threads or available_cores(),
        )


@lru_cache(maxsize=1)
def _queries(path: Path, written_ns: int) -> FloatArray:
    found: FloatArray = np.load(path)
    return found


@dataclass(frozen=True)
class Near:
    """The nearest rows of queries within one shard.

    Attributes:
        rows: (nq, m) int64 rows of the source, nearest first.
        distances: (nq, m) float64 exact squared distances.
    """

    rows: IdArray
    distances: NDArray[np.float64]


def prepare_shard(shard: Shard) -> Steps[int]:
    """Write the prepared rows of a shard; return their number."""
    yield 0.0
    return shard.prepared().n


def nearest_in_shard(shard: Shard) -> Steps[Near]:
    """Yield the share done; return the nearest rows of every query within a shard."""
    return (yield from _nearest(shard, shard.queries, shard.options.k + MARGIN))


def pool_in_shard(item: tuple[Shard, IdArray, int]) -> Steps[Near]:
    """Yield the share done; return the nearest rows of some queries within a shard, to a depth."""
    shard, some, depth = item
    return (yield from _nearest(shard, shard.queries[some], depth))


def rows_of_shard(item: tuple[Shard, IdArray]) -> Steps[FloatArray]:
    """Return prepared rows of a shard, by their numbers in the source, ascending."""
    shard, rows = item
    yield 0.5
    return np.array(shard.prepared().x[np.searchsorted(shard.rows_measured, rows)])


def _nearest(shard: Shard, queries: FloatArray, depth: int) -> Steps[Near]:
    base = shard.prepared()
    return (
        yield from nearest_among(base.x, shard.rows_measured, prepared_queries(queries, base.metric), depth)
    )


def nearest_among(x: FloatArray, rows: IdArray, queries: FloatArray, depth: int) -> Steps[Near]:
    """Yield the share done; return the nearest of some prepared rows.

    Args:
        x: (n, d) float32 prepared rows.
        rows: (n,) their numbers in the source, ascending.
        queries: (nq, d) float32 in the prepared space.
        depth: rows of each query, as far as there are so many.
    """
    ids = yield from nearest_in(x, queries, min(len(x), depth + SPARE))
    ids, exact = settled(ids, x, queries, depth)
    return Near(rows[ids[:, :depth]], exact[:, :depth])
