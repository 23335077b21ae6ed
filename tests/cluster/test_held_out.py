"""Rows that are held out of shards as queries: put back, promised with them in, found again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray
from sharded import ASKED, SPACE, K, X, shards_of

import tuner
from tuner.cluster import put_back
from tuner.cluster.pose import Request
from tuner.cluster.put_back import truth_of_halves
from tuner.cluster.run import sweep_shards
from tuner.data.base import in_prepared_space, prepared_queries
from tuner.data.split import held_out_rows
from tuner.data.vectors import open_vectors
from tuner.report import write_report
from tuner.runtime.steps import Driver, result_of
from tuner.runtime.workers import LocalWorkers
from tuner.search import ShardedIndex
from tuner.sweep.added_rows import Places
from tuner.sweep.problem import Problem
from tuner.sweep.run import sweep
from tuner.types import Event, Metric, OperatingPoint, Options, Result, StageStarted

Array = NDArray[Any]
ONE = replace(ASKED, threads=1, space=replace(SPACE, M=(12,), codecs=("SQ8",), rerank_factors=(1,)))
"""A space of one configuration, among which no clock chooses."""
FEW = X[:3_000]
OWN = np.random.default_rng(5).permutation(10 * len(X))[: len(X)]


def events_of(
    request: Request, folder: Path, options: Options, *, resume: bool = False
) -> Generator[Event, None, Result]:
    """Return a sweep without queries, not begun, whose results lie in ``out`` and scratch in ``work``."""
    out, work = folder / "out", folder / "work"
    out.mkdir(exist_ok=True)
    return sweep_shards(LocalWorkers(1), request, None, options, out, work, resume=resume)


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: its folder; ``saved`` in it is the scratch folder as it was before rows were put back.
    """

    request: Request
    result: Result
    folder: Path

    @property
    def rows(self) -> Array:
        """Rows that were held out."""
        return np.array(self.result.queries.held_out_rows)

    def again(self, folder: Path) -> Result:
        """Return the result of a run that goes on, in another folder, from where rows are put back."""
        shutil.copytree(self.folder / "saved", folder / "work")
        steps = Driver(events_of(self.request, folder, STRICT, resume=True))
        assert "graphs" not in {event.name for event in steps if isinstance(event, StageStarted)}
        return steps.result


STRICT = replace(ONE, recall=0.97)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("held")
    np.save(folder / "x.npy", X)
    np.save(folder / "own.npy", OWN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNER_CACHE_DIR", str(folder / "cache"))
        request = Request(str(folder / "x.npy"), n_shards=3, ids=str(folder / "own.npy"))
        steps = Driver(events_of(request, folder, STRICT))
        for event in steps:
            if isinstance(event, StageStarted) and event.name == "halves":
                shutil.copytree(folder / "work", folder / "saved")
        yield Run(request, steps.result, folder)


def nearest_but_themselves(rows: Array) -> Array:
    """Return the k nearest rows of some rows, none of which is its own."""
    near = faiss.knn(X[rows], X, K + 1)[1]
    return np.array([each[each != row][:K] for each, row in zip(near, rows, strict=True)])


# ---------------------------------------------------------------- what is handed over


def test_rows_that_were_held_out_are_in_the_shards_and_find_themselves(run: Run) -> None:
    index = ShardedIndex.load(run.folder / "out")
    manifest = json.loads((run.folder / "out" / "shards.json").read_text())
    assert index.ntotal == sum(each["n"] for each in manifest["shards"]) == len(X)
    assert run.result.sharded is not None
    assert [each["n"] for each in manifest["shards"]] == list(run.result.sharded.rows)
    _, ids = index.search(X[run.rows], K)
    assert (ids == OWN[run.rows][:, None]).any(axis=1).mean() > 0.99


def test_recall_of_the_merged_answers_is_that_reported(run: Run) -> None:
    found, best = run.result, run.result.recommendation
    assert found.whole is not None
    assert best is not None
    assert best.recall_lower >= STRICT.recall
    index, exact = ShardedIndex.load(run.folder / "out"), OWN[nearest_but_themselves(run.rows)]
    _, ids = replace(index, k_per_shard=index.k_per_shard + 1, k=K + 1).search(X[run.rows], K + 1)
    hits = (ids[:, :, None] == exact[:, None, :]).any(axis=2).sum(axis=1)
    assert hits.mean() / K == pytest.approx(found.whole.recall.mean, abs=2e-3)
    assert found.whole.n_added == len(run.rows) == 1_000
    sizes = [path.stat().st_size for path in sorted((run.folder / "out").glob("shard-*/index.faiss"))]
    assert sizes == list(found.sharded.memory_bytes if found.sharded else ())


def test_the_report_says_that_they_were_put_back(run: Run) -> None:
    write_report(run.result, run.folder / "out")
    text = (run.folder / "out" / "report.md").read_text()
    assert "1,000 rows of the base became queries while parameters were chosen" in text
    assert "each query without its own row" in text
    assert "tune check" not in text


def test_one_shard_without_queries_is_the_answer_of_one_machine(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", FEW)
    one = tuner.tune_shards(
        tmp_path / "x.npy",
        recall=ONE.recall,
        out=tmp_path / "out",
        shards=1,
        space=ONE.space,
        metric=ONE.metric,
        seed=ONE.seed,
        threads=1,
    )
    (tmp_path / "plain").mkdir()
    plain = result_of(
        sweep(open_vectors(tmp_path / "x.npy", "base"), None, ONE, tmp_path / "plain", tmp_path / "w")
    )
    (mine,), (wanted,) = one.points, plain.points
    assert one.queries == replace(plain.queries, fingerprint=one.queries.fingerprint)
    assert (mine.ef_search, mine.hits, mine.memory) == (wanted.ef_search, wanted.hits, wanted.memory)
    assert (mine.recall, mine.ndis_per_query) == (wanted.recall, wanted.ndis_per_query)
    assert one.whole is not None
    assert plain.whole is not None
    assert replace(one.whole, latency_ratio=1.0) == replace(plain.whole, latency_ratio=1.0)
    written = (tmp_path / "out" / "shard-00000" / "index.faiss").read_bytes()
    assert written == (tmp_path / "plain" / "index.faiss").read_bytes()


# ---------------------------------------------------------------- the truth of halves


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
def test_the_truth_of_a_half_has_the_rows_of_the_other(metric: Metric, tmp_path: Path) -> None:
    x = FEW.copy()
    x[[5, 900]] = 0
    x[[7, 8]] = x[6]
    np.save(tmp_path / "x.npy", x)
    asked = replace(ASKED, metric=metric)
    posed = shards_of(tmp_path / "x.npy", tmp_path, 2, None, asked)
    nowhere = np.array([5, 900] if metric == "cosine" else [], dtype=np.int64)
    rows = held_out_rows(len(x), nowhere, None, asked.seed)
    assert posed.query_set.held_out_rows == tuple(rows)
    assert sum(shard.n for shard in posed.shards) == len(x) - len(nowhere)
    repeats = [row for row in rows if row in (6, 7, 8)]
    assert posed.query_set.n_in_base == (len(repeats) if len(repeats) < 3 else 0)
    with np.errstate(invalid="ignore"):
        every = in_prepared_space(x, metric, posed.looked.profile.norm_max)
    queries, found = prepared_queries(x[rows], metric), truth_of_halves(posed)
    for theirs, added in (posed.problem.halves, posed.problem.halves[::-1]):
        there = np.setdiff1d(np.arange(len(x)), [*nowhere, *np.delete(rows, added)])
        wanted = np.sort(faiss.knn(queries[theirs], every[there], K)[0], axis=1)[:, -1]
        np.testing.assert_allclose(found.kth_distance[theirs], wanted, rtol=1e-3)
        assert np.isin(found.ids[theirs][:, :K], there).all()


# ---------------------------------------------------------------- lost, and planted faults


def test_a_run_that_was_lost_goes_on_where_rows_are_put_back(run: Run, tmp_path: Path) -> None:
    again, first = run.again(tmp_path), run.result
    assert again.points[0].hits == first.points[0].hits
    assert again.points[0].ef_search == first.points[0].ef_search
    assert again.whole is not None
    assert first.whole is not None
    assert again.whole.hits == first.whole.hits
    manifests = [(folder / "out" / "shards.json").read_bytes() for folder in (tmp_path, run.folder)]
    assert manifests[0] == manifests[1]


def no_row(places: Places, halves: tuple[Array, Array]) -> list[Array]:
    """Return that no half of the queries adds a row."""
    return [np.zeros(0, dtype=np.int64) for _ in halves]


def too_slow(problem: Problem, point: OperatingPoint, slower: float) -> OperatingPoint:
    """Return a point that is too slow once rows were added."""
    return replace(point, reaches_target=False)


@pytest.mark.parametrize(
    ("owner", "name", "plant"), [(Places, "fresh", no_row), (put_back, "at_speed", too_slow)]
)
def test_a_promise_that_does_not_hold_with_the_rows_in_is_not_made(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, plant: object
) -> None:
    monkeypatch.setattr(owner, name, plant)
    assert run.again(tmp_path).status == "not_reached"
    assert not list((tmp_path / "out").iterdir())
