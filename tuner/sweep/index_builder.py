"""Makes the index of any configuration: trained codecs, codes of the whole base, derived graphs."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import faiss
import numpy as np

from tuner.index.assemble import Encoded, SearchableIndex, predict_memory, serve
from tuner.index.codec_view import CodecView
from tuner.index.encoders import Encoder, from_bytes
from tuner.index.graph import DerivableGraph, links_of
from tuner.prediction.ceilings import encode_rows
from tuner.sweep.pose import ADDED_LINKS
from tuner.sweep.problem import Problem
from tuner.types import Configuration, Memory


class IndexBuilder:
    """Configurations of one problem and one graph, made on demand; the last few parts are kept.

    Args:
        problem: data and queries.
        graph: the one graph.
        trained: serialized encoders.
    """

    def __init__(self, problem: Problem, graph: DerivableGraph, trained: dict[CodecView, bytes]) -> None:
        self.problem = problem
        self.graph = graph
        self.trained = trained
        self.encoder = lru_cache(maxsize=None)(self._read_encoder)
        self.keep_codecs(1)

    def keep_codecs(self, count: int) -> None:
        """Keep the codes of that many codecs from now on; 0 frees all."""
        self._encoded = lru_cache(maxsize=count)(self._encode)
        self._stored = lru_cache(maxsize=min(count, 1))(self._encode)

    def serve(self, configuration: Configuration) -> SearchableIndex:
        """Return the configuration's index, ready to search."""
        return serve(
            configuration,
            self.graph,
            self.problem.links_path,
            self.encoded(configuration),
            self.stored(configuration),
            self.problem.base,
        )

    def encoded(self, configuration: Configuration) -> Encoded:
        """Return the codes of the whole base for the graph search."""
        return self._encoded(CodecView.of(configuration))

    def stored(self, configuration: Configuration) -> Encoded | None:
        """Return the codes of the whole base for re-ranking, if the configuration re-ranks."""
        if configuration.rerank is None:
            return None
        return self._stored(CodecView(configuration.rerank, self.problem.base.d))

    def encoder_of(self, configuration: Configuration) -> Encoder:
        """Return the encoder of the codes that the graph is searched over."""
        return self.encoder(CodecView.of(configuration))

    def store_encoder(self, configuration: Configuration) -> Encoder | None:
        """Return the encoder of the re-ranking store, if the configuration re-ranks."""
        if configuration.rerank is None:
            return None
        return self.encoder(CodecView(configuration.rerank, self.problem.base.d))

    def memory_of(self, configuration: Configuration) -> Memory:
        """Return the configuration's bytes by part, from arithmetic."""
        encoder = self.encoder(CodecView.of(configuration))
        store = self.store_encoder(configuration)
        return predict_memory(configuration, encoder, store, self.graph, self.problem.base)

    def graph_of(self, configuration: Configuration) -> faiss.HNSW:
        """Return the configuration's graph."""
        return self._derived(self.graph, self.problem.links_path, configuration.M)

    def large_graph(self, configuration: Configuration) -> faiss.HNSW:
        """Return the graph that rows are added to before it is cut to the configuration's."""
        return self._derived(self.graph, self.problem.links_path, self.graph.cut_from(configuration.M))

    def cut(self, index: faiss.IndexHNSW, configuration: Configuration) -> faiss.HNSW:
        """Return the configuration's graph, from the large one of an index that rows were added to."""
        path = self.problem.links_path.with_name(ADDED_LINKS)
        nodes = np.arange(index.ntotal, dtype=np.int32)
        links = links_of(index, index.hnsw.nb_neighbors(1), self.problem.base, nodes, path)
        index.hnsw = self._derived(links, path, links.M)  # ordering had cut its own
        found = self._derived(links, path, configuration.M)
        path.unlink()
        return found

    def _derived(self, links: DerivableGraph, path: Path, M: int) -> faiss.HNSW:
        hnsw = faiss.HNSW(M)
        links.derive(M, path, hnsw)
        return hnsw

    def _read_encoder(self, view: CodecView) -> Encoder:
        return from_bytes(view.quantizer, view.projection, self.trained[view])

    def _encode(self, view: CodecView) -> Encoded:
        base = self.problem.base
        encoder = self.encoder(view)
        if view.codec == "fp32" and view.cut == "none":
            return Encoded(encoder, base.x.view("uint8"))
        codes = encode_rows(base, encoder)
        base.release()
        return Encoded(encoder, codes)
