"""An index that brings vectors to length 1 by itself is compared with what it compares."""

import faiss
import numpy as np
import pytest
from diagnosed import at_unit_length, recall_of

import tuner
from tuner.index.assemble import metric_transform
from tuner.index.opened import open_object
from tuner.index.projections import behind

pytestmark = pytest.mark.usefixtures("few_rounds")

K, NEAR = 10, 0.02


def delivered(x: np.ndarray) -> faiss.Index:
    """Return a cosine index of the shape that the tool delivers: a transform of the metric before a graph."""
    graph = faiss.IndexHNSWFlat(x.shape[1], 8)
    whole = behind([metric_transform("cosine", x.shape[1])], graph)
    whole.add(x)
    return whole


def of_factory(kind: str, x: np.ndarray) -> faiss.Index:
    index = faiss.index_factory(x.shape[1], kind)
    index.train(x)
    index.add(x)
    return index


def re_ranking_inside(x: np.ndarray) -> faiss.Index:
    """Return a normalisation in front of the whole, the store of exact vectors included."""
    refine = faiss.IndexRefineFlat(faiss.IndexHNSWFlat(x.shape[1], 8))
    whole = faiss.IndexPreTransform(faiss.NormalizationTransform(x.shape[1], 2.0), refine)
    whole.add(x)
    return whole


@pytest.mark.parametrize("kind", ["L2norm,HNSW8,Flat", "L2norm,HNSW8,Flat,RFlat", "inside", "delivered"])
def test_only_ef_is_to_blame(kind: str, small: tuple[np.ndarray, np.ndarray]) -> None:
    x, q = small
    others = {"delivered": delivered, "inside": re_ranking_inside}
    index = others[kind](x) if kind in others else of_factory(kind, x)
    graph = open_object(index, x.shape[1], 10).graph
    assert graph is not None
    now = recall_of(index.search(q, K)[1], x, q)
    assert 0.5 < now < 0.93
    found = tuner.diagnose(index, x, q, metric="cosine")
    assert found.first is not None
    assert found.first.name == "search"
    assert found.first.share == pytest.approx(1 - now, abs=NEAR)
    assert all(cause.share < NEAR for cause in found.causes if cause.name != "search")
    assert abs(found.residual) < NEAR


def test_it_is_the_metric_where_lengths_were_meant_to_count(small: tuple[np.ndarray, np.ndarray]) -> None:
    x, q = small
    index = of_factory("L2norm,HNSW16,Flat", x)
    faiss.ParameterSpace().set_index_parameter(index, "efSearch", 200)
    near = np.argsort(((q[:, None].astype(np.float64) - x[None]) ** 2).sum(axis=2), axis=1)[:, :K]
    turned = np.argsort(-(q @ at_unit_length(x).T), axis=1)[:, :K]
    left = np.mean([len(set(a) & set(b)) / K for a, b in zip(near.tolist(), turned.tolist(), strict=True)])
    found = tuner.diagnose(index, x, q, metric="l2")
    assert found.first is not None
    assert (found.first.name, "normalised vectors" in found.first.text) == ("metric", True)
    assert found.first.share == pytest.approx(1 - left, abs=NEAR)
    assert abs(found.residual) < NEAR


def test_a_store_that_compares_otherwise_is_told_by_its_metric(small: tuple[np.ndarray, np.ndarray]) -> None:
    """The factory puts RFlat outside of L2norm: raw vectors are re-ranked by L2 though cosine was meant."""
    x, q = small
    index = of_factory("L2norm,HNSW16,Flat,RFlat", x)
    index.k_factor = 8
    graph = open_object(index, x.shape[1], 400).graph
    assert graph is not None
    now = recall_of(index.search(q, K)[1], x, q)
    found = tuner.diagnose(index, x, q, metric="cosine")
    assert found.first is not None
    assert (found.first.name, "its re-ranking store" in found.first.text) == ("metric", True)
    assert found.first.share == pytest.approx(1 - now, abs=NEAR)
    assert all(cause.share < NEAR for cause in found.causes[1:])
    assert abs(found.residual) < NEAR
