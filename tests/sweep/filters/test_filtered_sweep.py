"""A run with filters, from vectors to the index that is loaded: its promise holds for fresh queries."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import finish, planted_rows

import tuner
from tuner.api.result import read_report
from tuner.errors import InputError
from tuner.recall.allowed import Filters
from tuner.recall.filtered_truth import filtered_hits, filtered_truth
from tuner.report import result_to_html, result_to_json, result_to_markdown
from tuner.search import FilteredIndex
from tuner.sweep.filters import run as filters_run
from tuner.sweep.filters.costs import FilterCosts
from tuner.sweep.filters.made_up import FilterMaker
from tuner.types import FloatArray, Space

N, NQ, D, K, TARGET = 6000, 500, 24, 10, 0.9
SPACE = Space(M=(8,), codecs=("SQ8",), cuts=(1.0,), rerank_factors=(1,), ef_search_max=1024)
COSTS = FilterCosts(graph_s=(20e-6, 1e-6), scan_s=(10e-6, 60e-9))
"""A scan is as dear as an ef_search of 100 at 1,833 rows, three in ten."""


@pytest.fixture(scope="module", autouse=True)
def _costs() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filters_run, "time_costs", lambda problem, index, ef_search: COSTS)
        yield


@pytest.fixture(scope="module")
def x() -> FloatArray:
    """Return rows to index, and behind them queries: the first to tune with, the others fresh."""
    return planted_rows(N + 2 * NQ, D, 11)


def tuned(x: FloatArray, out: Path, **asked: Any) -> tuner.Result:
    more: dict[str, Any] = {"queries": x[N : N + NQ]} | asked
    result = tuner.tune(x[:N], recall=TARGET, space=SPACE, metric="l2", threads=1, out=out, **more)
    result.save(out)
    return result


@pytest.fixture(scope="module")
def made_up(x: FloatArray, tmp_path_factory: pytest.TempPathFactory) -> tuple[tuner.Result, Path]:
    """Return a run with made-up filters, and its folder."""
    out = tmp_path_factory.mktemp("made-up")
    return tuned(x, out, selectivity=(0.5, 0.1, 0.02)), out


def test_fresh_queries_and_filters_reach_the_target(
    x: FloatArray, made_up: tuple[tuner.Result, Path]
) -> None:
    result, out = made_up
    policy = result.filters
    assert policy is not None
    assert policy.reaches_target
    index, fresh = FilteredIndex.load(out), x[N + NQ :]
    answered = set()
    for share in (0.7, 0.5, 0.2, 0.1, 0.02, 0.005):
        for kind in ("independent", "correlated"):
            filters = FilterMaker(x[:N], NQ, seed=99).make(kind, share)
            ids = np.full((NQ, K), -1)
            for number in range(len(filters.bits)):
                mine = np.flatnonzero(filters.of_query == number)
                rows = filters.rows(number)
                answered.add("scan" if len(rows) < index.scan_below else "graph")
                ids[mine] = index.search(fresh[mine], K, allowed=rows)[1]
            truth = finish(filtered_truth(x[:N], fresh, filters, K))
            hits = filtered_hits(truth, filters, x[:N], fresh, ids)
            error = hits.std() / K / NQ**0.5
            assert hits.mean() / K > TARGET - 2 * error, (share, kind)
    assert answered == {"scan", "graph"}


def test_without_the_policy_recall_is_lost(made_up: tuple[tuner.Result, Path]) -> None:
    policy = made_up[0].filters
    assert policy is not None
    hardest = policy.bands[-1]
    assert hardest.ef_search is None
    assert all(each.unfiltered_recall.mean < TARGET - 0.1 for each in hardest.measured)
    assert [band.least_share for band in policy.bands] == sorted(
        (band.least_share for band in policy.bands), reverse=True
    )


def test_the_report_says_it_and_reads_back(made_up: tuple[tuner.Result, Path]) -> None:
    result, out = made_up
    kept = read_report(out).filters
    assert kept is not None
    assert result.filters is not None
    assert kept.scan_below_rows == result.filters.scan_below_rows
    assert [band.ef_search for band in kept.bands] == [band.ef_search for band in result.filters.bands]
    page = result_to_markdown(result)
    assert "## Filtered search" in page
    assert "FilteredIndex.load" in page
    assert "Recall under filters" in result_to_html(result)
    assert b'"scan_below_rows"' in result_to_json(result)


def test_labels_of_held_out_rows_are_those_of_their_queries(x: FloatArray, tmp_path: Path) -> None:
    """Labels that go with the vectors: the index handed over keeps the promise for fresh queries of each."""
    side = (x[:N] @ np.linspace(-1, 1, D) > 0).astype(int)
    labels = np.where(np.arange(N) % 9 == 0, 5, side)
    result = tuned(x, tmp_path, queries=None, n_queries=NQ, labels=labels)
    policy = result.filters
    assert policy is not None
    assert policy.reaches_target
    assert {each.kind for band in policy.bands for each in band.measured} == {"given"}
    assert sum(each.n_queries for band in policy.bands for each in band.measured) == NQ
    index, fresh = FilteredIndex.load(tmp_path), x[N + NQ :]
    of_fresh = (fresh @ np.linspace(-1, 1, D) > 0).astype(int)
    filters = Filters.of_rows([np.flatnonzero(labels == label) for label in (0, 1)], of_fresh, N, "labels")
    ids = np.full((NQ, K), -1)
    for label in (0, 1):
        ids[of_fresh == label] = index.search(fresh[of_fresh == label], K, allowed=labels == label)[1]
    truth = finish(filtered_truth(x[:N], fresh, filters, K))
    assert filtered_hits(truth, filters, x[:N], fresh, ids).mean() / K > TARGET - 0.01


def test_a_filter_that_is_ignored_is_found_out(x: FloatArray, tmp_path: Path) -> None:
    """Planted: an index that does not look at the selector finds forbidden rows, which are no hits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            FilteredIndex,
            "search_graph",
            lambda self, queries, k, allowed, ef: self.index.search(queries, k),
        )
        result = tuned(x, tmp_path, selectivity=(0.5, 0.1))
    assert result.filters is not None
    assert all(band.ef_search is None for band in result.filters.bands)
    assert result.filters.scan_below_rows > N


def test_a_share_of_fewer_than_k_rows_is_refused(x: FloatArray, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--selectivity 0.1% of 6,000 rows are 6, fewer than k=10"):
        tuned(x, tmp_path, selectivity=(0.5, 0.001))


def test_queries_that_allow_too_little_are_left_out_and_counted(x: FloatArray, tmp_path: Path) -> None:
    labels = np.arange(N) % 3
    labels[:5] = 77
    asked = np.arange(NQ) % 3
    asked[:7] = 77
    result = tuned(x, tmp_path, labels=labels, query_labels=asked)
    assert result.filters is not None
    assert result.filters.n_left_out == 7
    assert "Left out: 7 queries whose filters allow fewer than k=10 rows" in result_to_markdown(result)
