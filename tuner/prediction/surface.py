"""The whole surface, predicted: recall and cost factorise, memory is arithmetic.

    recall(graph, ef, codec, r) = ceiling(codec, r) x recall(graph, ef)
    latency = call and transforms + ndis(graph, ef) x seconds a distance + ef x seconds a hop
              + k r x seconds a candidate re-ranked

Nothing here is a result: it decides what is worth measuring.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tuner.prediction.curves import Curve
from tuner.types import Ceiling, Configuration, Memory, StoreAt


@dataclass(frozen=True)
class CodecCost:
    """Seconds that a codec costs at full size.

    Attributes:
        distance_s: seconds a distance during the graph search.
        distances: distances computed for one of the curve: RaBitQ of several bits computes a rough one
            first and some of them again.
        hop_s: seconds an expanded node: its list, the visited marks and the heap. There are about ef_search
            of them, so that few links a node cost time although they save distances.
        query_s: seconds of the call and the transforms, once a query.
        rerank_s: seconds a candidate re-ranked, by re-ranking store.
        rerank_query_s: seconds that re-ranking takes once a query, by re-ranking store.
    """

    distance_s: float
    hop_s: float
    query_s: float
    rerank_s: dict[str, float]
    rerank_query_s: dict[str, float]
    distances: float = 1.0

    def latency_s(self, ndis: float, ef_search: float, rerank: str | None, n_reranked: int) -> float:
        """Return the seconds of a query."""
        seconds = self.query_s + ndis * self.distance_s + ef_search * self.hop_s
        if rerank is not None:
            seconds += self.rerank_query_s[rerank] + n_reranked * self.rerank_s[rerank]
        return seconds


@dataclass(frozen=True)
class Candidate:
    """A configuration with what is predicted of it.

    Attributes:
        latency_s: predicted seconds a query.
    """

    configuration: Configuration
    ef_search: int
    ceiling: float
    ndis: float
    latency_s: float
    memory: Memory


MemoryOf = Callable[[Configuration], Memory]


def candidates(
    ceiling: Ceiling,
    curves: dict[int, Curve],
    cost: CodecCost,
    memory_of: MemoryOf,
    *,
    aim: float,
    k: int,
    ef_construction: int,
    ef_max: int,
    stores: dict[str, int],
    factors: tuple[int, ...],
    store_at: StoreAt,
) -> list[Candidate]:
    """Return every configuration of one codec that is predicted to reach ``aim``.

    Args:
        aim: the target with the margin that its lower bounds need.
        stores: re-ranking stores with their bytes a vector; only those finer than the codes are used.
        factors: multiples of k.
    """
    found = []
    for rerank, factor, best in _rerankings(ceiling, stores, factors):
        if best < aim:
            continue
        for M, curve in curves.items():
            ef = curve.ef_for(aim / best)
            if ef is None:
                continue
            ef = max(ef, k * factor)
            if ef > ef_max:
                continue
            configuration = Configuration(
                M=M,
                ef_construction=ef_construction,
                codec=ceiling.codec,
                dims=ceiling.dims,
                cut=ceiling.cut,
                rerank=rerank,
                rerank_factor=factor,
                rerank_at=store_at if rerank else "memory",
            )
            ndis = cost.distances * curve.ndis_at(ef)
            latency = cost.latency_s(ndis, ef, rerank, k * factor)
            found.append(
                Candidate(
                    configuration=configuration,
                    ef_search=ef,
                    ceiling=best,
                    ndis=ndis,
                    latency_s=latency,
                    memory=memory_of(configuration),
                )
            )
    return found


def _rerankings(
    ceiling: Ceiling, stores: dict[str, int], factors: tuple[int, ...]
) -> list[tuple[str | None, int, float]]:
    out: list[tuple[str | None, int, float]] = [(None, 1, ceiling.recall_at[1])] if 1 in factors else []
    for store, store_bytes in stores.items():
        if store_bytes <= ceiling.code_bytes:
            continue
        reached = ceiling.recall_with.get(store, {})
        out += [(store, factor, reached[factor]) for factor in factors if factor > 1 and factor in reached]
    return out
