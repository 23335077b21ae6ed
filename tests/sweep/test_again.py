"""An earlier answer on newer or more vectors: built again where it holds, swept again where it does not."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gated import Run
from numpy.typing import NDArray

import tuner
from tuner.data.split import held_out_rows, n_held_out
from tuner.data.vectors import open_vectors
from tuner.errors import InputError
from tuner.index.insertion import drawn_levels
from tuner.runtime.cache import graph_dir
from tuner.runtime.steps import result_of
from tuner.sweep import again
from tuner.sweep.again import Earlier, NoLongerHoldsError, narrowed, still_holds
from tuner.sweep.codec_space import views_in_order
from tuner.sweep.plan import count_configurations
from tuner.types import Generation, Note, Space, StageFinished, Warned

N, MORE, D = 3_000, 300, 24
SPACE = Space(
    M=(6, 12), codecs=("SQ8", "SQ4"), cuts=(1.0, 0.75), rerank_stores=("SQ8",), rerank_factors=(1, 2)
)
Array = NDArray[Any]


def rows(n: int, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(9).standard_normal((30, D))
    return (centres[rng.integers(30, size=n)] + 0.6 * rng.standard_normal((n, D))).astype(np.float32)


X, QUERIES = rows(N + MORE), rows(400, seed=1)


@dataclass(frozen=True)
class FinishedRun:
    """A finished run, its folder, and the cache that it left."""

    result: tuner.Result
    cache: Path


def finished(folder: Path, **asked: Any) -> FinishedRun:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNER_CACHE_DIR", str(folder / "cache"))
        found = tuner.tune(X[:N], recall=0.9, space=SPACE, out=folder / "first", **asked)
    found.save(folder / "first")
    return FinishedRun(found, folder / "cache")


@pytest.fixture(scope="module")
def with_queries(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    return finished(tmp_path_factory.mktemp("queries"), queries=QUERIES)


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    return finished(tmp_path_factory.mktemp("held-out"), n_queries=300)


@pytest.fixture
def first(with_queries: FinishedRun, cache_folder: Path) -> tuner.Result:
    shutil.copytree(with_queries.cache, cache_folder)
    return with_queries.result


@pytest.fixture
def held_out(without: FinishedRun, cache_folder: Path) -> tuner.Result:
    shutil.copytree(without.cache, cache_folder)
    return without.result


@pytest.fixture
def first_folder(with_queries: FinishedRun) -> Path:
    return with_queries.cache.with_name("first")


def notes_of(earlier: tuner.Result, x: Array, queries: Array | None, folder: Path) -> list[str]:
    folder.mkdir()
    vectors, given = open_vectors(x, "base"), None if queries is None else open_vectors(queries, "queries")
    job = again.build_again(Earlier(earlier, "r.json"), vectors, given, 1, folder, folder / "work")
    return [event.text for event in job if isinstance(event, Note)]


def test_more_rows_are_inserted_into_the_graph_that_the_cache_has(
    first: tuner.Result, tmp_path: Path
) -> None:
    notes = notes_of(first, X, QUERIES, tmp_path / "again")
    assert "the first 3,000 of 3,300 rows are those of r.json" in notes
    assert any("300 rows were inserted into the graph of 3,000" in note for note in notes)


def test_without_the_graph_it_is_built_with_twice_the_links(first: tuner.Result, tmp_path: Path) -> None:
    for path in graph_dir().iterdir():
        path.unlink()
    notes = notes_of(first, X, QUERIES, tmp_path / "again")
    assert not any("cache" in note and "graph" in note for note in notes)
    options = narrowed(Earlier(first, "r.json"), open_vectors(X, "base"), 1)
    assert first.best is not None
    assert options.space.most_links == 2 * first.best.M


@pytest.mark.parametrize("part", ["*.i32", "*.graph"])
def test_a_damaged_graph_in_the_cache_is_built_again(part: str, first: tuner.Result, tmp_path: Path) -> None:
    (damaged,) = graph_dir().glob(part)
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(bytes(data))
    notes = notes_of(first, X, QUERIES, tmp_path / "again")
    assert not any("cache" in note and "graph" in note for note in notes)


def test_the_index_that_is_built_again_reaches_the_target_with_all_rows_in_it(
    first: tuner.Result, first_folder: Path
) -> None:
    found = tuner.build(first_folder, X, queries=QUERIES)
    best, before = found.best, first.best
    assert best is not None
    assert before is not None
    assert (best.label, best.recall_lower >= 0.9) == (before.label, True)
    assert found.index().ntotal == N + MORE
    assert found.earlier is not None
    assert (found.earlier.n, found.earlier.space) == (N, first.options.space)
    # and once more from its own report, which names the space that was swept
    assert tuner.build(found, X, queries=QUERIES).earlier.space == first.options.space  # type: ignore[union-attr]


def test_the_same_rows_stay_queries_and_the_same_share_of_new_rows_joins_them(
    held_out: tuner.Result,
) -> None:
    found = tuner.build(held_out, X)
    before, after = held_out.queries.held_out_rows, found.queries.held_out_rows
    assert after[: len(before)] == before
    assert len(after) == 330
    assert min(after[len(before) :]) >= N
    assert found.index().ntotal == N + MORE
    third = tuner.build(found, np.vstack([X, rows(330, seed=3)]))
    assert third.queries.held_out_rows[:330] == after
    assert [each.n for each in third.options.earlier] == [N, N + MORE]


def test_a_gate_is_frozen_on_these_queries_and_holds(
    held_out: tuner.Result, tmp_path: Path, run: Run
) -> None:
    np.save(tmp_path / "more.npy", X)
    tuner.build(held_out, X, out=tmp_path / "again").save(tmp_path / "again")
    assert run("baseline", str(tmp_path / "again"), "-o", str(tmp_path / "gate.yaml"))[0] == 0
    files = [str(tmp_path / "gate.yaml"), str(tmp_path / "more.npy")]
    assert run("check", *files, "--index", str(tmp_path / "again" / "index.faiss"))[0] == 0
    assert run("check", *files)[0] == 0


def test_other_rows_begin_anew(first: tuner.Result, tmp_path: Path) -> None:
    other = rows(N, seed=5)
    options = narrowed(Earlier(first, "r.json"), open_vectors(other, "base"), 1)
    assert options.earlier == ()
    assert tuner.build(first, other, queries=QUERIES).status == "reached"


@pytest.mark.parametrize(
    ("cut", "codec", "rerank", "factor"),
    [("pca", "SQ8", "fp16", 4), ("truncate", "SQ4", None, 1), ("none", "PQ12x8", "SQ8", 2)],
)
def test_the_space_is_the_recommendation_alone(
    cut: str, codec: str, rerank: str | None, factor: int, first: tuner.Result
) -> None:
    assert first.best is not None
    dims = D if cut == "none" else 16
    best = replace(first.best, cut=cut, dims=dims, codec=codec, rerank=rerank, rerank_factor=factor)
    options = narrowed(Earlier(replace(first, recommendation=best), "r"), open_vectors(X, "base"), 1)
    assert [str(view) for view in views_in_order(options, D)] == [f"{codec}@{cut}{dims}"]
    assert count_configurations(options, D) == 1
    assert (options.space.rerank_stores, options.space.rerank_factors) == (
        (rerank,) * bool(rerank),
        (factor,),
    )


def test_an_answer_that_holds_is_not_swept_again(
    first: tuner.Result, first_folder: Path, tmp_path: Path, run: Run
) -> None:
    np.save(tmp_path / "more.npy", X)
    np.save(tmp_path / "queries.npy", QUERIES)
    files = [str(tmp_path / "more.npy"), "--queries", str(tmp_path / "queries.npy")]
    code, out, err = run("run", "--since", str(first_folder), *files, "--out", str(tmp_path / "out"))
    assert code == 0
    assert "holds: " in err
    assert "was built again, and nothing else was tried" in " ".join(out.split())
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["earlier"]["broken"] == ""
    assert not (tmp_path / "out" / "work").exists()


def test_an_answer_that_needs_far_more_distances_is_swept_again(first: tuner.Result, tmp_path: Path) -> None:
    assert first.best is not None
    easy = replace(first, recommendation=replace(first.best, ndis_per_query=first.best.ndis_per_query / 2))
    found = tuner.build(easy, X, queries=QUERIES, sweep_if_broken=True)
    assert found.earlier is not None
    assert "distances a query where" in found.earlier.broken
    assert found.options.space == SPACE
    assert found.n_configurations > 1
    assert found.status == "reached"


def test_a_sweep_that_was_stopped_goes_on_without_asking_again(first: tuner.Result, tmp_path: Path) -> None:
    assert first.best is not None
    easy = replace(first, recommendation=replace(first.best, ndis_per_query=1.0))
    vectors, given = open_vectors(X, "base"), open_vectors(QUERIES, "queries")
    job = partial(again.since, Earlier(easy, "r.json"), vectors, given, 1, tmp_path, tmp_path / "work")
    events = job()
    assert any(isinstance(event, Warned) and "r.json no longer holds" in event.text for event in events)
    for event in events:
        if isinstance(event, StageFinished) and event.name == "graph":
            break
    events.close()
    assert (tmp_path / "work" / again.BROKEN).exists()
    names = []
    resumed = job(resume=True)
    try:
        while True:
            event = next(resumed)
            names += [event.name] if isinstance(event, StageFinished) and not event.resumed else []
    except StopIteration as ended:
        found = ended.value
    assert "graph" not in names
    assert found.earlier.broken
    assert found.options.space == SPACE
    assert not (tmp_path / "work" / again.BROKEN).exists()


def test_an_answer_that_was_stopped_on_its_way_goes_on(first: tuner.Result, tmp_path: Path) -> None:
    vectors, given = open_vectors(X, "base"), open_vectors(QUERIES, "queries")
    job = partial(again.since, Earlier(first, "r.json"), vectors, given, 1, tmp_path, tmp_path / "work")
    events = job()
    for event in events:
        if isinstance(event, StageFinished) and event.name == "graph":
            break
    events.close()
    finished = [event for event in job(resume=True) if isinstance(event, StageFinished)]
    assert {event.name: event.resumed for event in finished}["graph"]
    assert not (tmp_path / "work").exists() or not any((tmp_path / "work").iterdir())


def test_a_reason_of_a_run_before_is_forgotten(first: tuner.Result, tmp_path: Path) -> None:
    vectors, given = open_vectors(X, "base"), open_vectors(QUERIES, "queries")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / again.BROKEN).write_text("of another run")
    found = result_of(again.since(Earlier(first, "r"), vectors, given, 1, tmp_path, tmp_path / "work"))
    assert found.earlier is not None
    assert found.earlier.broken == ""
    assert not (tmp_path / "work" / again.BROKEN).exists()


def test_codes_that_lose_more_than_then_are_swept_again(first: tuner.Result) -> None:
    assert first.best is not None
    mine = (first.best.codec, first.best.dims, first.best.cut)
    better = tuple(
        replace(each, recall_at={1: 1.5}) if (each.codec, each.dims, each.cut) == mine else each
        for each in first.ceilings
    )
    found = tuner.build(replace(first, ceilings=better), X, queries=QUERIES, sweep_if_broken=True)
    assert found.earlier is not None
    assert "an exhaustive scan of" in found.earlier.broken


def test_what_reaches_nothing_no_longer_holds(first: tuner.Result) -> None:
    class Nothing:
        found = False

    with pytest.raises(NoLongerHoldsError, match="does not reach the target within its limits"):
        next(iter(still_holds(Earlier(first, "r.json"), None, Nothing())))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("base", "queries", "message"),
    [
        (X[:, :20], QUERIES[:, :20], "is of 24 columns and base array has 20: run tune on it"),
        (X, None, "was measured on queries of queries array: give them, or newer ones, with --queries"),
    ],
)
def test_what_does_not_fit_the_report_is_told(
    base: Array, queries: Array | None, message: str, first: tuner.Result
) -> None:
    with pytest.raises(InputError, match=message):
        tuner.build(first, base, queries=queries)


def test_queries_beside_a_report_that_held_rows_out_are_told(held_out: tuner.Result) -> None:
    with pytest.raises(InputError, match="was measured on rows held out of the base"):
        tuner.build(held_out, X, queries=QUERIES)


def test_a_report_that_recommends_nothing_is_told(first: tuner.Result) -> None:
    with pytest.raises(InputError, match="the earlier result recommends nothing"):
        tuner.build(replace(first, recommendation=None), X, queries=QUERIES)


def test_since_takes_its_options_from_the_report(first_folder: Path, tmp_path: Path, run: Run) -> None:
    np.save(tmp_path / "more.npy", X)
    asked = ["run", "--since", str(first_folder), str(tmp_path / "more.npy"), "--recall", "0.95"]
    code, _, err = run(*asked)
    assert code == 2
    assert err.strip() == (
        "tune: --since takes its options from the report: leave --recall out, or run tune without --since"
    )


def test_queries_of_earlier_files_are_drawn_as_they_were() -> None:
    nowhere = np.array([5, 1_200])
    earlier = (Generation(n=1_000, n_queries=100), Generation(n=1_100, n_queries=110))
    first = held_out_rows(1_000, nowhere[:1], 100, 0)
    second = held_out_rows(1_100, nowhere[:1], None, 0, earlier[:1])
    third = held_out_rows(1_300, nowhere, None, 0, earlier)
    assert second[:100].tolist() == first.tolist()
    assert third[:110].tolist() == second.tolist()
    assert len(third) == n_held_out(1_300, None, earlier) == 130
    assert np.all(np.diff(third) > 0)
    assert not np.isin(nowhere, third).any()
    # a file that lost rows since begins anew
    assert n_held_out(900, 90, earlier) == 90


def test_levels_are_drawn_as_hnsw_does() -> None:
    levels = drawn_levels(100_000, 16, np.random.default_rng(0))
    assert levels.dtype == np.int32
    shares = [(levels > level).mean() for level in range(3)]
    assert shares[0] == 1
    assert shares[1] == pytest.approx(1 / 16, rel=0.05)
    assert shares[2] == pytest.approx(1 / 256, rel=0.2)
