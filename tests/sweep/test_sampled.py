"""Where memory or time are too little for all rows, a sample is tuned and the rest is extrapolated."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import yaml
from gated import Run
from numpy.typing import NDArray

import tuner
from tuner.data.base import prepare
from tuner.data.vectors import Vectors, open_vectors
from tuner.errors import InputError, ResourceError
from tuner.gate.baseline import save_baseline
from tuner.prediction.ceilings import make_pool
from tuner.recall.truth import search_exactly
from tuner.report import result_to_html, result_to_markdown
from tuner.report.compare import remarks
from tuner.runtime.steps import result_of
from tuner.sweep import sample_size, sampled
from tuner.sweep.nested import PARTS, parts_of
from tuner.sweep.sample_size import FEWEST, for_sample, plan_of_sample, rows_that_fit
from tuner.sweep.whole_file import WholeFile
from tuner.types import Note, Options, Space, StageFinished

N, SAMPLE, D = 6_000, 3_000, 24
SPACE = Space(M=(6, 12), codecs=("SQ8", "SQ4"), cuts=(1.0,), rerank_stores=("SQ8",), rerank_factors=(1, 2))
Array = NDArray[Any]


def rows(n: int, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(9).standard_normal((30, D))
    return (centres[rng.integers(30, size=n)] + 0.6 * rng.standard_normal((n, D))).astype(np.float32)


X, QUERIES = rows(N), rows(400, seed=1)
ASKED = Options(recall=0.9, space=SPACE, seed=1)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let half of the rows be all that fits."""
    monkeypatch.setattr(sampled, "rows_that_fit", lambda base, *_: SAMPLE if base.n == N else None)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuner.Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNER_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(sampled, "rows_that_fit", lambda *_: SAMPLE)
        return tuner.tune(X, recall=0.9, queries=QUERIES, space=SPACE, seed=1)


def test_the_answer_is_of_all_rows_and_says_that_it_was_not_measured(found: tuner.Result) -> None:
    of_all, best = found.extrapolation, found.best
    assert of_all is not None
    assert best is not None
    assert (found.status, found.profile.n, of_all.n, of_all.n_sample) == ("extrapolated", SAMPLE, N, SAMPLE)
    assert of_all.ef_search_low <= of_all.ef_search <= of_all.ef_search_high
    assert of_all.ndis_per_query_low <= of_all.ndis_per_query <= of_all.ndis_per_query_high
    assert of_all.memory_bytes == pytest.approx(2 * best.memory_bytes, rel=0.02)
    assert set(of_all.part_sizes) == {SAMPLE // parts for parts in PARTS}
    assert "extrapolated, with 95 % error bars, from a sample of 3,000" in repr(found)


def test_no_index_is_handed_over_and_none_can_be_frozen_or_exported(
    found: tuner.Result, tmp_path: Path
) -> None:
    written = {path.name for path in found.save(tmp_path / "out")}
    assert "index.faiss" not in written
    settings = yaml.safe_load((tmp_path / "out" / "recommended.yaml").read_text())
    assert found.extrapolation is not None
    assert settings["index"]["ef_search"] == found.extrapolation.ef_search
    assert "tune build REPORT" in (tmp_path / "out" / "report.md").read_text()
    with pytest.raises(InputError, match=r"only a sample was measured.*tuner\.build"):
        found.index()
    with pytest.raises(InputError, match="is of a sample"):
        tuner.export(found, "qdrant")
    with pytest.raises(InputError, match="freeze the report of tune build"):
        save_baseline(found)


def test_the_report_never_passes_the_sample_off_as_the_file(found: tuner.Result) -> None:
    profile = replace(found.profile, source="items.npy")
    page = result_to_html(replace(found, profile=profile, queries=replace(found.queries, source="log.npy")))
    assert 'id="choose"' not in page  # sliders would answer for the sample
    assert "tune export" not in page
    assert "tune baseline" not in page
    assert "tune build report.json items.npy --queries log.npy" in page
    assert "tune build report.json" not in result_to_html(found)  # which was given arrays, and no file
    assert found.warnings[0].startswith("6,000 rows do not fit the limits of this run: it is made on 3,000")
    assert "among all rows of the file" in result_to_markdown(found)
    assert any("the first run measured 3,000 of 6,000 rows" in each for each in remarks(found, found))


def test_a_no_of_a_sample_says_that_it_is_one_and_what_would_help() -> None:
    coarse = replace(SPACE, codecs=("RaBitQ1",), rerank_factors=(1,))
    no = tuner.tune(X, recall=0.98, queries=QUERIES, space=coarse, seed=1)
    assert (no.status, no.extrapolation) == ("not_reached", None)
    assert "it is made on 3,000 of them" in no.warnings[0]
    assert no.advice


def test_what_is_told_of_the_data_is_told_of_all_rows(tmp_path: Path) -> None:
    x = X.copy()
    x[3_000:4_000] = x[:1_000]  # a sample of half of the rows has a quarter of the pairs
    job = sampled._prepare(
        open_vectors(x, "base"), open_vectors(QUERIES, "queries"), ASKED, SAMPLE, tmp_path, resume=False
    )
    notes = [event.text for event in job if isinstance(event, Note)]
    assert any(note.startswith("1,000 rows (16.7%) repeat another") for note in notes)


def test_the_recommendation_built_on_all_rows_is_measured_there(found: tuner.Result, tmp_path: Path) -> None:
    found.save(tmp_path / "first")
    built = tuner.build(tmp_path / "first", X, queries=QUERIES)
    assert found.best is not None
    assert built.best is not None
    assert (built.status, built.best.label) == ("reached", found.best.label)
    assert built.best.recall_lower >= 0.9
    assert built.index().ntotal == N


@pytest.mark.parametrize("metric", ["l2", "cosine", "ip"])
def test_the_pool_that_codecs_are_judged_on_is_that_of_all_rows(metric: Any, tmp_path: Path) -> None:
    x = X.copy()
    x[[5, 4_000]] = 0.0
    vectors, asked = open_vectors(x, "base"), replace(ASKED, metric=metric)
    work = tmp_path / "work"
    made = sampled._prepare(vectors, None, asked, SAMPLE, work, resume=False)
    prepared = result_of(made)
    problem, whole = prepared.problem, prepared.whole
    assert isinstance(whole, WholeFile)
    pool, judged = result_of(whole.pool(prepared.journal, problem))
    assert len(whole.left_out) == problem.n_queries + 2 * (metric == "cosine")
    norm = whole.profile.norm_max
    every_row = result_of(prepare(vectors, metric, whole.left_out, norm, tmp_path / "all"))
    queries = problem.queries[problem.sample(len(pool.queries))]
    exact = search_exactly(every_row.x, queries, pool.depth, 10)
    expected = make_pool(every_row, queries, result_of(exact))
    np.testing.assert_allclose(pool.distances, expected.distances, atol=1e-4)
    assert pool.right.sum() == expected.right.sum()
    of_first = every_row.x[expected.rows][expected.positions[0]]
    np.testing.assert_array_equal(judged.x[pool.positions[0]], of_first)


def test_a_row_that_was_not_drawn_is_checked_all_the_same() -> None:
    x = X.copy()
    row = int(np.setdiff1d(np.arange(N), sampled.draw(open_vectors(X, "base"), SAMPLE, 1).rows)[7])
    x[row, 3] = np.nan
    with pytest.raises(InputError, match=f"NaN or infinite values .* the first is row {row}:"):
        tuner.tune(x, recall=0.9, queries=QUERIES, space=SPACE, seed=1)


def test_a_limit_on_the_index_is_that_of_all_rows(found: tuner.Result) -> None:
    smallest = min(found.points, key=lambda point: point.memory.resident_bytes)
    most = 2 * smallest.memory.resident_bytes + 100
    again = tuner.tune(X, recall=0.9, queries=QUERIES, space=SPACE, seed=1, max_memory_bytes=most)
    assert again.options.max_memory_bytes == most
    assert again.extrapolation is None or again.extrapolation.memory_bytes <= most
    assert for_sample(again.options, SAMPLE, N).max_memory_bytes == most // 2


def test_a_run_that_was_stopped_goes_on_with_the_same_sample(
    tmp_path: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, work = tmp_path, tmp_path / "work"
    again = partial(sampled.sweep_or_sample, open_vectors(X, "base"), open_vectors(QUERIES, "queries"), ASKED)
    for event in again(out, work):
        if isinstance(event, StageFinished) and event.name == "curves":
            break
    monkeypatch.setattr(sampled, "rows_that_fit", lambda *_: None)  # more memory is free now
    result = result_of(again(out, work, resume=True))
    assert result.extrapolation is not None
    assert result.extrapolation.n_sample == SAMPLE


def test_from_the_command_line_it_is_a_yes_that_warns(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "q.npy", QUERIES)
    (tmp_path / "space.yaml").write_text("M: [6]\ncodecs: [SQ8]\ncuts: [1.0]\nrerank_factors: [1]\n")
    code, out, err = run("x.npy", "--queries", "q.npy", "--recall", "0.9", "--space", "space.yaml")
    assert code == 0, err
    shown = " ".join((out + err).split())
    assert "6,000 rows do not fit the limits of this run: it is made on 3,000 of them" in shown
    assert "For all 6,000 vectors HNSW6,SQ8 is expected to need ef_search=" in shown


def stub(n: int, d: int = 256) -> Vectors:
    return replace(open_vectors(X, "base"), n=n, d=d)


def limited(limit: int, **asked: Any) -> Options:
    return Options(recall=0.95, run_memory_bytes=psutil.Process().memory_info().rss + limit, **asked)


def test_the_largest_sample_that_fits_is_taken(tmp_path: Path) -> None:
    base, queries = stub(1_000_000), stub(1_000)
    assert rows_that_fit(base, queries, Options(recall=0.95), tmp_path) is None
    assert rows_that_fit(base, queries, limited(4_000_000_000), tmp_path) is None
    n = rows_that_fit(base, queries, limited(200_000_000), tmp_path)
    assert n is not None
    needed = plan_of_sample(base, queries, limited(0), tmp_path, n).peak_bytes
    assert 0.95 * 200_000_000 < needed <= 200_000_000


def test_a_time_budget_takes_a_sample_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = import_module("tuner.sweep.plan")
    monkeypatch.setattr(module, "on_this_machine", lambda stages: stages)  # however busy it is
    base, queries, asked = stub(3_000_000), stub(1_000), Options(recall=0.95, time_budget_s=300.0)
    n = rows_that_fit(base, queries, asked, tmp_path)
    assert n is not None
    assert FEWEST <= n < 3_000_000
    assert plan_of_sample(base, queries, asked, tmp_path, n).estimate_s <= 300


def test_where_not_even_the_smallest_sample_fits_the_run_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampled, "rows_that_fit", sample_size.rows_that_fit)
    base, queries = stub(1_000_000, D), open_vectors(QUERIES, "queries")
    with pytest.raises(ResourceError, match="which no sample of 8,000 rows fits either: raise it"):
        rows_that_fit(base, queries, limited(20_000_000), tmp_path)
    with pytest.raises(ResourceError, match="MB of memory and the limit on it is"):
        result_of(sampled.sweep_or_sample(base, queries, limited(20_000_000), tmp_path, tmp_path / "work"))


def test_a_rehearsal_plans_the_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = import_module("tuner.sweep.rehearse")
    monkeypatch.setattr(module, "rows_that_fit", lambda *_: SAMPLE)
    base, queries = open_vectors(X, "base"), open_vectors(QUERIES, "queries")
    (tmp_path / "scratch").mkdir()
    lines = result_of(module.rehearse(base, queries, ASKED, tmp_path, tmp_path / "scratch"))
    assert lines[0].startswith(
        "base array: 3,000 x 24 float32, a sample of 6,000 rows that do not fit the limits;"
    )


def test_parts_of_one_size_share_no_row() -> None:
    parts = parts_of(8_000, seed=0)
    assert [len(part) for part in parts] == [4_000, 4_000, 2_000, 2_000, 1_000, 1_000]
    for one, other in zip(parts[::2], parts[1::2], strict=True):
        assert not set(one) & set(other)
