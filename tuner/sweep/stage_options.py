"""What the stages are made of: a benchmark switches one idea off, a sweep for an engine hurries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tuner.index.codec_view import CodecView
from tuner.index.graph import DerivableGraph
from tuner.prediction.ceilings import measure_ceiling
from tuner.runtime.journal import cpu_seconds
from tuner.runtime.timing import ROUNDS
from tuner.sweep.codec_context import MeasureCeiling
from tuner.sweep.exhaustive import NativeBuilder
from tuner.sweep.frontier import MOST_POINTS
from tuner.sweep.grown_graph import OneGraph, one_graph
from tuner.sweep.index_builder import IndexBuilder
from tuner.sweep.problem import Problem
from tuner.sweep.proxy_graph import PROXY_CODECS, ProxyCodes, build_graph
from tuner.types import Options, Profile, Steps

MakeBuilder = Callable[[Problem, DerivableGraph, dict[CodecView, bytes]], IndexBuilder]


@dataclass(frozen=True, kw_only=True)
class StageOptions:
    """What the stages are made of.

    Attributes:
        proxy_codecs: codecs that may stand for exact distances, cheapest first; none of them builds the
            graph on float32.
        build_graph: the one build.
        measure_ceiling: measurement of one codec's ceiling.
        make_builder: maker of indexes; None derives graphs, or builds natively where the options ask for it.
        most_points: points of the front measured at full size at most.
        timing_rounds: fewest and most rounds that finalists are timed in.
    """

    proxy_codecs: tuple[str, ...] = PROXY_CODECS
    build_graph: Callable[[Problem, ProxyCodes], Steps[DerivableGraph]] = build_graph
    measure_ceiling: MeasureCeiling = measure_ceiling
    make_builder: MakeBuilder | None = None
    most_points: int = MOST_POINTS
    timing_rounds: tuple[int, int] = ROUNDS

    def make_graph(self, profile: Profile, problem: Problem, proxy: ProxyCodes) -> Steps[OneGraph]:
        """Yield the share done; return the one graph, from the cache where it is an ordinary one."""
        build = partial(self.build_graph, problem, proxy)
        if self.build_graph is build_graph and self.proxy_codecs == PROXY_CODECS:
            return (yield from one_graph(profile, problem, proxy.builder, build))
        started_s = cpu_seconds()
        graph = yield from build()
        return OneGraph(graph, cpu_seconds() - started_s)

    def builder_for(self, options: Options) -> MakeBuilder:
        """Return the maker of indexes under the user's options."""
        if self.make_builder is not None:
            return self.make_builder
        return NativeBuilder if is_native(options) else IndexBuilder


def is_native(options: Options) -> bool:
    """Return whether what is measured has graphs that faiss builds, none of them derived."""
    return options.exhaustive or bool(options.native)
