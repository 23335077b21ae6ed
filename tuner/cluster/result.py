"""Everything that a sweep over shards found, in one record."""

from __future__ import annotations

import time
from dataclasses import replace

from tuner.cluster.measure import OnAllShards, ShardedPoint, TimedShards
from tuner.cluster.pose import PosedShards
from tuner.cluster.put_back import HandedOver
from tuner.cluster.representative import ShardSweep
from tuner.cluster.sizes import sizes_of
from tuner.index.codec_view import CodecView
from tuner.report.words import bytes_text, seconds_text
from tuner.runtime.machine import describe_machine, describe_versions, now
from tuner.runtime.peak import peak_rss_bytes
from tuner.runtime.timing import call_overhead_s
from tuner.sweep.answer import Answer, flattered, recommendation_of
from tuner.sweep.doubts import timing_doubts
from tuner.sweep.prepare import doubts_of
from tuner.sweep.problem import Problem
from tuner.types import Cost, Latency, Options, OwnIds, Recommendation, Result, Sharded


def sharded_result(
    posed: PosedShards,
    on_all: OnAllShards,
    measured: TimedShards,
    handed: HandedOver,
    representative: int,
    started_s: float,
) -> Result:
    """Return the result.

    Args:
        representative: number of the shard that the sweep was made on.
        started_s: clock at the start of the run, as ``time.perf_counter`` gives it.
    """
    tuned, options = on_all.tuned, on_all.whole.options
    problem = replace(on_all.whole, quantile=measured.quantile)
    found = handed.answer
    sharded = Sharded(
        n_shards=len(posed.shards),
        rows=tuple(shard.n for shard in posed.shards),
        representative=representative,
        k_per_shard=options.k,
    )
    best = None
    if handed.chosen is not None:
        sharded = _with_answer(sharded, posed, handed.chosen, handed.of_slowest, tuned)
        best = _recommendation(problem, found, sharded)
    return Result(
        status="sharded" if found.found else "not_reached",
        options=options,
        profile=posed.looked.profile,
        queries=posed.query_set,
        points=found.points,
        front=found.front,
        named=found.named,
        recommendation=best,
        baseline=None,
        ceilings=tuned.ceilings,
        curves=tuned.curves,
        n_configurations=tuned.n_configurations,
        prediction_error=None,
        noise_floor=measured.noise_floor,
        call_overhead_s=call_overhead_s(problem.base.d),
        cost=_cost(posed, on_all, len(measured.points), started_s),
        machine=describe_machine(),
        versions=describe_versions(),
        warnings=_warnings(posed, measured),
        advice=() if found.found else _advice(tuned, options),
        created=now(),
        own_ids=_own_ids(posed),
        whole=handed.whole,
        sharded=sharded,
    )


def _cost(posed: PosedShards, on_all: OnAllShards, n_points: int, started_s: float) -> Cost:
    stages, n_shards = (*posed.journal.costs, *on_all.tuned.stages), len(posed.shards)
    return Cost(
        wall_s=time.perf_counter() - started_s,
        cpu_s=sum(cost.cpu_s for cost in stages) + on_all.workers.cpu_s_elsewhere,
        peak_rss_bytes=peak_rss_bytes(),
        n_graph_builds=n_shards,
        n_indexes_measured=on_all.tuned.n_measured + n_shards * n_points,
        stages=stages,
    )


def _warnings(posed: PosedShards, measured: TimedShards) -> tuple[str, ...]:
    points = [each.point for each in measured.points]
    latencies = {each.configuration.label: each.latency for each in points if each.latency is not None}
    doubts = (
        *doubts_of(posed.shards[0].vectors, posed.looked.profile, posed.query_set),
        *timing_doubts(latencies, measured.noise_floor, measured.waited),
    )
    return tuple(warned.text for warned in doubts)


def _advice(tuned: ShardSweep, options: Options) -> tuple[str, ...]:
    """Return what would help where nothing reaches the target."""
    if not tuned.closest:
        return ("a target or limits that the merged answers of the points below reach",)
    best = max(tuned.closest, key=lambda point: point.recall.lower)
    smallest = min(tuned.closest, key=lambda point: point.memory.resident_bytes)
    return (
        f"another target or other limits: on the shard that stands for all, recall of at most "
        f"{best.recall.lower:.4f} was certified ({best.configuration.label}), and the smallest index takes "
        f"{smallest.memory.resident_bytes / max(1, smallest.memory.levels_bytes // 12):.0f} bytes per vector",
    )


def _own_ids(posed: PosedShards) -> OwnIds | None:
    ids = posed.request.ids
    return None if ids is None else OwnIds(source=ids, n_deleted=0, in_index=True)


def _with_answer(
    sharded: Sharded, posed: PosedShards, chosen: ShardedPoint, slowest: Latency | None, tuned: ShardSweep
) -> Sharded:
    """Return what is known of the shards of the recommended index, and of other numbers of them."""
    what = chosen.point.configuration
    alone = next(each for each in tuned.finalists if each.configuration == what)
    found = replace(
        sharded,
        k_per_shard=chosen.k_per_shard,
        memory_bytes=tuple(each.resident_bytes for each in chosen.memory),
        ndis_per_query=chosen.ndis,
        ef_search_alone=alone.ef_search,
        latency_of_slowest=slowest,
    )
    cost = dict(tuned.costs)[CodecView.of(what)]
    return replace(found, sizes=sizes_of(found, chosen.point, tuned.needs, cost, posed.request.node_bytes))


def _recommendation(problem: Problem, found: Answer, sharded: Sharded) -> Recommendation:
    luck = flattered(problem, tuple(found.points[i] for i in found.front)) if len(found.front) > 1 else 0.0
    best = recommendation_of(problem, found, luck)
    n, largest = sharded.n_shards, max(sharded.memory_bytes)
    each = f" on each of {n} shards" if n > 1 else ""
    where = f"{bytes_text(largest)} on the largest shard, " if n > 1 else ""
    seconds = "the slowest shard, modelled without a network" if n > 1 else "median"
    sentence = (
        f"{best.label} with ef_search={best.ef_search}{each} finds {best.recall:.4f} of the true "
        f"{problem.options.k} nearest (at least {best.recall_lower:.4f} with "
        f"{100 * problem.options.confidence:g} % confidence) in {best.memory_per_vector_bytes:.0f} bytes per "
        f"vector, {where}and {seconds_text(best.latency_p50_s)} a query ({seconds})."
    )
    return replace(best, sentence=sentence)
