"""The frozen configuration built again: what a pipeline that tunes once does every night."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from functools import partial

from tuner.data.base import Base
from tuner.errors import InputError
from tuner.gate.baseline import GateBaseline
from tuner.gate.subject import Subject, served_subject
from tuner.index.codecs import quantizer
from tuner.index.encoders import train
from tuner.index.graph import DerivableGraph
from tuner.index.projections import Projection, fit_rotation
from tuner.prediction.ceilings import Pool
from tuner.runtime.journal import Journal
from tuner.sweep.index_builder import IndexBuilder, encoder_name
from tuner.sweep.pose import truth_pool
from tuner.sweep.problem import Problem
from tuner.sweep.proxy_graph import TRAIN_SAMPLE, ProxyCodec, ProxyCodes, build_graph, choose_proxy
from tuner.types import Configuration, Event, Options, Profile, QuerySet, Space, Steps


def options_of(frozen: GateBaseline, threads: int) -> Options:
    """Return the options that the frozen decision was made under, as far as a build needs them."""
    return Options(
        recall=frozen.recall,
        k=frozen.k,
        metric=frozen.data.metric,
        confidence=frozen.confidence,
        seed=frozen.seed,
        threads=threads,
        n_queries=frozen.queries.n if frozen.queries.held_out else None,
        space=Space(
            M=(frozen.graph_M,),
            ef_construction=frozen.configuration.ef_construction,
            codecs=(frozen.configuration.codec,),
            rerank_factors=(1, frozen.configuration.rerank_factor),
        ),
    )


def rebuilt(
    journal: Journal, problem: Problem, profile: Profile, queries: QuerySet, frozen: GateBaseline
) -> Generator[Event, None, Subject]:
    """Yield events; return the frozen configuration, built on this base."""
    what = fitting(frozen, problem.base)
    pool = yield from journal.stage(
        "pool", "exact neighbours, deep", Pool, partial(truth_pool, problem, profile, queries)
    )
    chosen = yield from journal.stage(
        "stand-in", "choose codes to build on", ProxyCodec, partial(choose_proxy, problem, pool)
    )
    links = yield from journal.stage(
        "graph",
        f"build the graph (M={frozen.graph_M})",
        DerivableGraph,
        partial(build_graph, problem, ProxyCodes(problem.base, chosen)),
    )
    trained = yield from journal.stage(
        "codecs", "train the codec", dict[str, bytes], partial(_trained, problem, what)
    )
    bench = IndexBuilder(problem, links, trained)
    served = bench.serve(what)
    served.set_ef(frozen.ef_search)
    return served_subject(served, problem.base, bench.memory_of(what).resident_bytes)


def fitting(frozen: GateBaseline, base: Base) -> Configuration:
    """Return the configuration for this base, whose vectors may have other columns than the frozen ones."""
    what = frozen.configuration
    extra = frozen.data.metric == "ip"
    if base.d == frozen.data.d + extra:
        return what
    if what.cut != "none":
        raise InputError(
            f"{frozen.label} cuts {frozen.data.d} dimensions to {what.dims} and these vectors have "
            f"{base.d - extra}: run tune on them and freeze what it says"
        )
    return replace(what, dims=base.d)


def _trained(problem: Problem, what: Configuration) -> Steps[dict[str, bytes]]:
    base, seed = problem.base, problem.options.seed
    sample = base.sample(TRAIN_SAMPLE, seed)
    rotation = fit_rotation(sample, base.metric) if what.cut == "pca" else None
    whole = Projection("none", base.d)
    wanted = [(what.codec, Projection(what.cut, what.dims))]
    wanted += [(what.rerank, whole)] if what.rerank else []
    trained = {}
    for name, view in wanted:
        encoder = train(quantizer(name, view.dims), view, rotation, base.metric, sample, seed)
        trained[encoder_name(name, view.dims, view.cut)] = encoder.to_bytes()
        yield len(trained) / len(wanted)
    return trained
