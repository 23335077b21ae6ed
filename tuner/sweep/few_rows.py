"""When exact search is as good as any graph."""

from __future__ import annotations

from tuner.types import Options

SMALL = 1000
"""Rows up to which exact search is the answer: a HNSW search at recall .95 computes as many distances."""
MOST_ROWS_A_NEIGHBOUR = 10


def is_exact_the_answer(options: Options, n: int, n_delivered: int, d: int) -> bool:
    """Return whether exact search is as good as any graph: few rows, or a tenth of them are neighbours.

    Measured on WordNet, 10,000 and 20,000 x 256, M of 8 and 16: with k of a tenth of the rows exact search
    takes .31 to .44 of the time of a graph at ef_search = k; with k of a twentieth they are about equal.

    Args:
        n: number of vectors that are measured on.
        n_delivered: number of vectors of the index handed over.
        d: dimensions of a vector.
    """
    few = n <= MOST_ROWS_A_NEIGHBOUR * options.k
    return n <= SMALL or (few and 4 * n_delivered * d <= options.memory_limit(n_delivered))
