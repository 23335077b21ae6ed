"""The frozen configuration built again: what a pipeline that tunes once does every night."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from functools import partial

import numpy as np

from tuner.data.base import Base
from tuner.errors import InputError
from tuner.index.assemble import original_rows
from tuner.index.codec_view import CodecView
from tuner.index.encoders import train
from tuner.index.graph import DerivableGraph
from tuner.index.opened import IndexUnderTest, with_ids
from tuner.index.projections import fit_rotation
from tuner.prediction.ceilings import Pool
from tuner.runtime.journal import Journal
from tuner.runtime.steps import as_progress
from tuner.sweep.added_rows import Codes, Places, grown
from tuner.sweep.index_builder import IndexBuilder
from tuner.sweep.pose import PosedProblem, pose, truth_pool, work_of
from tuner.sweep.problem import Problem
from tuner.sweep.proxy_graph import TRAIN_SAMPLE, ProxyCodec, ProxyCodes, build_graph, choose_proxy
from tuner.types import Configuration, Event, GateBaseline, Options, Space, Steps


def options_of(baseline: GateBaseline, threads: int) -> Options:
    """Return the options that the frozen decision was made under, as far as a build needs them."""
    return Options(
        recall=baseline.recall,
        k=baseline.k,
        metric=baseline.data.metric,
        confidence=baseline.confidence,
        seed=baseline.seed,
        threads=threads,
        n_queries=baseline.queries.n if baseline.queries.held_out else None,
        earlier=baseline.generations,
        duplicates=baseline.duplicates,
        space=Space(
            M=(baseline.graph_M,),
            ef_construction=baseline.configuration.ef_construction,
            codecs=(baseline.configuration.codec,),
            rerank_factors=(1, baseline.configuration.rerank_factor),
        ),
    )


def rebuilt(
    journal: Journal, posed: PosedProblem, baseline: GateBaseline
) -> Generator[Event, None, IndexUnderTest]:
    """Yield events; return the frozen configuration, built on this base as the sweep builds it.

    Where the index holds the rows that the queries are, they are added to it last.
    """
    profile, queries = posed.profile, posed.query_set
    problem, every_row = posed.problem, posed.problem.base
    if queries.indexed:
        posed_without = yield from pose(
            journal, posed.vectors, None, problem.options, work_of(problem), profile=profile, put_back=True
        )
        problem = posed_without.problem
    what = fitting(baseline, problem.base)
    pool = yield from journal.stage(
        "pool", "exact neighbours, deep", Pool, partial(truth_pool, problem, profile, queries)
    )
    chosen = yield from journal.stage(
        "stand-in", "choose codes to build on", ProxyCodec, partial(choose_proxy, problem, pool)
    )
    proxy = ProxyCodes(problem.base, chosen)
    links = yield from journal.stage(
        "graph",
        f"build the graph (M={baseline.graph_M})",
        DerivableGraph,
        partial(build_graph, problem, proxy),
    )
    trained = yield from journal.stage(
        "codecs", "train the codec", dict[CodecView, bytes], partial(_trained, problem, what)
    )
    builder = IndexBuilder(problem, links, trained)
    n_bytes = builder.memory_of(what).resident_bytes
    if queries.indexed:
        places = Places.of(problem, queries, every_row)
        fresh = places.fresh(problem.halves)
        growing = grown(problem, places, builder, what, proxy.builder, fresh)
        stages = yield from as_progress("add", growing)
        searchable = Codes(IndexBuilder(posed.problem, links, trained), what).under(stages[-1])
    else:
        searchable = builder.serve(what)
    searchable.set_ef(baseline.ef_search)
    ids = original_rows(np.arange(every_row.n), every_row)
    return with_ids(searchable.index, ids, "the index built again", n_bytes, (searchable,))


def fitting(baseline: GateBaseline, base: Base) -> Configuration:
    """Return the configuration for this base, whose vectors may have other columns than the frozen ones."""
    what = baseline.configuration
    extra = baseline.data.metric == "ip"
    if base.d == baseline.data.d + extra:
        return what
    if what.cut != "none":
        raise InputError(
            f"{baseline.label} cuts {baseline.data.d} dimensions to {what.dims} and these vectors have "
            f"{base.d - extra}: run tune on them and freeze what it says"
        )
    return replace(what, dims=base.d)


def _trained(problem: Problem, what: Configuration) -> Steps[dict[CodecView, bytes]]:
    base, seed = problem.base, problem.options.seed
    sample = base.sample(TRAIN_SAMPLE, seed)
    rotation = fit_rotation(sample, base.metric) if what.cut == "pca" else None
    wanted = [CodecView.of(what)]
    wanted += [CodecView(what.rerank, base.d)] if what.rerank else []
    trained: dict[CodecView, bytes] = {}
    for view in wanted:
        encoder = train(view.quantizer, view.projection, rotation, base.metric, sample, seed)
        trained[view] = encoder.to_bytes()
        yield len(trained) / len(wanted)
    return trained
