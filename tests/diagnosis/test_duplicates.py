"""A graph that copies of vectors cut into groups: the cause is the graph, and its text says why."""

import faiss
import numpy as np
import pytest

import tuner
from tuner.data.vectors import row_groups
from tuner.index.layers import closed_in

pytestmark = pytest.mark.usefixtures("few_rounds")
N_DISTINCT, COPIES, D = 30, 25, 16


def copied(n_copies: int) -> tuple[np.ndarray, np.ndarray]:
    """Return shuffled copies of 30 distinct rows, and 100 queries."""
    rng = np.random.default_rng(0)
    distinct = rng.standard_normal((N_DISTINCT * COPIES // n_copies, D)).astype(np.float32)
    rows = rng.permutation(np.repeat(distinct, n_copies, axis=0))
    return rows, rng.standard_normal((100, D)).astype(np.float32)


def built(x: np.ndarray, M: int) -> faiss.IndexHNSWFlat:
    index = faiss.IndexHNSWFlat(x.shape[1], M)
    index.add(x)
    index.hnsw.efSearch = 20
    return index


def test_nodes_that_link_to_their_own_copies_alone_are_counted() -> None:
    x, _ = copied(COPIES)
    index = built(x, 4)
    group = row_groups([x])
    offsets, slots = faiss.vector_to_array(index.hnsw.offsets), faiss.vector_to_array(index.hnsw.neighbors)
    expected = []
    for node in range(len(x)):
        links = [link for link in slots[offsets[node] : offsets[node] + 8].tolist() if link >= 0]
        expected.append(bool(links) and all((x[link] == x[node]).all() for link in links))
    assert closed_in(index, group).tolist() == expected
    assert 0.5 < np.mean(expected) < 1


def test_copies_are_told_where_they_cut_the_graph() -> None:
    x, q = copied(COPIES)
    found = tuner.diagnose(built(x, 4), x, q, metric="l2")
    assert found.first is not None
    assert found.first.name == "graph"
    n_closed = int(closed_in(built(x, 4), row_groups([x])).sum())
    assert f"{n_closed} link to copies of themselves alone: duplicates cut it into groups" in found.first.text
    assert found.adds_up


def test_few_copies_are_not_blamed_for_poor_links() -> None:
    x, q = copied(1)
    x[:8] = x[8:16]
    index = built(x, 2)
    slots = faiss.rev_swig_ptr(index.hnsw.neighbors.data(), index.hnsw.neighbors.size())
    offsets = faiss.vector_to_array(index.hnsw.offsets).astype(int)
    for node in range(0, len(x), 3):
        slots[offsets[node] + 1 : offsets[node] + 4] = -1
    found = tuner.diagnose(index, x, q, metric="l2")
    graph = next(cause for cause in found.causes if cause.name == "graph")
    assert graph.share > 0.1
    assert "duplicates" not in graph.text
