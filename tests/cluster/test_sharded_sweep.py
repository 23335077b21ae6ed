"""Shards, dealt and merged: the truth of all rows, what is measured and what is handed over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray
from sharded import ASKED, QUERIES, SPACE, K, X, shards_of, swept

from tuner.cluster.deal import deal, most_shards, rows_of
from tuner.cluster.deliver import remove_shards
from tuner.cluster.look import look
from tuner.cluster.measure import OfShards, OnAllShards
from tuner.cluster.merge import k_of_each, merged_hits, representative_of
from tuner.cluster.queries import count_in_base
from tuner.cluster.shard import Near, nearest_in_shard
from tuner.cluster.shard_index import Answered
from tuner.cluster.source import Source, open_source
from tuner.data.base import prepare, prepared_queries
from tuner.data.profile import scan
from tuner.data.vectors import open_vectors
from tuner.errors import InputError
from tuner.gate import read_baseline
from tuner.index.codec_view import CodecView
from tuner.index.opened import open_faiss
from tuner.prediction.surface import CodecCost
from tuner.recall.target import summarize
from tuner.recall.truth import Truth, search_exactly
from tuner.report import result_from_json
from tuner.report.faiss_lines import search_lines
from tuner.runtime.journal import Journal
from tuner.runtime.steps import result_of
from tuner.runtime.workers import LocalWorkers
from tuner.search import ShardedIndex
from tuner.sweep.ef_search import EfResult, judged
from tuner.sweep.problem import Problem
from tuner.sweep.run import sweep
from tuner.types import Configuration, Memory, Metric, Result, Steps

Array = NDArray[Any]
NO_ROWS = np.zeros(0, dtype=np.int64)
NOTHING = Memory(
    codes_bytes=0, links_bytes=0, levels_bytes=0, ids_bytes=0, rerank_bytes=0, overhead_bytes=0, disk_bytes=0
)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def found(out: Path) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNER_CACHE_DIR", str(out / "cache"))
        return swept(out, n_shards=3)


# ---------------------------------------------------------------- rows are dealt


@pytest.mark.parametrize("n_shards", [1, 2, 7])
def test_every_row_is_in_one_shard_and_shards_are_of_one_size(n_shards: int) -> None:
    source = Source("x", ("x",), (50_001,), 4, "float32")
    shards = [rows_of(runs, np.array([3, 40_000])) for runs in deal(source, n_shards, seed=1)]
    everyone = np.sort(np.concatenate(shards))
    np.testing.assert_array_equal(everyone, np.delete(np.arange(50_001), [3, 40_000]))
    sizes = [len(rows) for rows in shards]
    assert max(sizes) < 1.1 * min(sizes)
    assert all((np.diff(rows) > 0).all() for rows in shards)


def test_a_file_sorted_by_topic_is_dealt_to_shards_that_are_alike() -> None:
    source = Source("x", ("x",), (64_000,), 4, "float32")
    topics = [np.bincount(rows_of(runs, NO_ROWS) // 16_000) for runs in deal(source, 2, seed=0)]
    assert min(each.min() for each in topics) >= 5_000


def test_whole_files_are_dealt_where_there_are_many() -> None:
    counts = tuple(100 + number % 7 for number in range(40))
    source = Source("x", tuple(map(str, range(40))), counts, 4, "float32")
    for runs in deal(source, 4, seed=2):
        assert set(runs[:, 0]) <= set(source.starts.tolist())
        assert set(runs[:, 1]) <= set(source.starts.tolist())
    uneven = replace(source, counts=(100_000, *counts[1:]))
    sizes = [int((runs[:, 1] - runs[:, 0]).sum()) for runs in deal(uneven, 4, seed=2)]
    assert max(sizes) < 1.1 * min(sizes)


def test_rows_of_several_files_are_those_of_one(tmp_path: Path) -> None:
    np.save(tmp_path / "all.npy", X)
    folder = tmp_path / "parts"
    folder.mkdir()
    for number, part in enumerate(np.array_split(X, 5)):
        np.save(folder / f"{number}.npy", part)
    workers = LocalWorkers(1)
    one = result_of(open_source(workers, str(tmp_path / "all.npy"), None))
    several = result_of(open_source(workers, str(folder / "*.npy"), None))
    assert (one.n, len(several.files), several.n) == (len(X), 5, len(X))
    some = np.array([0, 5, 1_199, 1_200, 2_401, len(X) - 1])
    for source in (one, several):
        vectors = source.vectors(some)
        np.testing.assert_array_equal(vectors.read(0, vectors.n), X[some])
        np.testing.assert_array_equal(vectors.ids, some)
    np.save(folder / "3.npy", X[:7])
    with pytest.raises(InputError, match="all machines have to see the same files"):
        several.vectors(np.array([3_700]))


def test_files_of_other_columns_are_refused_by_name(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", X)
    np.save(tmp_path / "b.npy", X[:, :5])
    with pytest.raises(InputError, match=r"b.npy has 5 columns of float32, where .*a.npy has 24"):
        result_of(open_source(LocalWorkers(1), str(tmp_path / "*.npy"), None))


# ---------------------------------------------------------------- maps give what one pass gives


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
def test_the_profile_is_that_of_one_pass(
    metric: Metric, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuner.cluster.look.PART_BYTES", 4 * 24 * 900)
    monkeypatch.setattr("tuner.cluster.look.BUCKET_ROWS", 2_000)
    x = X.copy()
    x[:, 3] = 0.5 if metric == "ip" else x[:, 3]
    x[[7, 2_500]] = 0
    x[[100, 4_000, 4_001]] = x[50]
    queries = np.concatenate([QUERIES, x[[50, 900]]])
    np.save(tmp_path / "x.npy", x)
    source = result_of(open_source(LocalWorkers(1), str(tmp_path / "x.npy"), None))
    journal = Journal(tmp_path / "work", {}, resume=False)
    asked = replace(ASKED, metric=metric)
    looked = result_of(look(journal, LocalWorkers(1), source, asked))
    n_in_base = result_of(count_in_base(journal, LocalWorkers(1), looked, queries, held_out=False))
    wanted = result_of(scan(open_vectors(tmp_path / "x.npy", "base"), metric, seed=asked.seed))
    assert replace(looked.profile, fingerprint="", norm_mean=0.0) == replace(
        wanted, fingerprint="", norm_mean=0.0
    )
    assert looked.profile.norm_mean == pytest.approx(wanted.norm_mean, rel=1e-12)
    assert looked.zero_rows.tolist() == [7, 2_500]
    assert n_in_base == 2
    assert not list((tmp_path / "work").rglob("*.i64"))


def test_a_bad_row_is_named_by_its_number_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuner.cluster.look.PART_BYTES", 4 * 24 * 900)
    x = X.copy()
    x[3_333, 2] = np.nan
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(InputError, match=r"NaN or infinite values .* the first is row 3333:"):
        shards_of(tmp_path / "x.npy", tmp_path, 2)


@pytest.mark.parametrize("n_shards", [1, 2, 5])
@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
def test_the_truth_of_shards_is_that_of_one_machine_to_the_bit(
    metric: Metric, n_shards: int, tmp_path: Path
) -> None:
    x = X.copy()
    copies = np.random.default_rng(3).choice(np.delete(np.arange(len(x)), 17), 300, replace=False)
    x[copies] = x[17]  # far more than neighbours are kept: how BLAS rounds would decide which of them
    x[4_444] = 0
    queries = np.concatenate([QUERIES, x[[17]] * 1.001]).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    asked = replace(ASKED, metric=metric)
    posed = shards_of(tmp_path / "x.npy", tmp_path, n_shards, queries, asked)
    left_out = np.array([4_444]) if metric == "cosine" else NO_ROWS
    largest = result_of(scan(open_vectors(x, "base"), metric, seed=1)).norm_max
    base = result_of(prepare(open_vectors(x, "base"), metric, left_out, largest, tmp_path / "base"))
    wanted = result_of(search_exactly(base.x, prepared_queries(queries, metric), K, K))
    ids = wanted.ids if base.rows is None else base.rows[wanted.ids]
    truth = posed.problem.truth
    np.testing.assert_array_equal(truth.ids, ids)
    np.testing.assert_array_equal(truth.right, wanted.right)
    assert truth.kth_distance.tobytes() == wanted.kth_distance.tobytes()


# ---------------------------------------------------------------- answers are merged


def answered(rows: Array, scores: Array, distances: Array) -> Answered:
    return Answered(rows, scores.astype(np.float32), distances, 10.0, 5.0, NOTHING)


def test_merged_answers_are_the_best_by_what_indexes_say_and_right_by_what_is_true() -> None:
    truth = Truth(np.array([[1, 2]]), np.ones((1, 2), dtype=bool), np.array([2.0]), 2)
    one = answered(np.array([[1, 9]]), np.array([[1.0, 5.0]]), np.array([[1.0, 9.0]]))
    other = answered(np.array([[2, -1]]), np.array([[2.0, 0.0]]), np.array([[2.0, np.inf]]))
    assert merged_hits([one, other], truth).tolist() == [2]
    flattered = answered(np.array([[8, 2]]), np.array([[0.5, 2.0]]), np.array([[7.0, 2.0]]))
    assert merged_hits([one, flattered], truth).tolist() == [1]
    assert merged_hits([one, one], truth).tolist() == [1]  # one row twice counts once


def test_the_representative_is_neither_the_nearest_nor_the_farthest() -> None:
    near = [Near(np.zeros((3, K), int), np.full((3, K), far)) for far in (9.0, 1.0, 4.0, 3.0, 100.0)]
    assert representative_of(near, K) == 2


def test_fewer_answers_of_each_shard_are_enough_where_neighbours_are_spread() -> None:
    truth = Truth(np.zeros((2, 4), int), np.ones((2, 4), bool), np.ones(2), 4)
    spread = np.array([[0, 1, 2, 3], [0, 1, 2, 2]])
    assert [k_of_each(truth, spread, 4, lost) for lost in (0.0, 0.125)] == [2, 1]
    assert k_of_each(truth, np.zeros((2, 4), int), 4, 0.0) == 4


# ---------------------------------------------------------------- the whole of it


def test_the_merged_answer_reaches_the_target_and_is_handed_over(found: Result, out: Path) -> None:
    best, sharded = found.recommendation, found.sharded
    assert best is not None
    assert sharded is not None
    assert (found.status, sharded.n_shards, sum(sharded.rows)) == ("sharded", 3, len(X))
    assert best.recall_lower >= ASKED.recall
    index = ShardedIndex.load(out)
    assert index.ntotal == len(X)
    _, ids = index.search(QUERIES, K)
    exact = faiss.knn(QUERIES, X, K)[1]
    assert (ids[:, :, None] == exact[:, None, :]).any(axis=2).mean() == pytest.approx(best.recall, abs=0.01)
    sizes = [(out / f"shard-{number:05}" / "index.faiss").stat().st_size for number in range(3)]
    assert sizes == list(sharded.memory_bytes)
    assert best.memory_bytes == sum(sizes)
    assert "modelled without a network" in best.sentence
    assert not (out / "index.faiss").exists()


def test_the_lines_of_plain_faiss_give_the_same_answers(
    found: Result, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(out)
    np.save("queries.npy", QUERIES)
    lines = search_lines(replace(found, queries=replace(found.queries, source="queries.npy")))
    names: dict[str, Any] = {}
    exec("\n".join(lines), names)  # noqa: S102 - our own lines
    index = ShardedIndex.load(out)
    asked_for_all = replace(index, k_per_shard=K)  # faiss asks every shard for k
    np.testing.assert_array_equal(names["ids"], asked_for_all.search(QUERIES, K)[1])
    assert (names["ids"] == index.search(QUERIES, K)[1]).mean() > 0.99


def test_the_report_is_read_back(found: Result, out: Path) -> None:
    again = result_from_json((out / "report.json").read_bytes())
    assert again.sharded is not None
    assert found.sharded is not None
    assert again.sharded.rows == found.sharded.rows
    page = (out / "report.html").read_text()
    for text in ((out / "report.md").read_text(), page):
        assert "measured on all 3 shards" in text
        assert "The time of a query is modelled" in text
        assert "Numbers of shards" in text
        assert text.count("modelled") > 5
    assert "n_shards: 3" in (out / "recommended.yaml").read_text()
    assert "tune baseline" not in page


ONE = replace(ASKED, space=replace(SPACE, M=(12,), codecs=("SQ8",), rerank_factors=(1,)))
"""A space of one configuration, among which no clock chooses."""


def test_what_other_numbers_of_shards_need_is_modelled_and_says_so(tmp_path: Path) -> None:
    found = swept(tmp_path / "sharded", n_shards=3, options=ONE)
    sharded, best = found.sharded, found.recommendation
    assert sharded is not None
    assert best is not None
    sizes = {size.n_shards: size for size in sharded.sizes}
    assert set(sizes) == {1, 2, 3, 6, 12, 24}
    assert [count for count, size in sizes.items() if size.measured] == [3]
    assert sizes[3].ef_search == best.ef_search
    memory = [size.memory_bytes for _, size in sorted(sizes.items())]
    assert memory == sorted(memory, reverse=True)
    assert (sizes[1].rows, {size.fits for size in sizes.values()}) == (len(X), {None})
    assert sizes[1].ef_search == pytest.approx(alone(tmp_path).points[0].ef_search, rel=0.35)


def alone(tmp_path: Path) -> Result:
    """Return what one machine finds on the file of a run over shards."""
    (tmp_path / "plain").mkdir()
    vectors, queries = open_vectors(tmp_path / "sharded" / "x.npy", "base"), open_vectors(QUERIES, "queries")
    return result_of(sweep(vectors, queries, ONE, tmp_path / "plain", tmp_path / "work"))


def planted_hits(ef_search: int) -> Array:
    """Return hits of each query, the more the larger ef_search is."""
    rng = np.random.default_rng(7)
    hits: Array = (rng.random((len(QUERIES), K)) < 1 - 0.5 * np.exp(-ef_search / 20)).sum(axis=1)
    return hits


class Planted(OnAllShards):
    """Two shards whose merged answers are planted."""

    def _merged(
        self, problem: Problem, what: Configuration, ef_search: int, k: int
    ) -> Steps[tuple[EfResult, OfShards]]:
        yield 1.0
        found = judged(problem, ef_search, planted_hits(ef_search), 20.0 * ef_search, 0.0)
        return found, OfShards((NOTHING, NOTHING), (10.0 * ef_search, 10.0 * ef_search))


@pytest.mark.parametrize("quantile", [1.7, 3.0])
def test_what_was_tried_has_bounds_that_hold_for_all_finalists(quantile: float, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    posed = shards_of(tmp_path / "x.npy", tmp_path, 2)
    what = Configuration(M=12, ef_construction=100, codec="SQ8", dims=24)
    cost = CodecCost(1e-7, 1e-8, 1e-6, {}, {})
    swept_one: Any = SimpleNamespace(costs=((CodecView.of(what), cost),))
    planted = Planted(LocalWorkers(1), posed.shards, posed.problem, swept_one, NO_ROWS)
    alone = result_of(planted.least_ef(posed.problem, what, 90, K))
    problem = replace(posed.problem, quantile=quantile)
    together = result_of(planted.least_ef(problem, what, alone.point.ef_search, K, alone)).point
    assert alone.point.tried
    assert {each.ef_search for each in alone.point.tried} <= {
        together.ef_search,
        *(each.ef_search for each in together.tried),
    }
    bounds = {each.ef_search: each.lower for each in together.tried}
    for ef_search, lower in (bounds | {together.ef_search: together.recall.lower}).items():
        wanted = summarize(planted_hits(ef_search), K, ASKED.confidence, quantile).lower
        assert lower == pytest.approx(wanted, abs=1e-9)


def test_one_shard_is_the_answer_of_one_machine(tmp_path: Path) -> None:
    one, plain = swept(tmp_path / "sharded", n_shards=1, options=ONE), alone(tmp_path)
    (mine,), (wanted,) = one.points, plain.points
    assert (mine.ef_search, mine.hits, mine.memory) == (wanted.ef_search, wanted.hits, wanted.memory)
    assert mine.ndis_per_query == wanted.ndis_per_query
    written = (tmp_path / "sharded" / "shard-00000" / "index.faiss").read_bytes()
    assert written == (tmp_path / "plain" / "index.faiss").read_bytes()


def test_a_target_that_nothing_reaches_leaves_no_shards(tmp_path: Path) -> None:
    swept(tmp_path, n_shards=2)
    assert (tmp_path / "shards.json").exists()
    none = swept(tmp_path, n_shards=2, options=replace(ASKED, max_memory_bytes=len(X) * 76))
    assert (none.status, none.recommendation) == ("not_reached", None)
    assert none.sharded is not None
    assert (none.sharded.n_shards, none.points) == (2, ())
    assert "on the shard that stands for all" in none.advice[0]
    assert not (tmp_path / "shards.json").exists()
    assert not list(tmp_path.glob("shard-*"))


def test_a_folder_of_an_earlier_run_holds_nothing_of_it_afterwards(tmp_path: Path) -> None:
    (tmp_path / "work" / "shard-00001").mkdir(parents=True)
    (tmp_path / "work" / "shard-00001" / "journal.json").write_text('{"data": "of another run"}')
    swept(tmp_path, n_shards=3, options=ONE)
    swept(tmp_path, n_shards=2, options=ONE)
    assert sorted(path.name for path in tmp_path.glob("shard-*")) == ["shard-00000", "shard-00001"]
    assert not (tmp_path / "work").exists()


def test_folders_of_the_user_are_left_alone_whatever_their_names(tmp_path: Path) -> None:
    mine = [tmp_path / "shard-00007" / "rows.npy", tmp_path / "work" / "shard-00003" / "rows.npy"]
    mine += [tmp_path / "work" / "items" / "rows.npy"]
    for path in mine:
        path.parent.mkdir(parents=True)
        path.write_bytes(b"rows")
    swept(tmp_path, n_shards=2, options=ONE)
    swept(tmp_path, n_shards=2, options=replace(ONE, max_memory_bytes=len(X) * 136))
    remove_shards(tmp_path)
    assert [path.read_bytes() for path in mine] == [b"rows"] * 3


def test_a_single_shard_without_some_rows_answers_with_row_numbers(tmp_path: Path) -> None:
    x = X.copy()
    x[[0, 2_000]] = 0  # no index holds them under cosine
    np.save(tmp_path / "x.npy", x)
    swept(tmp_path, n_shards=1, options=replace(ASKED, metric="cosine"))
    _, ids = ShardedIndex.load(tmp_path).search(QUERIES, K)
    unit = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)
    exact = np.argsort(-(QUERIES @ unit.T), axis=1, kind="stable")[:, :K]
    assert (ids[:, :, None] == exact[:, None, :]).any(axis=2).mean() > 0.9


def test_own_ids_are_what_shards_answer_with(tmp_path: Path) -> None:
    own = np.random.default_rng(5).permutation(10 * len(X))[: len(X)]
    np.save(tmp_path / "own.npy", own)
    swept(tmp_path, n_shards=2, ids=str(tmp_path / "own.npy"))
    _, ids = ShardedIndex.load(tmp_path).search(QUERIES, K)
    exact = own[faiss.knn(QUERIES, X, K)[1]]
    assert (ids[:, :, None] == exact[:, None, :]).any(axis=2).mean() > 0.9


@pytest.mark.parametrize(
    ("options", "n_shards", "sentence"),
    [
        ({"exhaustive": True}, 2, "--exhaustive is not for shards"),
        ({"duplicates": "collapse"}, 2, "--duplicates collapse is not for shards"),
        ({"other_ks": (10, 20)}, 2, "several --k or --recall is not for shards"),
        ({}, 99, f"dealt to 1 to {most_shards(6_000)}"),
        ({}, 0, "dealt to 1 to"),
    ],
)
def test_what_does_not_go_with_shards_is_refused(
    options: dict[str, Any], n_shards: int, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=sentence):
        swept(tmp_path, n_shards=n_shards, options=replace(ASKED, **options))


# ---------------------------------------------------------------- planted faults


@pytest.mark.parametrize(
    ("plant", "sentence"),
    [
        (lambda out: (out / "shard-00001" / "index.faiss").unlink(), "shard 1 is missing"),
        (
            lambda out: (out / "shard-00001" / "index.faiss").write_bytes(
                (out / "shard-00000" / "index.faiss").read_bytes()
            ),
            "is not shard 1 of this run, but damaged or of other data",
        ),
        (
            lambda out: edited(out, lambda text: text.replace('"number": 1', '"number": 0')),
            "shard 0 of 3 is there 2 times",
        ),
        (
            lambda out: edited(out, lambda text: text.replace('"n_shards": 3', '"n_shards": 4')),
            "shard 3 of 4 is missing",
        ),
        (
            lambda out: edited(out, lambda text: text.replace('"shard-00001"', '"../elsewhere"')),
            "is no manifest of shards",
        ),
        (lambda out: edited(out, lambda text: text[:40]), "is no manifest of shards"),
        (lambda out: (out / "shards.json").unlink(), "does not exist"),
    ],
)
def test_a_shard_that_is_wrong_is_named(
    found: Result, out: Path, tmp_path: Path, plant: Callable[[Path], object], sentence: str
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in (out / "shards.json", *out.glob("shard-*/index.faiss")):
        (copy / path.relative_to(out)).parent.mkdir(exist_ok=True)
        (copy / path.relative_to(out)).write_bytes(path.read_bytes())
    assert ShardedIndex.load(copy).ntotal == len(X)
    plant(copy)
    with pytest.raises(InputError, match=sentence):
        ShardedIndex.load(copy)


@pytest.mark.parametrize("name", ["", "shards.json"])
def test_what_is_of_one_index_says_so_of_shards(found: Result, out: Path, name: str) -> None:
    with pytest.raises(InputError, match="of an index in shards, whose recall tune check cannot measure yet"):
        read_baseline(out / name)
    with pytest.raises(InputError, match="is an index in shards, and this is asked of one index file"):
        open_faiss(out / name, X.shape[1])


def edited(out: Path, change: Callable[[str], str]) -> None:
    path = out / "shards.json"
    text = path.read_text()
    assert change(text) != text
    path.write_text(change(text))


def test_the_same_index_twice_is_named(found: Result, out: Path, tmp_path: Path) -> None:
    digests = [
        line.split('"digest": "')[1].split('"')[0]
        for line in (out / "shards.json").read_text().splitlines()
        if '"digest"' in line
    ]
    (tmp_path / "shards.json").write_text((out / "shards.json").read_text().replace(digests[1], digests[0]))
    with pytest.raises(InputError, match="shards 0 and 1 are the same index"):
        ShardedIndex.load(tmp_path)


def test_the_neighbours_of_a_shard_are_its_own(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    posed = shards_of(tmp_path / "x.npy", tmp_path, 2)
    for shard in posed.shards:
        near = result_of(nearest_in_shard(shard))
        assert np.isin(near.rows, shard.rows).all()
        assert (np.diff(near.distances, axis=1) >= 0).all()
