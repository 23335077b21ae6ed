"""When exact search is as good as any graph."""

from __future__ import annotations

from tuner.types import Options

SMALL = 1000
"""Rows up to which exact search is the answer: a HNSW search at recall .95 computes as many distances."""
MOST_ROWS_A_NEIGHBOUR = 10


def is_exact_the_answer(options: Options, n: int, d: int) -> bool:
    """Return whether exact search is as good as any graph: few rows, or nearly as many neighbours as rows.

    With k of a tenth of the rows, a search of a graph at ef_search = k computes half as many distances as
    there are rows (WordNet, 10,000 x 256, M = 8), and each costs more than one of a scan.
    """
    return n <= SMALL or (n <= MOST_ROWS_A_NEIGHBOUR * options.k and 4 * n * d <= options.memory_limit(n))
