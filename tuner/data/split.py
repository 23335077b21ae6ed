"""Which rows become queries, and an order of them of which any part is a sample.

Both draws are numpy's and not ``sklearn.model_selection.train_test_split``, which would draw others: a
baseline holds the hits of each query and a digest of the draw, and ``tune check`` can compare query by query
only if the same seed still draws the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from tuner.data.vectors import Vectors, row_hashes
from tuner.types import FloatArray, Generation, IdArray, Profile, QuerySet

FEWEST, MOST = 1_000, 2_000
"""Queries that are held out by default: with 1,000 the proof costs about an eighth of the distances, and the
gain of more than 2,000 is small."""


def hold_out(n: int, n_queries: int | None, seed: int) -> IdArray:
    """Return rows that become queries, ascending int64.

    Args:
        n: number of rows.
        n_queries: number of queries; None takes a tenth of the rows, from 1,000 to 2,000, at most a fifth.
        seed: random seed.
    """
    rows = np.random.default_rng(seed).choice(n, n_held_out(n, n_queries), replace=False)
    return np.sort(rows).astype(np.int64)


def n_held_out(n: int, n_queries: int | None, earlier: Sequence[Generation] = ()) -> int:
    """Return how many of ``n`` rows become queries.

    >>> n_held_out(11_000, None, [Generation(n=10_000, n_queries=1_000)])
    1100
    """
    earlier = _no_later(earlier, n)
    if earlier:
        last = earlier[-1]
        return last.n_queries + round(last.n_queries / last.n * (n - last.n))
    return min(MOST, max(FEWEST, n // 10), n // 5) if n_queries is None else n_queries


def held_out_rows(
    n: int, nowhere: IdArray, n_queries: int | None, seed: int, earlier: Sequence[Generation] = ()
) -> IdArray:
    """Return rows that become queries, ascending int64, none of them a row that no index holds.

    Args:
        n: number of rows.
        nowhere: rows that no index holds, ascending.
        n_queries: number of queries; None chooses.
        seed: random seed.
        earlier: the file each time that it was tuned before: the same share of its new rows is drawn.
    """
    earlier = _no_later(earlier, n)
    if earlier:
        first = earlier[0]
        drawn = [held_out_rows(first.n, nowhere[nowhere < first.n], first.n_queries, seed)]
        now = Generation(n=n, n_queries=n_held_out(n, None, earlier))
        for number, (before, after) in enumerate(pairwise([*earlier, now]), 1):
            fresh = np.setdiff1d(np.arange(before.n, after.n), nowhere, assume_unique=True)
            wanted = min(len(fresh), after.n_queries - before.n_queries)
            generator = np.random.default_rng([seed, 2, number])
            drawn.append(np.sort(generator.choice(fresh, wanted, replace=False)))
        return np.concatenate(drawn).astype(np.int64)
    rows = hold_out(n - len(nowhere), n_queries, seed)
    return np.delete(np.arange(n), nowhere)[rows] if len(nowhere) else rows


def with_generation(
    earlier: tuple[Generation, ...], profile: Profile, queries: QuerySet
) -> tuple[Generation, ...]:
    """Return the generations of a file and what it is now, once."""
    now = Generation(n=profile.n, n_queries=len(queries.held_out_rows), fingerprint=profile.fingerprint)
    return earlier if earlier and earlier[-1] == now else (*earlier, now)


def _no_later(earlier: Sequence[Generation], n: int) -> Sequence[Generation]:
    """Return the generations of a file that it can have grown from."""
    return [each for each in earlier if each.n <= n and each.n_queries]


def random_order(nq: int, seed: int) -> IdArray:
    """Return the positions of the queries (nq,) in random order.

    The first few are a sample of all, also where the file is sorted by topic.
    """
    # another stream than hold_out's, so that the order does not depend on how rows were drawn
    return np.random.default_rng([seed, 1]).permutation(nq).astype(np.int64)


def drawn_of(rows: IdArray, order: IdArray) -> str:
    """Return the digest of a draw: of the rows that were held out, and of the order of the queries."""
    return hashlib.blake2b(rows.tobytes() + order.tobytes(), digest_size=8).hexdigest()


def count_in_base(base: Vectors, queries: FloatArray, held_out: IdArray) -> int:
    """Return how many queries equal a row of the base bit for bit, as float32.

    Args:
        base: vectors to index.
        queries: (nq, d) float32.
        held_out: rows of the base that are left out of it, ascending: the queries themselves, perhaps.
    """
    wanted = row_hashes(queries)
    found = np.zeros(len(wanted), dtype=bool)
    for start, stop in base.blocks():
        kept = np.setdiff1d(np.arange(start, stop), held_out, assume_unique=True)
        found |= np.isin(wanted, row_hashes(base.read(start, stop)[kept - start]))
    return int(found.sum())
