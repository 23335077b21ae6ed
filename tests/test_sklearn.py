"""The estimator is one to scikit-learn, keeps its promise, and stands where KNeighborsTransformer does."""

import pickle
from typing import Any

import numpy as np
import pytest
from conftest import planted_rows
from sklearn.base import clone
from sklearn.cluster import DBSCAN
from sklearn.manifold import TSNE
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import KNeighborsTransformer, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import tuner
from tuner.sklearn import TunedNeighbors

N, D, K = 2_600, 24, 8
ROWS = planted_rows(N + 100, D, seed=3)
X, QUERIES = ROWS[:N], ROWS[N:]
SPACE = tuner.Space(M=(8, 16), codecs=("fp32", "SQ8"), cuts=(1.0,), rerank_factors=(1,), ef_construction=40)


@parametrize_with_checks(  # type: ignore[untyped-decorator]
    [TunedNeighbors(), TunedNeighbors(metric="cosine", mode="connectivity")]
)
def test_scikit_learn_takes_it_for_an_estimator(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.fixture(scope="module", params=["euclidean", "cosine"])
def fitted(request: pytest.FixtureRequest) -> TunedNeighbors:
    return TunedNeighbors(K, recall=0.9, metric=request.param, space=SPACE, random_state=0).fit(X)


def share(mine: Any, true: Any) -> float:
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(mine, true, strict=True)]))


def test_it_tunes_and_finds_what_it_promises(fitted: TunedNeighbors) -> None:
    assert fitted.result_ is not None
    assert fitted.result_.status == "reached"
    assert 0.9 <= fitted.recall_ < 1
    exact = NearestNeighbors(metric=fitted.metric, algorithm="brute").fit(X)
    distances, rows = fitted.kneighbors(QUERIES)
    true_distances, true = exact.kneighbors(QUERIES, K)
    assert share(rows, true) >= fitted.recall_ - 0.03
    assert distances.shape == rows.shape == (100, K)
    assert (np.diff(distances, axis=1) >= 0).all()
    same = rows[:, 0] == true[:, 0]
    assert same.mean() > 0.9
    np.testing.assert_allclose(distances[same, 0], true_distances[same, 0], rtol=1e-4, atol=1e-6)


def test_every_row_is_in_the_index_and_none_is_its_own_neighbour(fitted: TunedNeighbors) -> None:
    found = fitted.kneighbors(X, 1, return_distance=False)
    assert (found[:, 0] == np.arange(N)).mean() > 0.9
    own = fitted.kneighbors(return_distance=False)
    assert own.shape == (N, K)
    assert (own != np.arange(N)[:, None]).all()
    true = NearestNeighbors(metric=fitted.metric, algorithm="brute").fit(X).kneighbors(n_neighbors=K)[1]
    assert share(own, true) >= fitted.recall_ - 0.03


def test_the_graph_is_that_of_scikit_learn(fitted: TunedNeighbors) -> None:
    mine = clone(fitted).fit_transform(X)
    true = KNeighborsTransformer(n_neighbors=K, metric=fitted.metric, algorithm="brute").fit_transform(X)
    assert (mine.shape, mine.nnz, mine.format) == (true.shape, true.nnz, true.format)
    rows, true_rows = (graph.indices.reshape(N, K + 1) for graph in (mine, true))
    assert (rows[:, 0] == np.arange(N)).all()
    assert (mine.diagonal() == 0).all()
    assert share(rows, true_rows) >= fitted.recall_ - 0.03
    again = fitted.transform(X).indices.reshape(N, K + 1)
    assert share(again, true_rows) >= fitted.recall_ - 0.03
    assert fitted.kneighbors_graph(QUERIES).sum() == 100 * K
    assert fitted.get_feature_names_out()[-1] == f"tunedneighbors{N - 1}"


def test_it_is_pickled_with_its_index(fitted: TunedNeighbors) -> None:
    again = pickle.loads(pickle.dumps(fitted))  # noqa: S301 - our own
    assert (again.kneighbors(QUERIES)[1] == fitted.kneighbors(QUERIES)[1]).all()


def test_same_seed_same_neighbours(fitted: TunedNeighbors) -> None:
    again = clone(fitted).fit(X)
    assert again.recall_ > 0.89
    assert share(again.kneighbors(QUERIES)[1], fitted.kneighbors(QUERIES)[1]) > 0.9


def test_few_rows_are_searched_exactly() -> None:
    found = TunedNeighbors(K).fit(X[:500])
    assert (found.recall_, found.result_) == (1.0, None)
    true = NearestNeighbors(n_neighbors=K).fit(X[:500]).kneighbors()
    assert (found.kneighbors()[1] == true[1]).mean() > 0.999


def test_exact_search_answers_where_no_index_is_good_enough() -> None:
    with pytest.warns(UserWarning, match="no index reaches a recall of 1 on these 1,400 rows: they are"):
        found = TunedNeighbors(K, recall=1.0, space=SPACE).fit(X[:1400])
    assert (found.recall_, found.result_) == (1.0, None)
    assert found.kneighbors(QUERIES)[1].shape == (100, K)


def test_lost_neighbours_are_searched_exactly(fitted: TunedNeighbors) -> None:
    class Broken:
        def search(self, queries: Any, k: int) -> tuple[Any, Any]:
            distances, rows = fitted._index.search(queries, k)
            rows[::2, 1:] = -1
            return distances, rows

    broken = clone(fitted).set_params()
    vars(broken).update({**vars(fitted), "_index": Broken()})
    true = NearestNeighbors(metric=fitted.metric, algorithm="brute").fit(X)
    assert (broken.kneighbors(QUERIES)[1][::2] == true.kneighbors(QUERIES, K)[1][::2]).mean() > 0.99
    assert (broken.kneighbors()[1][::2] == true.kneighbors(n_neighbors=K)[1][::2]).mean() > 0.99


def test_it_stands_before_dbscan_and_tsne() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(3), 200)
    x = (np.eye(3, 16)[groups] * 20 + rng.normal(0, 0.5, size=(600, 16))).astype(np.float32)
    clusters = DBSCAN(metric="precomputed", eps=6.5, min_samples=5)
    neighbours = TunedNeighbors(40, recall=0.9, space=SPACE, random_state=0)
    labels = make_pipeline(neighbours, clusters).fit_predict(x)
    exact = make_pipeline(KNeighborsTransformer(n_neighbors=40), clusters).fit_predict(x)
    # rows that are nobody's neighbour stay alone, with exact neighbours too
    assert min(adjusted_rand_score(groups, labels), adjusted_rand_score(exact, labels)) > 0.98
    drawn = make_pipeline(
        TunedNeighbors(40, recall=0.9, space=SPACE, random_state=0),
        TSNE(metric="precomputed", init="random", perplexity=10, max_iter=250, random_state=0),
    ).fit_transform(x)
    centres = np.array([drawn[groups == group].mean(axis=0) for group in range(3)])
    spread = max(drawn[groups == group].std() for group in range(3))
    assert min(np.linalg.norm(centres[a] - centres[b]) for a, b in ((0, 1), (0, 2), (1, 2))) > spread


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"metric": "dot"}, "metric is 'dot', but it is euclidean or cosine: give one of them"),
        ({"mode": "x"}, "mode is 'x', but it is distance or connectivity: give one of them"),
        ({"recall": 95}, r"recall is 95, but it lies in \(0, 1\]"),
        ({"recall": "high"}, r"recall is 'high', but it lies in \(0, 1\]"),
        ({"prefer": "quickest"}, "prefer is 'quickest', but it is balanced or fastest or smallest"),
        ({"n_neighbors": 0}, "Expected n_neighbors > 0. Got 0"),
        ({"space": "qick"}, "qick: cannot be read"),
    ],
)
def test_each_mistake_has_its_sentence(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        TunedNeighbors(**given).fit(X)


def test_few_rows_do_not_hide_a_mistake() -> None:
    with pytest.raises(ValueError, match="prefer is 'quickest'"):
        TunedNeighbors(prefer="quickest").fit(X[:100])  # type: ignore[arg-type]


def test_a_query_without_direction_has_distances(fitted: TunedNeighbors) -> None:
    nothing = np.zeros((1, D), dtype=np.float32)
    true = NearestNeighbors(metric=fitted.metric, algorithm="brute").fit(X).kneighbors(nothing, K)[0]
    if fitted.metric == "cosine":
        assert (fitted.kneighbors(nothing)[0] == true).all()


def test_mistakes_in_asking(fitted: TunedNeighbors) -> None:
    with pytest.raises(TypeError, match="n_neighbors does not take"):
        fitted.kneighbors(QUERIES, 2.5)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="Expected n_neighbors < n_samples_fit, but n_neighbors = 2600"):
        fitted.kneighbors(None, N)
    with pytest.raises(ValueError, match="mode is 'x'"):
        fitted.kneighbors_graph(QUERIES, mode="x")  # type: ignore[arg-type]
