"""Our ideas, each switched off by what the stages of the sweep are made of.

- ``fp32-builder``: the graph is built on float32, not on SQ8 codes.
- ``native-codecs``: what is measured gets a graph built by faiss on its own codes and with its own M, in
  place of links transplanted from the one graph.
- ``native-M``: each M gets a graph that was built with it, on the same codes, in place of a derived one.
- ``no-ceilings``: each codec counts as lossless, so that all go to the front and fail there.

Subsampling is a contestant of its own (``subsample.py``): it replaces the whole method.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

import faiss

from tuner.index.codec_view import CodecView
from tuner.index.codecs import Codes
from tuner.index.encoders import Encoder
from tuner.index.graph import DerivableGraph, build
from tuner.prediction.ceilings import Pool, measure_ceiling
from tuner.runtime.steps import scaled
from tuner.sweep.exhaustive import NativeBuilder
from tuner.sweep.problem import Problem
from tuner.sweep.proxy_graph import ProxyCodes
from tuner.sweep.stage_options import StageOptions
from tuner.types import Ceiling, FloatArray, Steps

Builds = list[str]
"""One entry for each graph that was built, where an idea changes their number."""
MOST_POINTS = 60
"""Without ceilings the first dozen points are hopeless ones: so many may be measured."""


def switched_off(idea: str) -> tuple[StageOptions, Builds]:
    """Return the stages without ``idea``, and the list of builds that they fill; all ideas if it is empty."""
    builds: Builds = []
    return IDEAS[idea](builds), builds


def _as_it_is(builds: Builds) -> StageOptions:
    return StageOptions()


def _fp32_builder(builds: Builds) -> StageOptions:
    return StageOptions(proxy_codecs=())


# ---------------------------------------------------------------- one graph for all codecs


def _native_codecs(builds: Builds) -> StageOptions:
    builds.append("the one graph, for curves and costs")
    return StageOptions(make_builder=partial(CountedNative, builds))


class CountedNative(NativeBuilder):
    """Builds natively what is measured, and counts."""

    def __init__(
        self, builds: Builds, problem: Problem, graph: DerivableGraph, trained: dict[CodecView, bytes]
    ) -> None:
        self.made = builds
        super().__init__(problem, graph, trained)

    def _build(self, view: CodecView, M: int) -> faiss.IndexHNSW:
        self.made.append(f"{view}-M{M}")
        return super()._build(view, M)


# ---------------------------------------------------------------- smaller M derived from larger


def _native_graphs(builds: Builds) -> StageOptions:
    return StageOptions(build_graph=partial(_build_each, builds))


def _build_each(builds: Builds, problem: Problem, proxy: ProxyCodes) -> Steps[DerivableGraph]:
    space = problem.options.space
    graphs: dict[int, DerivableGraph] = {}
    paths: dict[int, str] = {}
    share = 1 / len(space.M)
    for number, M in enumerate(space.M):
        path = problem.links_path
        path = path if max(space.M) == M else path.with_name(f"links-{M}.partial")
        steps = build(problem.base, proxy.builder, M, space.ef_construction, problem.options.seed, path)
        graphs[M] = yield from scaled(steps, number * share, (number + 1) * share)
        paths[M] = str(path)
        builds.append(f"M={M}")
    return GraphOfEachM.of(graphs, paths)


@dataclass(frozen=True)
class GraphOfEachM(DerivableGraph):
    """The graph of the largest M, with a graph of its own for every M.

    Attributes:
        graphs: graph of each M.
        paths: file of the level 0 lists of each M.
    """

    graphs: dict[int, DerivableGraph]
    paths: dict[int, str]

    @classmethod
    def of(cls, graphs: dict[int, DerivableGraph], paths: dict[int, str]) -> GraphOfEachM:
        """Return the graph of the largest M, knowing the others."""
        largest = graphs[max(graphs)]
        own = {field.name: getattr(largest, field.name) for field in fields(DerivableGraph)}
        return cls(**own, graphs=graphs, paths=paths)

    def n_slots(self, M: int) -> int:
        """Return the neighbour slots of the graph that was built with this M."""
        return self.graphs[M].n_slots(M)

    def cut_from(self, M: int) -> int:
        """Return M itself: nothing is cut."""
        return M

    def derive(self, M: int, path: Path, hnsw: faiss.HNSW) -> None:
        """Fill an empty ``hnsw`` with the graph that was built with this M."""
        self.graphs[M].derive(M, Path(self.paths[M]), hnsw)


# ---------------------------------------------------------------- ceilings


def _no_ceilings(builds: Builds) -> StageOptions:
    return StageOptions(measure_ceiling=_lossless, most_points=MOST_POINTS)


def _lossless(
    pool: Pool,
    encoder: Encoder,
    codes: Codes,
    stores: dict[str, FloatArray],
    factors: tuple[int, ...],
    train_s: float,
) -> Ceiling:
    """Return a ceiling of 1, whatever the codec."""
    measured = measure_ceiling(pool, encoder, codes, {}, (1,), train_s)
    whole = dict.fromkeys((1, *factors), 1.0)
    again = {factor: 1.0 for factor in factors if factor > 1}
    return replace(measured, recall_at=whole, recall_with={store: dict(again) for store in stores})


IDEAS: dict[str, Callable[[Builds], StageOptions]] = {
    "": _as_it_is,
    "fp32-builder": _fp32_builder,
    "native-codecs": _native_codecs,
    "native-M": _native_graphs,
    "no-ceilings": _no_ceilings,
}
