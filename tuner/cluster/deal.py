"""Which rows lie in which shard: runs of rows, or whole files."""

from __future__ import annotations

import numpy as np

from tuner.cluster.source import Source
from tuner.types import IdArray

RUN_ROWS = 1024
"""Rows that follow each other and stay together: a shard reads runs, not single rows."""
LEAST_ROWS = 500
"""Rows of the smallest shard that is worth an index."""
RUNS_A_SHARD = 32
"""Runs that a shard has at least, so that shards are of one size to a few percent."""
FILES_A_SHARD = 8
"""Files a shard from which on whole files are dealt, so that no machine opens those of another."""
UNEVEN = 1.1
"""The largest shard of whole files may be this many times the mean."""


def deal(source: Source, n_shards: int, seed: int) -> list[IdArray]:
    """Return the runs (m, 2) of rows of each shard, first and last + 1, ascending: drawn at random.

    Whole files where there are many of them, else runs of rows. Engines that deal rows by a hash of their
    keys have shards that are alike, as these are; a file sorted by topic cut in pieces would have others.

    Args:
        n_shards: number of shards, about as many rows in each.
        seed: random seed.
    """
    if n_shards == 1:
        return [np.array([[0, source.n]])]
    return _of_files(source, n_shards, seed) or _of_runs(source.n, n_shards, seed)


def rows_of(runs: IdArray, left_out: IdArray) -> IdArray:
    """Return the rows (m,) of runs, ascending, without those that are left out.

    Example:
        >>> rows_of(np.array([[0, 2], [6, 9]]), np.array([7])).tolist()
        [0, 1, 6, 8]
    """
    rows = np.concatenate([np.arange(start, stop) for start, stop in runs])
    return rows[~np.isin(rows, left_out, assume_unique=True)]


def most_shards(n: int) -> int:
    """Return how many shards ``n`` rows can be dealt to."""
    return max(1, n // LEAST_ROWS)


def _of_files(source: Source, n_shards: int, seed: int) -> list[IdArray]:
    """Return shards of whole files; none where files are few or their sizes too different."""
    if len(source.files) < FILES_A_SHARD * n_shards:
        return []
    order = np.random.default_rng([seed, 5]).permutation(len(source.files))
    mine: list[list[int]] = [[] for _ in range(n_shards)]
    filled = [0] * n_shards
    for number in sorted(order.tolist(), key=lambda each: -source.counts[each]):
        least = filled.index(min(filled))
        mine[least].append(number)
        filled[least] += source.counts[number]
    if max(filled) > UNEVEN * source.n / n_shards:
        return []
    starts = source.starts
    return [np.array([starts[sorted(files)], starts[np.array(sorted(files)) + 1]]).T for files in mine]


def _of_runs(n: int, n_shards: int, seed: int) -> list[IdArray]:
    size = min(RUN_ROWS, max(1, n // (RUNS_A_SHARD * n_shards)))
    starts = np.arange(0, n, size)
    drawn = np.random.default_rng([seed, 5]).permutation(len(starts))
    runs = [np.sort(part) for part in np.array_split(drawn, n_shards)]
    return [np.array([starts[part], np.minimum(starts[part] + size, n)]).T for part in runs]
