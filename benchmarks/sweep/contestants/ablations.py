"""Our ideas, each switched off by replacing one function of the tuner while a context lasts.

- ``fp32-builder``: the graph is built on float32, not on SQ8 codes.
- ``native-codecs``: what is measured gets a graph built by faiss on its own codes and with its own M, in
  place of links transplanted from the one graph.
- ``native-M``: each M gets a graph that was built with it, on the same codes, in place of a derived one.
- ``no-ceilings``: each codec counts as lossless, so that all go to the front and fail there.

Subsampling is a contestant of its own (``subsample.py``): it replaces the whole method.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from unittest.mock import patch

import faiss

import tuner.index.graph
import tuner.sweep.codecs
import tuner.sweep.frontier
import tuner.sweep.proxy_graph
import tuner.sweep.run
from tuner.index.assemble import predict_memory
from tuner.index.codecs import Codes
from tuner.index.encoders import Encoder
from tuner.index.graph import DerivableGraph, build, derive
from tuner.prediction.ceilings import Pool, measure_ceiling
from tuner.runtime.steps import scaled
from tuner.sweep.deliver import Delivery
from tuner.sweep.exhaustive import NativeBuilder
from tuner.sweep.problem import Problem
from tuner.sweep.proxy_graph import ProxyCodes
from tuner.types import Ceiling, Configuration, FloatArray, Memory, OperatingPoint, Steps

Builds = list[str]
"""One entry for each graph that was built, where an idea changes their number."""
MOST_POINTS = 60
"""Without ceilings the first dozen points are hopeless ones: so many may be measured."""


def switched_off(idea: str) -> AbstractContextManager[Builds]:
    """Return the context in which ``idea`` is switched off; none if it is empty."""
    return IDEAS[idea]()


@contextmanager
def _as_it_is() -> Iterator[Builds]:
    yield []


@contextmanager
def _fp32_builder() -> Iterator[Builds]:
    with patch.object(tuner.sweep.proxy_graph, "CODECS", ()):
        yield []


# ---------------------------------------------------------------- one graph for all codecs


@contextmanager
def _native_codecs() -> Iterator[Builds]:
    builds: Builds = ["the one graph, for curves and prices"]

    class Native(NativeOnDemand):
        made = builds

    with (
        patch.object(tuner.sweep.run, "IndexBuilder", Native),
        # bytes of links are known only when a graph is built: predictions are those of the derived graph
        patch.object(tuner.sweep.run, "_check_delivery", _check_ids),
    ):
        yield builds


class NativeOnDemand(NativeBuilder):
    """Builds natively what is measured, each graph once: it is kept on disk. Bytes are predicted."""

    made: Builds

    def memory_of(self, configuration: Configuration) -> Memory:
        """Return the bytes that the derived graph would have."""
        what = configuration
        encoder = self.encoder(what.codec, what.dims, what.cut)
        return predict_memory(what, encoder, self.store_encoder(what), self.graph, self.problem.base)

    def _build(self, codec: str, dims: int, cut: str, M: int) -> faiss.IndexHNSW:
        name = f"{codec}@{cut}{dims}-M{M}"
        path = self.problem.links_path.with_name(f"{name}.partial")
        if name not in self.made:
            faiss.write_index(super()._build(codec, dims, cut, M), str(path))
            self.made.append(name)
        return faiss.read_index(str(path))


def _check_ids(delivery: Delivery, chosen: OperatingPoint) -> None:
    """Only that what was delivered is what was measured."""
    if delivery.same_ids < 1:
        raise AssertionError(f"only {delivery.same_ids:.4f} of the ids of {chosen.configuration.label}")


# ---------------------------------------------------------------- smaller M derived from larger


@contextmanager
def _native_graphs() -> Iterator[Builds]:
    builds: Builds = []
    graphs: dict[int, tuple[DerivableGraph, Path]] = {}

    def build_each(problem: Problem, stand_in: ProxyCodes) -> Steps[DerivableGraph]:
        space = problem.options.space
        share = 1 / len(space.M)
        for number, M in enumerate(space.M):
            path = problem.links_path
            path = path if max(space.M) == M else path.with_name(f"links-{M}.partial")
            steps = build(
                problem.base, stand_in.builder, M, space.ef_construction, problem.options.seed, path
            )
            graphs[M] = (yield from scaled(steps, number * share, (number + 1) * share)), path
            builds.append(f"M={M}")
        return LinksOfEachM.of({M: links for M, (links, _) in graphs.items()})

    def own_links(links: DerivableGraph, M: int, path: Path, hnsw: faiss.HNSW) -> None:
        own, own_path = graphs.get(M, (links, path))
        derive(own, M, own_path, hnsw)

    with (
        patch.object(tuner.sweep.run, "build_graph", build_each),
        patch.object(tuner.index.graph, "derive", own_links),
    ):
        yield builds


@dataclass(frozen=True)
class LinksOfEachM(DerivableGraph):
    """The graph of the largest M, with the neighbour slots of all the others."""

    slots: dict[int, int]

    @classmethod
    def of(cls, graphs: dict[int, DerivableGraph]) -> LinksOfEachM:
        """Return the graph of the largest M, knowing the others' slots."""
        largest = graphs[max(graphs)]
        own = {field.name: getattr(largest, field.name) for field in fields(DerivableGraph)}
        return cls(**own, slots={M: links.n_slots(M) for M, links in graphs.items()})

    def n_slots(self, M: int) -> int:
        """Return the neighbour slots of the graph that was built with this M."""
        return self.slots[M]


# ---------------------------------------------------------------- ceilings


@contextmanager
def _no_ceilings() -> Iterator[Builds]:
    with (
        patch.object(tuner.sweep.codecs, "measure_ceiling", _lossless),
        patch.object(tuner.sweep.frontier, "MOST_POINTS", MOST_POINTS),
    ):
        yield []


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


IDEAS: dict[str, Callable[[], AbstractContextManager[Builds]]] = {
    "": _as_it_is,
    "fp32-builder": _fp32_builder,
    "native-codecs": _native_codecs,
    "native-M": _native_graphs,
    "no-ceilings": _no_ceilings,
}
