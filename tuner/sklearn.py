"""Approximate neighbours for scikit-learn, with the recall that they have.

``TunedNeighbors`` stands where ``KNeighborsTransformer`` does: before an estimator that takes a graph of
neighbours, such as ``DBSCAN(metric="precomputed")``.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any, Literal, overload

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from tuner.api import Result, tune
from tuner.errors import HopelessTargetError, InputError
from tuner.runtime.process import kept_threads, use_threads
from tuner.sweep.few_rows import SMALL
from tuner.types import PREFERENCES, Metric, Preference, Space

METRICS: dict[str, Metric] = {"euclidean": "l2", "cosine": "cosine"}
BLOCK_BYTES = 16 << 20
"""Differences between queries and neighbours that are held at once."""

Array = NDArray[Any]


class TunedNeighbors(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Nearest neighbours from an index that is tuned to a recall on the data it is fitted to.

    Up to about a thousand rows are searched exactly, and so are more where no index reaches the recall.
    Neighbours are ordered by exact distances.

    Args:
        n_neighbors: Neighbours of each row.
        mode: Entries of the graph that ``transform`` returns. ``distance`` counts each row of the training
            data as a neighbour of itself, as ``KNeighborsTransformer`` does.
        recall: Least share of the true neighbours, to be met by the lower confidence bound.
        metric: Distance, ``euclidean`` or ``cosine``.
        space: What to sweep: a ``tuner.Space``, the name of a preset, or a YAML file.
        prefer: Which point of the Pareto front to use.
        n_jobs: Threads; None means 1 and -1 all cores.
        random_state: Seed of what is drawn while tuning; measured times may still choose another index.

    Attributes:
        recall_: Recall that is promised: the lower bound measured on held-out rows, 1.0 for exact search.
        result_: Result of ``tuner.tune``, None where nothing was tuned.
        n_samples_fit_: Number of rows.
        n_features_in_: Number of columns.

    Examples:
        >>> import numpy as np
        >>> from tuner.sklearn import TunedNeighbors
        >>> found = TunedNeighbors(n_neighbors=2).fit(np.eye(5))
        >>> found.kneighbors_graph().shape, found.recall_
        ((5, 5), 1.0)
    """

    def __init__(
        self,
        n_neighbors: int = 5,
        *,
        mode: Literal["distance", "connectivity"] = "distance",
        recall: float = 0.95,
        metric: Literal["euclidean", "cosine"] = "euclidean",
        space: Space | str = "quick",
        prefer: Preference = "fastest",
        n_jobs: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.mode = mode
        self.recall = recall
        self.metric = metric
        self.space = space
        self.prefer = prefer
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> TunedNeighbors:
        """Tune an index for the rows of ``X`` and keep it.

        Args:
            X: Rows, (n_samples, n_features).
            y: Ignored.

        Raises:
            ValueError: data or parameters cannot be used as they are.
        """
        self._check_parameters()
        x = validate_data(self, X, dtype=[np.float32, np.float64], order="C")
        self._fit_x = x
        self.n_samples_fit_ = self._n_features_out = len(x)
        self._exact = NearestNeighbors(metric=self.metric, algorithm="brute", n_jobs=self.n_jobs).fit(x)
        self.recall_ = 1.0
        self.result_: Result | None = None
        self._index: Any = None
        if len(x) > SMALL + self.n_neighbors:
            self._tune(x)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> csr_matrix:
        """Return the graph (n_samples, n_samples) of the rows themselves, each surely its own neighbour.

        Args:
            X: Rows, (n_samples, n_features).
            y: Ignored.

        Raises:
            ValueError: data or parameters cannot be used as they are.
        """
        self.fit(X)
        if self._index is None:
            return self.transform(X)
        themselves = np.arange(self.n_samples_fit_)[:, None]
        others = self.n_neighbors - (self.mode == "connectivity")
        distances, rows = self._search(self._index, self._fit_x, others, own=True)
        return self._graph(
            np.hstack([np.zeros(themselves.shape), distances]), np.hstack([themselves, rows]), self.mode
        )

    @overload
    def kneighbors(
        self, X: Any = ..., n_neighbors: int | None = ..., return_distance: Literal[True] = ...
    ) -> tuple[Array, Array]: ...
    @overload
    def kneighbors(
        self, X: Any = ..., n_neighbors: int | None = ..., *, return_distance: Literal[False]
    ) -> Array: ...
    def kneighbors(
        self, X: Any = None, n_neighbors: int | None = None, return_distance: bool = True
    ) -> tuple[Array, Array] | Array:
        """Return the distances and rows (n_queries, n_neighbors) of the nearest, or the rows alone.

        Args:
            X: Queries, (n_queries, n_features); None asks for every row, each without itself.
            n_neighbors: Neighbours of each query; None takes those of the estimator.
            return_distance: Whether distances are returned.

        Raises:
            ValueError: there are fewer rows than neighbours, or queries of other columns.
        """
        check_is_fitted(self)
        k = self.n_neighbors if n_neighbors is None else n_neighbors
        queries = self._fit_x if X is None else self._queries(X)
        self._check_count(k, len(queries), own=X is None)
        found: tuple[Array, Array]
        if self._index is None:
            found = self._exact.kneighbors(None if X is None else queries, k)
        else:
            found = self._search(self._index, queries, int(k), own=X is None)
        return found if return_distance else found[1]

    def kneighbors_graph(
        self,
        X: Any = None,
        n_neighbors: int | None = None,
        mode: Literal["connectivity", "distance"] = "connectivity",
    ) -> csr_matrix:
        """Return the graph (n_queries, n_samples_fit) of neighbours, with ones or distances.

        Args:
            X: Queries, (n_queries, n_features); None asks for every row, each without itself.
            n_neighbors: Neighbours of each query; None takes those of the estimator.
            mode: Entries of the graph.

        Raises:
            ValueError: there are fewer rows than neighbours, or queries of other columns.
        """
        if mode not in ("connectivity", "distance"):
            raise ValueError(f"mode is {mode!r}, but it is connectivity or distance: give one of them")
        return self._graph(*self.kneighbors(X, n_neighbors), mode)

    def transform(self, X: Any) -> csr_matrix:
        """Return the graph (n_queries, n_samples_fit) of the neighbours of ``X``.

        Args:
            X: Queries, (n_queries, n_features).
        """
        check_is_fitted(self)
        return self.kneighbors_graph(X, self.n_neighbors + (self.mode == "distance"), mode=self.mode)

    def _graph(self, distances: Array, rows: Array, mode: str) -> csr_matrix:
        n, k = rows.shape
        values = np.ones(n * k) if mode == "connectivity" else distances.ravel()
        return csr_matrix((values, rows.ravel(), np.arange(0, n * k + 1, k)), shape=(n, self.n_samples_fit_))

    def _check_parameters(self) -> None:
        for name, value, known in (
            ("mode", self.mode, ("distance", "connectivity")),
            ("metric", self.metric, tuple(METRICS)),
            ("prefer", self.prefer, PREFERENCES),
        ):
            if value not in known:
                raise ValueError(f"{name} is {value!r}, but it is {' or '.join(known)}: give one of them")
        if not isinstance(self.recall, Real) or not 0 < self.recall <= 1:
            raise ValueError(f"recall is {self.recall!r}, but it lies in (0, 1]: give a share such as 0.95")
        _check_whole(self.n_neighbors)

    def _check_count(self, k: Any, n_queries: int, *, own: bool) -> None:
        _check_whole(k)
        if k > self.n_samples_fit_ - own:
            raise ValueError(
                f"Expected n_neighbors {'<' if own else '<='} n_samples_fit, but n_neighbors = {k}, "
                f"n_samples_fit = {self.n_samples_fit_}, n_samples = {n_queries}"
            )

    def _queries(self, X: Any) -> Array:
        return np.asarray(validate_data(self, X, dtype=[np.float32, np.float64], order="C", reset=False))

    def _tune(self, x: Array) -> None:
        """Tune on rows that are held out, which join the index afterwards."""
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        try:
            found = tune(
                x,
                recall=self.recall,
                k=self.n_neighbors + 1,  # a row of the training data finds itself
                metric=METRICS[self.metric],
                space=self.space,
                prefer=self.prefer,
                seed=seed,
                threads=effective_n_jobs(self.n_jobs),
            )
        except HopelessTargetError:
            found = None
        except InputError as error:
            raise ValueError(str(error)) from error
        if found is not None and found.status == "exact":
            return
        if found is None or found.best is None:
            rows = f"these {len(x):,} rows: they are searched exactly"
            warnings.warn(f"no index reaches a recall of {self.recall:g} on {rows}", stacklevel=3)
            return
        self._index, self.result_, self.recall_ = found.index(), found, found.best.recall_lower

    def _search(self, index: Any, queries: Array, k: int, *, own: bool) -> tuple[Array, Array]:
        with self._threads():
            rows = index.search(np.ascontiguousarray(queries, dtype=np.float32), k + own)[1]
        if own:
            rows = _without(rows, np.arange(len(rows)))
        distances = np.empty(rows.shape)
        for block in _blocks(len(rows), 8 * k * queries.shape[1]):
            distances[block] = self._distances(queries[block], rows[block])
        order = np.argsort(distances, axis=1, kind="stable")
        distances, rows = np.take_along_axis(distances, order, 1), np.take_along_axis(rows, order, 1)
        short = np.flatnonzero((rows < 0).any(axis=1))
        if len(short):  # the graph led nowhere: these few are searched exactly
            exact = self._exact.kneighbors(queries[short], k + own)[1]
            rows[short] = _without(exact, short) if own else exact
            distances[short] = self._distances(queries[short], rows[short])
        return distances, rows

    def _distances(self, queries: Array, rows: Array) -> Array:
        """Return exact distances (nq, k) of queries to rows; by cosine what has no direction is at 1."""
        near = self._fit_x[rows].astype(np.float64)
        if self.metric == "euclidean":
            return np.asarray(np.linalg.norm(near - queries[:, None], axis=2))
        products = np.einsum("qkd,qd->qk", near, queries.astype(np.float64))
        lengths = np.linalg.norm(near, axis=2) * np.linalg.norm(queries, axis=1)[:, None]
        cosines = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
        return np.asarray(np.clip(1 - cosines, 0, 2))

    @contextmanager
    def _threads(self) -> Iterator[None]:
        with kept_threads():
            use_threads(effective_n_jobs(self.n_jobs))
            yield


def _check_whole(k: Any) -> None:
    if isinstance(k, bool) or not isinstance(k, Integral):
        raise TypeError(f"n_neighbors does not take {type(k)} value, enter integer value")
    if int(k) < 1:
        raise ValueError(f"Expected n_neighbors > 0. Got {k}")


def _without(rows: Array, themselves: Array) -> Array:
    """Return neighbours (nq, k) of rows (nq, k + 1) without the rows themselves, or without the last."""
    keep = rows != themselves[:, None]
    keep[keep.all(axis=1), -1] = False
    return np.asarray(rows[keep].reshape(len(rows), -1))


def _blocks(n: int, bytes_each: int) -> Iterator[slice]:
    step = max(1, BLOCK_BYTES // bytes_each)
    yield from (slice(start, start + step) for start in range(0, n, step))
