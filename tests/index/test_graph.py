"""One graph gives every smaller M, is as good as a native one there, and fits any storage."""

from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pytest
from conftest import M_MAX, D, K, World, finish, planted_rows
from numpy.typing import NDArray

from tuner.data.base import Base, view_codes
from tuner.index.assemble import Encoded
from tuner.index.codecs import quantizer
from tuner.index.encoders import Encoder, train
from tuner.index.graph import (
    DerivableGraph,
    build,
    diverse_first,
    is_diverse,
    share_graph,
    transplant,
)
from tuner.index.native import build_natively, native_links
from tuner.index.projections import Projection
from tuner.prediction.curves import curves_of, search_counted
from tuner.types import CurvePoint, FloatArray

Lists = NDArray[np.int32]
DERIVED = (2, 4, 8, 12, 16, M_MAX)


def level_0(hnsw: faiss.HNSW, M: int) -> Lists:
    """Return the lists of level 0, (n, 2 M), -1 filled."""
    offsets = faiss.vector_to_array(hnsw.offsets).astype(np.int64)[:-1]
    return np.asarray(faiss.vector_to_array(hnsw.neighbors)[offsets[:, None] + np.arange(2 * M)])


def derived(links: DerivableGraph, M: int, path: Path) -> faiss.HNSW:
    hnsw = faiss.HNSW(M)
    links.derive(M, path, hnsw)
    return hnsw


def upper_lists(hnsw: faiss.HNSW, M: int) -> dict[tuple[int, int], list[int]]:
    """Return the lists of the upper levels by (node, level)."""
    offsets = faiss.vector_to_array(hnsw.offsets).astype(np.int64)
    neighbors, levels = faiss.vector_to_array(hnsw.neighbors), faiss.vector_to_array(hnsw.levels)
    return {
        (int(node), level): neighbors[offsets[node] + (level + 1) * M :][:M].tolist()
        for node in np.flatnonzero(levels > 1)
        for level in range(1, levels[node])
    }


def fp32(x: FloatArray) -> tuple[Base, Encoder]:
    base = Base(x=x, rows=None, metric="l2", radius=0.0)
    return base, train(quantizer("fp32", base.d), Projection("none", base.d), None, "l2", x[:10], 0)


def links_of(
    folder: Path, x: FloatArray, M: int = 8, seed: int = 1, ef_construction: int = 40
) -> DerivableGraph:
    base, encoder = fp32(x)
    return finish(build(base, encoder, M, ef_construction, seed, folder / "links"))


# ---------------------------------------------------------------- the rule


def _diverse_in_plain_python(to_node: list[float], pairwise: list[list[float]]) -> list[bool]:
    kept: list[int] = []
    for link, distance in enumerate(to_node):
        if distance != float("inf") and all(pairwise[link][other] >= distance for other in kept):
            kept.append(link)
    return [link in kept for link in range(len(to_node))]


def test_the_rule_equals_plain_python() -> None:
    rng = np.random.default_rng(0)
    for dims in (2, 3, 10):
        nodes, links = rng.standard_normal((60, 1, dims)), rng.standard_normal((60, 12, dims))
        links[::4, 5] = links[::4, 2]  # copies
        links = np.take_along_axis(
            links, np.argsort(((links - nodes) ** 2).sum(axis=2), axis=1)[..., None], axis=1
        )
        to_node = ((links - nodes) ** 2).sum(axis=2)
        to_node[:20, 8:] = np.inf
        pairwise = ((links[:, :, None] - links[:, None]) ** 2).sum(axis=3)
        found = is_diverse(to_node, pairwise)
        assert found.tolist() == [
            _diverse_in_plain_python(a, b) for a, b in zip(to_node.tolist(), pairwise.tolist(), strict=True)
        ]
        assert found[:, 0].all()
        assert not found.all()


def test_the_rule_by_hand() -> None:
    """On a line: node 0, links at 1, -1.5, 2 and 2.5: those behind 1 are hidden by it."""
    at = np.array([[1, -1.5, 2, 2.5]])
    assert is_diverse(at**2, (at[:, :, None] - at[:, None, :]) ** 2).tolist() == [[True, True, False, False]]


def test_diverse_links_come_first_in_their_order() -> None:
    closest_first = np.array(
        [[5, 3, 8, 2, -1], [7, 6, 4, 1, 0], [9, -1, -1, -1, -1], [-1] * 5], dtype=np.int32
    )
    diverse = np.array([[5, 8, -1, -1, -1], [6, 4, 0, -1, -1], [9, -1, -1, -1, -1], [-1] * 5], dtype=np.int32)
    assert diverse_first(closest_first, diverse).tolist() == [
        [5, 8, 3, 2, -1],
        [6, 4, 0, 7, 1],
        [9, -1, -1, -1, -1],
        [-1] * 5,
    ]


def test_ties_in_another_order_lose_no_diverse_link() -> None:
    """faiss may name links of equal distance in another order each time: all of them are kept."""
    closest_first = np.array([[5, 3, 8, 2, -1], [7, 6, 4, 1, 0], [9, 8, -1, -1, -1]], dtype=np.int32)
    diverse = np.array([[8, 5, -1, -1, -1], [1, 4, 7, -1, -1], [8, 9, -1, -1, -1]], dtype=np.int32)
    assert diverse_first(closest_first, diverse).tolist() == [
        [5, 8, 3, 2, -1],
        [7, 4, 1, 6, 0],
        [9, 8, -1, -1, -1],
    ]


def test_level_0_is_ordered_by_the_rule(world: Callable[..., World]) -> None:
    """faiss applied the rule; here numpy does, and every list must be in the same order."""
    one = world("l2")
    lists = level_0(derived(one.links, M_MAX, one.links_path), M_MAX)
    to_node = ((one.base.x[np.maximum(lists, 0)] - one.base.x[:, None, :]) ** 2).sum(axis=2, dtype=np.float64)
    to_node[lists < 0] = np.inf
    closest = np.argsort(to_node, axis=1, kind="stable")
    to_node, by_distance = (np.take_along_axis(a, closest, axis=1) for a in (to_node, lists))
    linked = one.base.x[np.maximum(by_distance, 0)].astype(np.float64)
    norms = (linked**2).sum(axis=2)
    pairwise = norms[:, :, None] + norms[:, None, :] - 2 * linked @ linked.transpose(0, 2, 1)
    order = np.argsort(~is_diverse(to_node, pairwise), axis=1, kind="stable")
    same = (np.take_along_axis(by_distance, order, axis=1) == lists).all(axis=1)
    assert same.mean() > 0.999  # rounding may decide a near-tie otherwise
    assert (by_distance == lists).all(axis=1).mean() < 0.5  # plain order of distance would be seen


# ---------------------------------------------------------------- derived graphs


@pytest.mark.parametrize("M", DERIVED)
def test_derived_lists_are_prefixes(world: Callable[..., World], M: int) -> None:
    one = world("l2")
    whole, part = (derived(one.links, m, one.links_path) for m in (M_MAX, M))
    np.testing.assert_array_equal(level_0(part, M), level_0(whole, M_MAX)[:, : 2 * M])
    expected = {key: lists[:M] for key, lists in upper_lists(whole, M_MAX).items()}
    assert upper_lists(part, M) == expected
    assert len(expected) == len(one.links.upper) > 20


@pytest.mark.parametrize("M", DERIVED)
def test_derived_lists_are_valid(world: Callable[..., World], M: int) -> None:
    one = world("l2")
    hnsw = derived(one.links, M, one.links_path)
    levels = faiss.vector_to_array(hnsw.levels)
    lists = level_0(hnsw, M)
    assert lists.min() >= -1
    assert lists.max() < one.base.n
    assert (np.diff((lists < 0).astype(int), axis=1) >= 0).all(), "a hole before a link"
    assert (lists[:, 0] >= 0).all()
    for row, mine in enumerate(lists.tolist()):
        linked = [link for link in mine if link >= 0]
        assert len(linked) == len(set(linked)) <= 2 * M
        assert row not in linked
    for (node, level), mine in upper_lists(hnsw, M).items():
        linked = [link for link in mine if link >= 0]
        assert mine == linked + [-1] * (M - len(linked))
        assert len(linked) == len(set(linked))
        assert node not in linked
        assert all(levels[link] > level for link in linked)
    assert hnsw.neighbors.size() == one.links.n_slots(M)
    assert faiss.vector_to_array(hnsw.offsets)[-1] == one.links.n_slots(M)
    assert levels[hnsw.entry_point] == levels.max() == hnsw.max_level + 1
    assert hnsw.efConstruction == 100
    assert (hnsw.nb_neighbors(0), hnsw.nb_neighbors(1)) == (2 * M, M)


def test_mean_degree_and_width_are_those_of_the_lists(world: Callable[..., World]) -> None:
    one = world("l2")
    lists = level_0(derived(one.links, M_MAX, one.links_path), M_MAX)
    degree = (lists >= 0).sum(axis=1)
    assert one.links.mean_degree == degree.mean()
    assert one.links.width == degree.max()
    assert one.links_path.stat().st_size == 4 * one.base.n * one.links.width


def _unreachable(lists: Lists, start: int) -> int:
    seen = np.zeros(len(lists), dtype=bool)
    seen[start] = True
    front = np.array([start])
    while len(front):
        front = np.unique(lists[front])
        front = front[(front >= 0) & ~seen[np.maximum(front, 0)]]
        seen[front] = True
    return int((~seen).sum())


@pytest.mark.parametrize("M", [2, 6, 16, 48])
def test_the_links_of_a_native_graph_are_known_before_it_is_built(
    world: Callable[..., World], M: int
) -> None:
    base, encoder = fp32(np.array(world("l2").base.x))
    assert native_links(base.n, M) == build_natively(encoder, base, M, 20).hnsw.neighbors.size()


@pytest.mark.parametrize(("M", "at_most"), [(M_MAX, 0.002), (12, 0.005), (8, 0.01), (4, 0.05)])
def test_fewer_rows_are_out_of_reach_than_in_a_native_graph(
    world: Callable[..., World], M: int, at_most: float
) -> None:
    """HNSW's links go one way: some rows have none that leads to them, and no ef_search finds those."""
    one = world("l2")
    base, encoder = fp32(np.array(one.base.x))
    graph, native = derived(one.links, M, one.links_path), build_natively(encoder, base, M, 100)
    missed = _unreachable(level_0(graph, M), graph.entry_point)
    assert missed <= at_most * one.base.n
    assert missed <= _unreachable(level_0(native.hnsw, M), native.hnsw.entry_point) + 1


def _ladder(index: faiss.IndexHNSW, world: World, M: int) -> list[CurvePoint]:
    points = []
    for ef in (10, 14, 20, 28, 40, 56, 80, 120, 180):
        index.hnsw.efSearch = ef
        ids, ndis, _ = search_counted(index, world.queries, K)
        points.append(CurvePoint(M=M, ef_search=ef, recall=world.recall(ids), ndis_per_query=ndis))
    return points


@pytest.mark.parametrize("M", [4, 8, 12, 16])
def test_a_derived_graph_is_as_good_as_a_native_one(world: Callable[..., World], M: int) -> None:
    """At the ndis that the native graph needs for its recall, the derived one has at least that, less .01."""
    one = world("l2")
    base, encoder = fp32(np.array(one.base.x))
    native = _ladder(build_natively(encoder, base, M, 100), one, M)
    graph = transplant(one.links, M, one.links_path, encoder.empty(M), base.x.view(np.uint8))
    curve = curves_of(tuple(_ladder(graph, one, M)))[M]
    at_equal_cost = np.interp([point.ndis_per_query for point in native], curve.ndis, curve.recall)
    behind = np.array([point.recall for point in native]) - at_equal_cost
    assert behind.max() < 0.03
    assert behind.mean() < 0.01


# ---------------------------------------------------------------- the build


def test_the_same_seed_gives_the_same_links(tmp_path: Path, threads: Callable[[int], None]) -> None:
    x = planted_rows(1200, 16, seed=1)
    found = []
    for number, (n_threads, seed) in enumerate([(1, 5), (1, 5), (2, 5), (1, 6)]):
        threads(n_threads)
        folder = tmp_path / str(number)
        folder.mkdir()
        links = links_of(folder, x, seed=seed)
        found.append((links.order.tobytes(), links.upper.tobytes(), (folder / "links").read_bytes()))
        assert [path.name for path in folder.iterdir()] == ["links"]
    assert found[0] == found[1] == found[2]
    assert found[0] != found[3]


def test_nodes_are_rows_in_random_order(tmp_path: Path) -> None:
    """The lists on disk speak of positions in the order of insertion; derived graphs speak of rows."""
    x = planted_rows(900, 16, seed=1)
    links = links_of(tmp_path, x)
    np.testing.assert_array_equal(np.sort(links.order), np.arange(900))
    assert not np.array_equal(links.order, np.arange(900))
    on_disk = np.fromfile(tmp_path / "links", dtype=np.int32).reshape(900, links.width)
    lists = level_0(derived(links, 8, tmp_path / "links"), 8)[:, : links.width]
    np.testing.assert_array_equal(lists[links.order], np.where(on_disk >= 0, links.order[on_disk], -1))


def test_the_links_are_those_that_faiss_built(tmp_path: Path) -> None:
    """900 rows go in at once: faiss alone, given the permuted rows and the same seed, links the same rows."""
    x = planted_rows(900, 16, seed=1)
    links = links_of(tmp_path, x, M=8, seed=1, ef_construction=40)
    _, encoder = fp32(x)
    index = encoder.empty(8)
    index.hnsw.efConstruction = 40
    index.hnsw.rng = faiss.RandomGenerator(2)
    index.add(x[links.order])
    native = level_0(index.hnsw, 8)
    mine = level_0(derived(links, 8, tmp_path / "links"), 8)[links.order]
    rows = np.where(native >= 0, links.order[native], -1)
    np.testing.assert_array_equal(np.sort(mine, axis=1), np.sort(rows, axis=1))
    np.testing.assert_array_equal(links.levels, faiss.vector_to_array(index.hnsw.levels))
    assert links.entry_point == index.hnsw.entry_point


def test_a_sorted_file_makes_as_good_a_graph(tmp_path: Path) -> None:
    x = planted_rows(3000, 8, seed=1)
    x = x[np.argsort(x[:, 0])]
    links = links_of(tmp_path, x, M=6)
    base, encoder = fp32(x)
    index = transplant(links, 6, tmp_path / "links", encoder.empty(6), x.view(np.uint8))
    index.hnsw.efSearch = 60
    ids = index.search(x[::30], 1)[1].ravel()
    assert (ids == np.arange(0, 3000, 30)).mean() >= 0.99
    assert base.n == 3000


@pytest.mark.parametrize("n", [2, 9, 30])
def test_few_rows_make_a_graph_too(tmp_path: Path, n: int) -> None:
    x = planted_rows(n, 4, seed=1)
    links = links_of(tmp_path, x, M=8)
    _, encoder = fp32(x)
    for M in (2, 8):
        index = transplant(links, M, tmp_path / "links", encoder.empty(M), x.view(np.uint8))
        index.hnsw.efSearch = 60
        assert index.search(x, 1)[1].ravel().tolist() == list(range(n))


# ---------------------------------------------------------------- transplanting


CODECS = pytest.mark.parametrize("codec", ["fp32", "fp16", "SQ8", "PQd/4x8", "RaBitQ1", "RaBitQ4", "tqmse2"])


@CODECS
def test_a_shared_graph_equals_the_index_it_was_taken_from(
    encoded: Callable[..., Encoded], codec: str
) -> None:
    """Native graph over the same codes, in another index of the class: the same ids."""
    encoder = encoded("l2", codec).encoder
    rows = Base(x=planted_rows(1500, D, seed=10), rows=None, metric="l2", radius=0.0)
    queries = encoder.transform(planted_rows(40, D, seed=9))
    native, other = build_natively(encoder, rows, 8, 40), encoder.empty(8)
    codes = faiss.vector_to_array(faiss.downcast_index(native.storage).codes).reshape(1500, -1)
    view_codes(faiss.downcast_index(other.storage), codes)
    share_graph(native, other)
    assert other.ntotal == 1500
    for index in (native, other):
        index.hnsw.efSearch = 40
    np.testing.assert_array_equal(other.search(queries, K)[1], native.search(queries, K)[1])


@CODECS
def test_a_transplant_searches_the_codes_in_place(
    world: Callable[..., World], encoded: Callable[..., Encoded], codec: str
) -> None:
    one, encoder = world("l2"), encoded("l2", codec).encoder
    codes = encoded("l2", codec).codes.copy()
    index = transplant(one.links, 8, one.links_path, encoder.empty(8), codes)
    assert (index.ntotal, index.is_trained) == (len(codes), True)
    index.hnsw.efSearch = 100
    queries = encoder.transform(one.queries)
    before = index.search(queries, K)[1]
    codes[:] = codes[::-1].copy()  # a copy would not notice
    after = index.search(queries, K)[1]
    assert not np.array_equal(before, after)
    codes[:] = codes[::-1].copy()
    np.testing.assert_array_equal(index.search(queries, K)[1], before)


@CODECS
def test_the_search_method_stays_that_of_the_class(
    world: Callable[..., World], encoded: Callable[..., Encoded], codec: str
) -> None:
    """Multi-bit RaBitQ searches in two steps; the graphs that are put into it come from fp32."""
    one, encoder = world("l2"), encoded("l2", codec).encoder
    expected = encoder.empty(8).hnsw.search_method
    index = transplant(one.links, 8, one.links_path, encoder.empty(8), encoded("l2", codec).codes)
    assert index.hnsw.search_method == expected
    share_graph(faiss.IndexHNSWFlat(D, 8), index)
    assert index.hnsw.search_method == expected
