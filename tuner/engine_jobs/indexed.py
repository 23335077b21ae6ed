"""How far ef_search can be turned up before an engine stops using its index.

Lucene scans a segment exactly from ``ef_search * ln(n) >= n`` on; planners of databases weigh a scan against
the index. What is found beyond says nothing of the graph, and is no index to prescribe.
"""

from __future__ import annotations

from tuner.engines import Capabilities, EngineProcess


def largest_indexed_ef(
    process: EngineProcess, can: Capabilities, oversampling: int, least: int, most: int
) -> int:
    """Return the largest ef_search up to ``most`` at which the engine says that it searches its index.

    0 if it does not at ``least`` either; ``most`` for engines that do not say. The search parameters of the
    process are others afterwards.
    """

    def indexed(ef_search: int) -> bool:
        process.set_search(ef_search, oversampling)
        return process.applied().index_used is not False

    if "index_used" not in can.reports or least >= most or indexed(most):
        return most
    if not indexed(least):
        return 0
    low, high = least, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if indexed(middle) else (low, middle)
    return low
