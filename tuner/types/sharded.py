"""An index in shards: what each of them holds, and what other numbers of them would need."""

from __future__ import annotations

from dataclasses import dataclass

from tuner.types.points import Latency


@dataclass(frozen=True, kw_only=True)
class ShardSize:
    """What a number of shards needs.

    Attributes:
        n_shards: number of shards.
        rows: number of vectors of the largest shard.
        memory_bytes: bytes of its index that must stay in memory.
        ef_search: candidates kept while searching each shard.
        latency_s: mean seconds a query of the slowest shard.
        fits: whether a node of the size that was asked for holds a shard; None where none was asked for.
        measured: whether this is the number that was built and searched; the others are modelled.
    """

    n_shards: int
    rows: int
    memory_bytes: int
    ef_search: int
    latency_s: float
    fits: bool | None = None
    measured: bool = False


@dataclass(frozen=True, kw_only=True)
class Sharded:
    """The index of a run in shards, of which each answers every query.

    Attributes:
        n_shards: number of shards.
        rows: number of vectors of each shard.
        representative: number of the shard that the sweep was made on, from 0 on.
        k_per_shard: neighbours that each shard is asked for.
        memory_bytes: bytes of the index of each shard that must stay in memory; empty, as is all that
            follows, where nothing reaches the target.
        ndis_per_query: distance computations a query of each shard.
        ef_search_alone: ef_search at which the representative shard reaches the target among its own rows.
        latency_of_slowest: latency of the shard that takes longest on average; that of all together is the
            slowest of them for each query, which is a model: no network, and all machines alike.
        sizes: what other numbers of shards would need, ascending.
    """

    n_shards: int
    rows: tuple[int, ...]
    representative: int
    k_per_shard: int
    memory_bytes: tuple[int, ...] = ()
    ndis_per_query: tuple[float, ...] = ()
    ef_search_alone: int = 0
    latency_of_slowest: Latency | None = None
    sizes: tuple[ShardSize, ...] = ()
