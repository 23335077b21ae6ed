"""Illnesses planted in indexes, each with the loss of recall that it has by construction.

The truth of each is reckoned here from the vectors and the parts of the index alone, with exact searches of
faiss and none of the diagnosis' own code.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

K = 10
EF = 400
"""Where nothing is left to the search."""
FAR = 4_096
Array = NDArray[np.float32]
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Planted:
    """An index with an illness.

    Attributes:
        x: (n, d) the file that the index is compared with.
        truths: name of a cause -> recall that it takes away; empty for a healthy index.
        metric: what near means to the user.
    """

    index: faiss.Index
    x: Array
    queries: Array
    truths: dict[str, float] = field(default_factory=dict)
    metric: str = "cosine"

    @property
    def first(self) -> str:
        """The cause that takes most away."""
        return max(self.truths, key=lambda name: self.truths[name]) if self.truths else "healthy"


@dataclass(frozen=True)
class Ground:
    """Real vectors of length 1 to plant illnesses in."""

    x: Array
    queries: Array
    seed: int

    def rng(self) -> np.random.Generator:
        """Return what draws who falls ill."""
        return np.random.default_rng(self.seed)

    def recall(self, found: Ids, x: Array | None = None, queries: Array | None = None) -> float:
        """Return tie-aware recall of ids (nq, K) by cosine."""
        x, queries = self.x if x is None else x, self.queries if queries is None else queries
        kth = exact(x, queries)[0][:, -1]
        score = np.einsum("qd,qkd->qk", queries, x[np.maximum(found, 0)])
        score[(found < 0) | repeats(found)] = -np.inf
        return float((score >= kth[:, None] - 1e-5).mean())


def exact(
    x: Array, queries: Array, k: int = K, metric: int = faiss.METRIC_INNER_PRODUCT
) -> tuple[Array, Ids]:
    """Return scores and rows (nq, k)."""
    scores, ids = faiss.knn(queries, x, k, metric)
    return scores, ids


def repeats(found: Ids) -> NDArray[np.bool_]:
    """Return which ids (nq, m) stand earlier in their row too."""
    out = np.zeros(found.shape, dtype=bool)
    for column in range(1, found.shape[1]):
        out[:, column] = (found[:, :column] == found[:, column : column + 1]).any(axis=1)
    return out


def fitted(kind: str, d: int) -> str:
    """Return a factory string whose product codes have no more parts than divide ``d`` columns."""

    def parts(found: re.Match[str]) -> str:
        most = max(1, int(found[1]))
        return f"PQ{next(m for m in range(most, 0, -1) if d % m == 0)}x"

    return re.sub(r"PQ(\d+)x", parts, kind)


def built(kind: str, x: Array, rows: Array | None = None, ef_search: int = EF) -> faiss.Index:
    """Return an index of the factory, trained on ``x``; of product codes as many parts as fit."""
    index = faiss.index_factory(x.shape[1], fitted(kind, x.shape[1]))
    index.train(x)
    index.add(x if rows is None else rows)
    if "HNSW" in kind:
        faiss.ParameterSpace().set_index_parameter(index, "efSearch", ef_search)
    return index


def unit(x: Array) -> Array:
    """Return rows at length 1."""
    scaled: Array = x / np.linalg.norm(x, axis=1, keepdims=True)
    return scaled


def inner(index: faiss.Index) -> Any:
    """Return the graph inside."""
    index = faiss.downcast_index(index)
    while not isinstance(index, faiss.IndexHNSW):
        index = faiss.downcast_index(index.base_index if hasattr(index, "base_index") else index.index)
    return index


def searched(ground: Ground, index: faiss.Index, ef_search: int, depth: int = K) -> Ids:
    """Return what an index answers at an ef, which is put back."""
    graph = inner(index)
    before, graph.hnsw.efSearch = graph.hnsw.efSearch, ef_search
    found: Ids = index.search(ground.queries, depth)[1]
    graph.hnsw.efSearch = before
    return found


def low_ef(ground: Ground, index: faiss.Index) -> float:
    """Return what the ef that an index stands at leaves on the table."""
    now = ground.recall(index.search(ground.queries, K)[1])
    return ground.recall(searched(ground, index, FAR)) - now


def scanned(ground: Ground, index: faiss.Index, depth: int = K) -> Ids:
    """Return what every code compared gives."""
    storage = faiss.downcast_index(inner(index).storage)
    found: Ids = storage.search(ground.queries, depth)[1]
    return found


# ---------------------------------------------------------------- healthy


def healthy_fp32(ground: Ground) -> Planted:
    """Float32 and an ef that is large enough."""
    return Planted(built("HNSW32", ground.x), ground.x, ground.queries)


def healthy_sq8(ground: Ground) -> Planted:
    """8 bits and re-ranking."""
    index = built("HNSW32,SQ8,RFlat", ground.x)
    index.k_factor = 4
    return Planted(index, ground.x, ground.queries)


def healthy_with_copies(ground: Ground) -> Planted:
    """A third of the file are copies: who compares ids sees half of the recall, and nothing is wrong."""
    x = ground.x.copy()
    n = len(x) // 3
    x[n : 2 * n] = x[:n]
    return Planted(built("HNSW32", x), x, ground.queries)


# ---------------------------------------------------------------- one cause


def few_candidates(ground: Ground) -> Planted:
    """ef_search of 16."""
    index = built("HNSW16", ground.x, ef_search=16)
    return Planted(index, ground.x, ground.queries, {"search": low_ef(ground, index)})


def coarse(kind: str) -> Callable[[Ground], Planted]:
    """Return what plants a codec."""

    def plant(ground: Ground) -> Planted:
        index = built(kind, ground.x)
        return Planted(index, ground.x, ground.queries, {"codec": 1 - ground.recall(scanned(ground, index))})

    plant.__doc__ = f"{kind}, ef {EF}"
    return plant


def cut_off(ground: Ground) -> Planted:
    """PCA to a quarter of the dimensions."""
    d = ground.x.shape[1] // 4
    index = built(f"PCA{d},HNSW16", ground.x)
    return Planted(index, ground.x, ground.queries, {"dimension cut": 1 - _narrow(ground, index, ground.x)})


def _narrow(ground: Ground, index: faiss.Index, rows: Array) -> float:
    """Return recall of an exact search behind the transforms of an index."""
    step = faiss.downcast_VectorTransform(faiss.downcast_index(index).chain.at(0))
    found = exact(step.apply(rows), step.apply(ground.queries), metric=faiss.METRIC_L2)[1]
    return ground.recall(found)


def missing(ground: Ground) -> Planted:
    """The last 15 % of the file were never added."""
    rows = ground.x[: int(0.85 * len(ground.x))]
    loss = 1 - ground.recall(exact(rows, ground.queries)[1])
    return Planted(built("HNSW32", ground.x, rows), ground.x, ground.queries, {"missing rows": loss})


def _stale(ground: Ground) -> Array:
    """Return rows of which 15 % are other vectors of about the same place: yesterday's."""
    rng, rows = ground.rng(), ground.x.copy()
    who = rng.choice(len(rows), int(0.15 * len(rows)), replace=False)
    noise = rng.normal(size=(len(who), rows.shape[1])).astype(np.float32) / np.sqrt(rows.shape[1])
    rows[who] = unit(rows[who] + 1.5 * noise)
    return rows


def stale(ground: Ground) -> Planted:
    """15 % of the vectors were changed in the file and not in the index."""
    rows = _stale(ground)
    loss = 1 - ground.recall(exact(rows, ground.queries)[1])
    return Planted(built("HNSW32", ground.x, rows), ground.x, ground.queries, {"stale rows": loss})


def _shifted(ground: Ground) -> Array:
    """Return rows of which the first fifth moved by one."""
    rows = ground.x.copy()
    n = len(rows) // 5
    rows[:n] = np.roll(rows[:n], 1, axis=0)
    return rows


def reordered(ground: Ground) -> Planted:
    """The first fifth of the index is off by one row."""
    rows = _shifted(ground)
    loss = 1 - ground.recall(exact(rows, ground.queries)[1])
    return Planted(built("HNSW32", ground.x, rows), ground.x, ground.queries, {"re-ordered rows": loss})


def added_twice(ground: Ground) -> Planted:
    """Half of the rows were added a second time under the same ids."""
    n = len(ground.x)
    ids = np.concatenate([np.arange(n), np.arange(n // 2)])
    rows = ground.x[ids]
    index = faiss.index_factory(ground.x.shape[1], "IDMap,HNSW32")
    index.add_with_ids(rows, ids)
    inner(index).hnsw.efSearch = EF
    loss = 1 - ground.recall(ids[exact(rows, ground.queries)[1]])
    return Planted(index, ground.x, ground.queries, {"repeated ids": loss})


def not_normalised(ground: Ground) -> Planted:
    """A fifth of the vectors are three times as long, in an index of L2."""
    rows = ground.x.copy()
    rows[::5] *= 3
    loss = 1 - ground.recall(exact(rows, ground.queries, metric=faiss.METRIC_L2)[1])
    return Planted(built("HNSW32", rows), ground.x, ground.queries, {"not normalised": loss})


def wrong_metric(metric: int) -> Callable[[Ground], Planted]:
    """Return what plants vectors of many lengths under a metric that is not cosine."""

    def plant(ground: Ground) -> Planted:
        lengths = ground.rng().uniform(0.5, 2, len(ground.x)).astype(np.float32)
        x = ground.x * lengths[:, None]
        index = faiss.IndexHNSWFlat(x.shape[1], 32, metric)
        index.hnsw.efConstruction = 200
        index.add(x)
        index.hnsw.efSearch = EF
        loss = 1 - ground.recall(exact(x, ground.queries, metric=metric)[1])
        return Planted(index, x, ground.queries, {"metric": loss})

    plant.__doc__ = f"{'L2' if metric == faiss.METRIC_L2 else 'inner product'} where cosine was meant"
    return plant


def _lost(ground: Ground, index: faiss.Index, share: float) -> NDArray[np.bool_]:
    """Take away every link to some nodes; return which."""
    hnsw, n = inner(index).hnsw, len(ground.x)
    lost = np.zeros(n, dtype=bool)
    lost[ground.rng().choice(n, int(share * n), replace=False)] = True
    lost[hnsw.entry_point] = False
    slots = faiss.rev_swig_ptr(hnsw.neighbors.data(), hnsw.neighbors.size())
    offsets = faiss.vector_to_array(hnsw.offsets).astype(int)
    per_node = hnsw.nb_neighbors(0)
    for node in range(n):
        own = slots[offsets[node] : offsets[node] + per_node]
        kept = own[(own >= 0) & ~lost[np.maximum(own, 0)]]
        own[:] = -1
        own[: len(kept)] = kept
        upper = slots[offsets[node] + per_node : offsets[node + 1]]
        upper[(upper >= 0) & lost[np.maximum(upper, 0)]] = -1
    return lost


def out_of_reach(ground: Ground) -> Planted:
    """No link leads to 8 % of the nodes."""
    index = built("HNSW16", ground.x)
    lost = _lost(ground, index, 0.08)
    left = np.flatnonzero(~lost)
    loss = 1 - ground.recall(left[exact(ground.x[left], ground.queries)[1]])
    return Planted(index, ground.x, ground.queries, {"graph": loss})


def too_little_reranked(ground: Ground) -> Planted:
    """PQ of 4 dimensions a code, of which as many are re-ranked as are asked for."""
    index = built(f"HNSW16_PQ{ground.x.shape[1] // 8}x8,RFlat", ground.x)
    scan = scanned(ground, index, 16 * K)
    near = np.einsum("qd,qmd->qm", ground.queries, ground.x[scan])
    best = np.take_along_axis(scan, np.argsort(-near, axis=1)[:, :K], axis=1)
    loss = ground.recall(best) - ground.recall(scan[:, :K])
    return Planted(index, ground.x, ground.queries, {"re-ranking": loss})


def few_lists(ground: Ground) -> Planted:
    """4 of 256 lists are looked into."""
    index = built("IVF256,Flat", ground.x)
    index.nprobe = 4
    loss = 1 - ground.recall(index.search(ground.queries, K)[1])
    return Planted(index, ground.x, ground.queries, {"search": loss})


def dead_dimensions(ground: Ground) -> Planted:
    """8 bits trained on rows whose first 40 dimensions did not vary."""
    sample = ground.x[: len(ground.x) // 2].copy()
    sample[:, :40] = 0
    index = faiss.IndexHNSWSQ(ground.x.shape[1], faiss.ScalarQuantizer.QT_8bit, 16)
    index.train(sample)
    index.add(ground.x)
    index.hnsw.efSearch = EF
    return Planted(index, ground.x, ground.queries, {"codec": 1 - ground.recall(scanned(ground, index))})


def drifted(ground: Ground) -> Planted:
    """A third of the queries have nothing to do with the file."""
    n = len(ground.queries) // 3
    noise = ground.rng().normal(size=(n, ground.x.shape[1])).astype(np.float32)
    queries = np.concatenate([ground.queries[n:], unit(noise)])
    index = built("HNSW16", ground.x, ef_search=64)
    each = [ground.recall(index.search(part, K)[1], queries=part) for part in (queries[:-n], queries[-n:])]
    return Planted(index, ground.x, queries, {"query drift": n / len(queries) * (each[0] - each[1])})


# ---------------------------------------------------------------- two at once


def coarse_and_few_candidates(ground: Ground) -> Planted:
    """SQ4 at an ef of 16."""
    index = built("HNSW16,SQ4", ground.x, ef_search=16)
    codec = 1 - ground.recall(scanned(ground, index))
    return Planted(index, ground.x, ground.queries, {"codec": codec, "search": low_ef(ground, index)})


def missing_and_few_candidates(ground: Ground) -> Planted:
    """15 % are missing, and ef is 16."""
    rows = ground.x[: int(0.85 * len(ground.x))]
    index = built("HNSW16", ground.x, rows, ef_search=16)
    loss = 1 - ground.recall(exact(rows, ground.queries)[1])
    return Planted(index, ground.x, ground.queries, {"missing rows": loss, "search": low_ef(ground, index)})


def stale_and_coarse(ground: Ground) -> Planted:
    """15 % are stale, under SQ4."""
    rows = _stale(ground)
    index = built("HNSW32,SQ4", ground.x, rows)
    left = ground.recall(exact(rows, ground.queries)[1])
    codec = left - ground.recall(scanned(ground, index))
    return Planted(index, ground.x, ground.queries, {"stale rows": 1 - left, "codec": codec})


def cut_and_missing(ground: Ground) -> Planted:
    """PCA to a quarter of the dimensions, and 15 % are missing."""
    rows, d = ground.x[: int(0.85 * len(ground.x))], ground.x.shape[1] // 4
    index = built(f"PCA{d},HNSW16", ground.x, rows)
    left = ground.recall(exact(rows, ground.queries)[1])
    truths = {"missing rows": 1 - left, "dimension cut": left - _narrow(ground, index, rows)}
    return Planted(index, ground.x, ground.queries, truths)


def reordered_and_few_candidates(ground: Ground) -> Planted:
    """A fifth is off by one row, and ef is 16."""
    rows = _shifted(ground)
    index = built("HNSW16", ground.x, rows, ef_search=16)
    loss = 1 - ground.recall(exact(rows, ground.queries)[1])
    truths = {"re-ordered rows": loss, "search": low_ef(ground, index)}
    return Planted(index, ground.x, ground.queries, truths)


def few_lists_of_coarse_codes(ground: Ground) -> Planted:
    """4 of 128 lists of PQ codes are looked into."""
    index = built(f"IVF128,PQ{ground.x.shape[1] // 4}x8", ground.x)
    index.nprobe = 128
    codec = 1 - ground.recall(index.search(ground.queries, K)[1])
    index.nprobe = 4
    search = 1 - codec - ground.recall(index.search(ground.queries, K)[1])
    return Planted(index, ground.x, ground.queries, {"codec": codec, "search": search})


def out_of_reach_and_coarse(ground: Ground) -> Planted:
    """No link leads to 4 % of the nodes, over SQ4."""
    index = built("HNSW16,SQ4", ground.x)
    left = np.flatnonzero(~_lost(ground, index, 0.04))
    graph = 1 - ground.recall(left[exact(ground.x[left], ground.queries)[1]])
    codec = 1 - ground.recall(scanned(ground, index))
    return Planted(index, ground.x, ground.queries, {"graph": graph, "codec": codec})


@cache
def illnesses() -> dict[str, Callable[[Ground], Planted]]:
    """Return what can be planted, by name."""
    return {
        "healthy, float32": healthy_fp32,
        "healthy, 8 bits re-ranked": healthy_sq8,
        "healthy, many copies": healthy_with_copies,
        "ef too small": few_candidates,
        "4 bits": coarse("HNSW16,SQ4"),
        "product codes": coarse("HNSW16_PQ32x8"),
        "1 bit": coarse("HNSW16,RaBitQ"),
        "dimensions cut": cut_off,
        "rows missing": missing,
        "rows stale": stale,
        "rows re-ordered": reordered,
        "rows added twice": added_twice,
        "not normalised": not_normalised,
        "inner product for cosine": wrong_metric(faiss.METRIC_INNER_PRODUCT),
        "L2 for cosine": wrong_metric(faiss.METRIC_L2),
        "nodes out of reach": out_of_reach,
        "too few re-ranked": too_little_reranked,
        "too few lists": few_lists,
        "dead dimensions": dead_dimensions,
        "queries drifted": drifted,
        "4 bits, ef too small": coarse_and_few_candidates,
        "rows missing, ef too small": missing_and_few_candidates,
        "rows stale, 4 bits": stale_and_coarse,
        "dimensions cut, rows missing": cut_and_missing,
        "rows re-ordered, ef too small": reordered_and_few_candidates,
        "product codes, too few lists": few_lists_of_coarse_codes,
        "nodes out of reach, 4 bits": out_of_reach_and_coarse,
    }
