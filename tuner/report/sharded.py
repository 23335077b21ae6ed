"""An index in shards, in words: what each holds, and what other numbers of them would need."""

from __future__ import annotations

from tuner.report.tables import table
from tuner.report.words import bytes_text, seconds_text
from tuner.text import counted
from tuner.types import Result, ShardSize


def sharded_sentence(result: Result) -> str:
    """What was measured on shards and what was modelled; empty where the index is one."""
    found = result.sharded
    if found is None:
        return ""
    alone, best = found.ef_search_alone, result.recommendation
    if best is None or found.latency_of_slowest is None:
        shards = counted(found.n_shards, "shard")
        return f"Recall is that of the merged answers of {shards}; bytes are those of all."
    text = (
        f"Recall, bytes and distances were measured on all {counted(found.n_shards, 'shard')}, whose answers "
        f"are merged; each is asked for {found.k_per_shard} and holds {min(found.rows):,} to "
        f"{max(found.rows):,} vectors. The time of a query is modelled: that of its slowest shard, without a "
        f"network. The slowest shard alone takes {seconds_text(found.latency_of_slowest.p50_s)} (median)."
    )
    if alone == best.ef_search:
        return text
    return (
        f"{text} Shard {found.representative}, on which the sweep was made, needs ef_search={alone} for the "
        "nearest of its own rows."
    )


def sizes_table(result: Result) -> list[str]:
    """What other numbers of shards would need, as lines of Markdown; none where the index is one."""
    found = result.sharded
    if found is None or not found.sizes:
        return []
    heads = ("shards", "vectors a shard", "memory a shard", "ef_search", "time a query", "fits a node", "")
    return list(table(heads, [_row(size) for size in found.sizes]))


def _row(size: ShardSize) -> tuple[str, ...]:
    fits = {None: "-", True: "yes", False: "no"}[size.fits]
    return (
        f"{size.n_shards}",
        f"{size.rows:,}",
        bytes_text(size.memory_bytes),
        f"{size.ef_search}",
        seconds_text(size.latency_s),
        fits,
        "measured" if size.measured else "modelled",
    )
