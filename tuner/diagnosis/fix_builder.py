"""What mends an index, by what it costs the user: set a search parameter, put a store beside the
codes, encode again over the same links, take links away, add rows, or build again.

A fix is only an offer until it was made and measured. Nothing here changes the user's index but for its
search parameters, which are put back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from tuner.data.base import Base, view_codes
from tuner.data.copies import Copies, by_first
from tuner.diagnosis.content import MOVED, SAME, Content
from tuner.diagnosis.distinct_rows import distinct_rows
from tuner.diagnosis.questions import Questions
from tuner.index.assemble import Encoded, metric_transform, original_rows, serve
from tuner.index.codecs import quantizer
from tuner.index.encoders import Encoder, train
from tuner.index.graph import DerivableGraph, build, links_of, share_graph
from tuner.index.layers import widens
from tuner.index.opened import IndexUnderTest, with_ids
from tuner.index.projections import Projection, behind
from tuner.prediction.ceilings import encode_rows
from tuner.runtime.steps import result_of
from tuner.sweep.advice import MANY_COPIES
from tuner.types import Configuration, FixKind, IdArray

STORES = ("SQ8", "fp16", "fp32")
CODECS = ("SQ6", "SQ8", "fp16", "fp32")
PRUNED = (24, 16, 12, 8)
REBUILT_M, REBUILT_EF, DERIVED = 32, 100, (16, 12, 8)
TRAIN_ROWS = 10_000
ROWS = 1 << 14


@dataclass(frozen=True)
class Fix:
    """An offer.

    Attributes:
        kind: what it costs the user.
        title: what is done, in words.
        make: function that returns the index that it makes.
        factor: candidates to re-rank, as a multiple of k; 0 leaves it.
    """

    kind: FixKind
    title: str
    make: Callable[[], IndexUnderTest]
    factor: float = 0.0


class FixBuilder:
    """Makes fixes for one index.

    Args:
        scan: recall of an exhaustive scan by candidates re-ranked exactly.
        needed: recall that a fix must reach.
    """

    def __init__(
        self,
        questions: Questions,
        opened: IndexUnderTest,
        content: Content,
        scan: dict[int, float],
        needed: float,
    ) -> None:
        self.questions, self.opened, self.content = questions, opened, content
        self.scan, self.needed = scan, needed
        self.base = questions.problem.base
        self._links: DerivableGraph | None = None
        self._built: DerivableGraph | None = None
        self._distinct: tuple[Base, Copies, DerivableGraph] | None = None

    # ------------------------------------------------------------ offers

    def offers(self) -> Iterator[Fix]:
        """Yield what could mend it, the cheapest first."""
        yield from self._turns()
        yield from self._labels()
        yield from self._additions()
        yield from self._stores()
        if self._is_whole:
            yield from self._encodings()
            yield from self._prunings()

    def rebuilds(self) -> Iterator[Fix]:
        """Yield what a new graph could do: of each distinct row first, where many rows repeat another."""
        profile = self.questions.profile
        if profile.n_duplicate_rows >= MANY_COPIES * profile.n:
            for M in DERIVED:
                yield Fix(
                    "collapse",
                    f"one node a distinct row, its copies in a list: M={M} of one graph of {REBUILT_M}",
                    partial(self._collapsed, M),
                )
        again = "build again" if self.opened.graph is not None else "build a graph"
        for M in (REBUILT_M, *DERIVED):
            for codec in ("SQ8", "fp32"):
                yield Fix(
                    "rebuild",
                    f"{again}: M={M} of one graph of {REBUILT_M}, {codec}",
                    partial(self._rebuilt, M, codec),
                )

    @property
    def _is_whole(self) -> bool:
        """Whether each position stands for another row of the file, and each row has one."""
        content = self.content
        whole = len(content.missing) == 0 and content.n_repeated == 0 and len(content.rows) == self.base.n
        return self.opened.graph is not None and whole

    def _turns(self) -> Iterator[Fix]:
        if self.opened.search_param:
            yield Fix("search", f"search with another {self.opened.search_param}", lambda: self.opened)
        if self.opened.refine is not None:
            for factor in (2, 4, 8, 16):
                if factor > self.opened.factor and self.scan.get(factor, 1.0) >= self.needed:
                    title = f"re-rank {factor} x k candidates"
                    yield Fix("search", title, lambda: self.opened, float(factor))

    def _labels(self) -> Iterator[Fix]:
        moved = self.content.state == MOVED
        if moved.any() and self._ids_are_outside:
            yield Fix("labels", "give the vectors the ids of their rows", self._relabelled)

    def _relabelled(self) -> IndexUnderTest:
        moved = self.content.state == MOVED
        rows = np.where(moved, self.content.moved_to, self.content.rows)
        return self._offered(self._without_ids(), self._ids_of(rows), ())

    def _additions(self) -> Iterator[Fix]:
        n_missing = len(self.content.missing)
        widened = bool(self.base.radius) and widens(self.opened.chain)  # what it adds would lack a column
        if n_missing and self._ids_are_outside and not widened:
            yield Fix("add", f"add the {n_missing:,} missing rows", self._completed)

    def _completed(self) -> IndexUnderTest:
        missing = self.content.missing
        copy = faiss.deserialize_index(faiss.serialize_index(self._without_ids()))
        for start in range(0, len(missing), ROWS):
            part = missing[start : start + ROWS]
            copy.add(self.questions.in_form(part, normalised=self.content.normalised))
        ids = np.concatenate([self.opened.ids, self._ids_of(missing)])
        return replace(self._offered(copy, ids, ()), copies=self.opened.copies)

    def _stores(self) -> Iterator[Fix]:
        if self.opened.refine is not None or not self._ids_are_outside:
            return
        if (self.opened.metric, self.base.metric) == ("ip", "l2"):
            return  # a store compares as the index that it re-ranks for, and so cannot rank as was meant
        factors = [factor for factor, recall in self.scan.items() if factor > 1 and recall >= self.needed]
        plain = self.scan.get(1, 0.0)
        if not factors or plain >= self.needed or (self.content.state != SAME).any():
            return
        for store in STORES:
            title = f"re-rank {factors[0]} x k candidates from a {store} store beside the codes"
            yield Fix("store", title, partial(self._with_store, store), float(factors[0]))

    def _with_store(self, store: str) -> IndexUnderTest:
        encoder = self._encoder(store)
        codes = encode_rows(self.base, encoder, self.content.rows)
        exact = encoder.storage_over(codes)
        chain = self._with_metric(encoder)
        outer = behind(chain, exact) if chain else exact
        index = self._without_ids()
        exact.metric_type = outer.metric_type = index.metric_type  # unit rows rank alike by both
        refine = faiss.IndexRefine(index, outer)
        kept = (self.opened, index, exact, codes, outer, encoder, *chain)
        offered = self._offered(refine, self._ids_of(self.content.rows), kept)
        return replace(offered, copies=self.opened.copies)

    def _encodings(self) -> Iterator[Fix]:
        for codec in CODECS:
            title = f"the same links over {codec} codes"
            yield Fix("encode", title, partial(self._encoded, codec))

    def _encoded(self, codec: str) -> IndexUnderTest:
        encoder, graph = self._encoder(codec), self.opened.graph
        assert graph is not None  # noqa: S101 - it is whole
        index = encoder.empty(graph.hnsw.nb_neighbors(1))
        storage = faiss.downcast_index(index.storage)
        rows = self.content.rows
        for start in range(0, len(rows), ROWS):
            storage.add(encoder.transform(self.base.x[rows[start : start + ROWS]]))
        self.base.release()
        share_graph(graph, index)
        index.is_trained = True
        chain = self._with_metric(encoder)
        outer = behind(chain, index) if chain else index
        return self._offered(outer, self._ids_of(self.content.rows), (index, encoder, *chain))

    def _prunings(self) -> Iterator[Fix]:
        assert self.opened.graph is not None  # noqa: S101 - it is whole
        M = self.opened.graph.hnsw.nb_neighbors(1)
        if self.opened.graph.hnsw.nb_neighbors(0) != 2 * M:
            return  # faiss derives for twice as many links below
        for fewer in (each for each in PRUNED if each < M):
            for codec in ("SQ8", "fp32"):
                title = f"keep {fewer} of {M} links a node, over {codec} codes"
                yield Fix(
                    "prune",
                    title,
                    partial(self._pruned, fewer, codec),
                )

    # ------------------------------------------------------------ parts

    @property
    def _ids_are_outside(self) -> bool:
        """Whether ids are mapped by the outermost layer or not at all."""
        return not any(hasattr(layer, "id_map") for layer in self.opened.layers[1:]) and not isinstance(
            self.opened.core, faiss.IndexIVF
        )

    def _without_ids(self) -> faiss.Index:
        layers = self.opened.layers
        return layers[1] if hasattr(layers[0], "id_map") else layers[0]

    def _ids_of(self, rows: IdArray) -> IdArray:
        """Return the user's ids of prepared rows; -1 stays."""
        return original_rows(rows, self.base)

    def _offered(self, index: faiss.Index, ids: IdArray, kept: tuple[Any, ...]) -> IndexUnderTest:
        mapped = self.opened.own is not None  # the user's ids are put there again when it is written
        return with_ids(index, ids, self.opened.source, 0, (self.opened, *kept), always=mapped)

    def _encoder(self, codec: str) -> Encoder:
        sample = self.base.sample(TRAIN_ROWS, 0)
        view = Projection("none", self.base.d)
        return train(quantizer(codec, self.base.d), view, None, self.base.metric, sample, 0)

    def _with_metric(self, encoder: Encoder) -> list[faiss.VectorTransform]:
        step = metric_transform(self.base.metric, self.opened.d)
        return list(encoder.chain) if step is None else [step, *encoder.chain]

    def _own_links(self) -> DerivableGraph:
        """Return the user's links, ordered on exact distances so that any smaller M is a prefix."""
        if self._links is None:
            graph = self.opened.graph
            assert graph is not None  # noqa: S101 - it is whole
            M = graph.hnsw.nb_neighbors(1)
            order = self.content.rows.astype(np.int32)
            x = self.base.x
            if not np.array_equal(order, np.arange(self.base.n)):
                with self._path("nodes.f32").open("wb") as out:
                    for start in range(0, len(order), ROWS):
                        out.write(x[order[start : start + ROWS]].data)
                self.base.release()
                x = np.memmap(self._path("nodes.f32"), dtype=np.float32, mode="r", shape=x.shape)
            exact = faiss.IndexHNSWFlat(self.base.d, M)
            view_codes(faiss.downcast_index(exact.storage), x.view(np.uint8))
            share_graph(graph, exact)
            exact.is_trained = True
            self._links = links_of(exact, M, self.base, order, self._path("own.i32"))
        return self._links

    def _new_links(self) -> DerivableGraph:
        if self._built is None:
            path = self._path("rebuild.i32")
            self._built = result_of(build(self.base, self._encoder("SQ8"), REBUILT_M, REBUILT_EF, 0, path))
        return self._built

    def _path(self, name: str) -> Path:
        return self.questions.problem.links_path.with_name(name)

    def _pruned(self, M: int, codec: str) -> IndexUnderTest:
        return self._derived(self._own_links(), M, codec, "own.i32")

    def _rebuilt(self, M: int, codec: str) -> IndexUnderTest:
        return self._derived(self._new_links(), M, codec, "rebuild.i32")

    def _collapsed(self, M: int) -> IndexUnderTest:
        if self._distinct is None:
            base, copies = distinct_rows(self.base, self.questions.vectors, self._path("distinct.f32"))
            path = self._path("distinct.i32")
            links = result_of(build(base, self._encoder("SQ8"), REBUILT_M, REBUILT_EF, 0, path))
            self._distinct = base, copies, links
        base, copies, links = self._distinct
        offered = self._derived(links, M, "SQ8", "distinct.i32", base)
        return replace(offered, copies=by_first(self._ids_of(copies.pairs(None))))

    def _derived(
        self, links: DerivableGraph, M: int, codec: str, name: str, base: Base | None = None
    ) -> IndexUnderTest:
        base, encoder = base or self.base, self._encoder(codec)
        codes = base.x.view(np.uint8) if codec == "fp32" else encode_rows(base, encoder)
        configuration = Configuration(M=M, ef_construction=links.ef_construction, codec=codec, dims=base.d)
        searchable = serve(configuration, links, self._path(name), Encoded(encoder, codes), None, base)
        return self._offered(searchable.index, original_rows(np.arange(base.n), base), (searchable,))
