"""Small worlds that the tests of the core share: vectors, exact answers by brute force, one graph each."""

from __future__ import annotations

import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray

from tuner.data.base import Base, prepare, prepared_queries
from tuner.data.vectors import open_vectors
from tuner.index.assemble import Encoded
from tuner.index.codecs import Cut, quantizer
from tuner.index.encoders import PQ_ITERATIONS, train
from tuner.index.graph import DerivableGraph, build
from tuner.index.projections import Projection, fit_rotation
from tuner.prediction.ceilings import encode_rows
from tuner.recall.truth import Truth, search_exactly
from tuner.runtime.process import use_threads
from tuner.runtime.steps import Driver
from tuner.types import FloatArray, IdArray, Metric, Steps

pytest_plugins = ("diagnosed", "gated", "hurried", "kept")

T = TypeVar("T")

N, NQ, D, K, M_MAX = 1800, 60, 28, 10, 24


def finish(steps: Steps[T]) -> T:
    """Return the result of long work, its progress checked: shares that never fall, within [0, 1]."""
    last, driver = 0.0, Driver(steps)
    for share in driver:
        assert last <= share <= 1
        last = share
    return driver.result


def scores(metric: Metric, x: FloatArray, queries: FloatArray) -> NDArray[np.float64]:
    """Return the user's metric in float64, (nq, n), the larger the nearer."""
    wide, asked = x.astype(np.float64), queries.astype(np.float64)
    if metric == "l2":
        return np.asarray(-((asked[:, None, :] - wide[None, :, :]) ** 2).sum(axis=2))
    if metric == "cosine":
        wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    return np.asarray(asked @ wide.T)


@dataclass(frozen=True)
class World:
    """One small data set, prepared for one metric.

    Attributes:
        file: (n, d) rows as in the user's file, queries among them if they are held out.
        raw: (nq, d) queries as the user has them.
        queries: the same in the prepared space.
        truth: of all queries, all rows deep.
        nearest: (nq, K) rows of the file, by brute force in the user's metric.
    """

    metric: Metric
    file: FloatArray
    raw: FloatArray
    base: Base
    queries: FloatArray
    truth: Truth
    nearest: IdArray
    links: DerivableGraph
    links_path: Path

    def recall(self, ids: IdArray) -> float:
        """Return the share of ``nearest`` among ``ids`` (nq, K), rows of the user's file."""
        found = [
            len(set(mine) & set(true)) for mine, true in zip(ids.tolist(), self.nearest.tolist(), strict=True)
        ]
        return sum(found) / self.nearest.size


def planted_rows(n: int, d: int, seed: int) -> FloatArray:
    """Return clustered rows whose variance falls over the columns and whose norms vary by a factor of 5."""
    rng = np.random.default_rng(seed)
    spread = 1 / np.sqrt(1 + np.arange(d) / 4)
    centres = rng.standard_normal((40, d)) * spread
    x = 0.6 * centres[rng.integers(len(centres), size=n)] + rng.standard_normal((n, d)) * spread
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return (x * np.exp(rng.normal(0, 0.25, (n, 1)))).astype(np.float32)


def trained_by_faiss(kind: str, x: FloatArray) -> faiss.Index:
    """Return an empty index from faiss's factory, trained on ``x`` (n, d).

    The factory asks for polysemous codes, whose simulated annealing takes minutes and changes no distance:
    product codes are trained without, by as many iterations of k-means as the product uses.
    """
    index = faiss.index_factory(x.shape[1], kind)
    inner = faiss.downcast_index(index.base_index) if isinstance(index, faiss.IndexRefine) else index
    if isinstance(inner, faiss.IndexHNSWPQ):
        codes = faiss.downcast_index(inner.storage)
        codes.do_polysemous_training = False
        codes.pq.cp.niter, codes.pq.cp.min_points_per_centroid = PQ_ITERATIONS, 1
    index.train(x)
    return index


@contextmanager
def file_limit(n_bytes: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes: the last of a write find no room, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@cache
def package_index_is_reached() -> bool:
    """Whether pip's packages can be fetched; a folder of some packages that pip knows is no index."""
    try:
        socket.create_connection(("pypi.org", 443), timeout=10).close()
    except OSError:
        return False
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("network") and not package_index_is_reached():
        pytest.skip("needs the network: pypi.org is not reached from here")


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the cache of truths away from the user's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("TUNER_CACHE_DIR", str(folder))
    return folder


@pytest.fixture(autouse=True, scope="session")
def little_compiled() -> Iterator[None]:
    """Java's second compiler takes longer than all the searches of a test that it makes faster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")
        yield


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Small searches on two threads wait for each other, on a busy machine for long."""
    use_threads(1)


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Set how many threads faiss and BLAS use; one again afterwards."""
    yield use_threads
    use_threads(1)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., World]:
    """Return the world of a metric, with held-out queries or with queries of their own."""

    @cache
    def make(metric: Metric, held_out: bool = False) -> World:
        folder = tmp_path_factory.mktemp(f"world-{metric}")
        rows = planted_rows(N + NQ, D, seed=7)
        asked = np.sort(np.random.default_rng(8).choice(N + NQ, NQ, replace=False))
        others = np.delete(np.arange(N + NQ), asked)
        file = rows if held_out else rows[others]
        held = asked if held_out else np.zeros(0, dtype=np.int64)
        largest = float(np.linalg.norm(file, axis=1).max())
        base = finish(prepare(open_vectors(file, "base"), metric, held, largest, folder / "base.f32"))
        queries = prepared_queries(rows[asked], metric)
        best = np.argsort(-scores(metric, rows[others], rows[asked]), axis=1)[:, :K]
        encoder = train(
            quantizer("fp32", base.d), Projection("none", base.d), None, metric, base.sample(500, 0), 0
        )
        path = folder / "links"
        return World(
            metric=metric,
            file=file,
            raw=rows[asked],
            base=base,
            queries=queries,
            truth=finish(search_exactly(base.x, queries, N, K)),
            nearest=others[best] if held_out else best,
            links=finish(build(base, encoder, M_MAX, 100, 3, path)),
            links_path=path,
        )

    return make


@pytest.fixture(scope="session")
def encoded(world: Callable[..., World]) -> Callable[..., Encoded]:
    """Return a codec trained on a metric's world, with the codes of all its rows."""

    @cache
    def make(metric: Metric, codec: str, cut: Cut = "none", dims: int | None = None) -> Encoded:
        base = world(metric).base
        view = Projection(cut, base.d if dims is None else dims)
        x = np.array(base.x)
        trained = train(quantizer(codec, view.dims), view, fit_rotation(x, metric), metric, x, 0)
        return Encoded(trained, encode_rows(base, trained))

    return make
