"""The scorer counts what was planted, and nobody sees its queries."""

from pathlib import Path

import hnswlib
import numpy as np
import pytest
from planted_answers import NQ, D, K, N, deliver_flat, planted_answer, planted_files, posed

from benchmarks.sweep.answers import (
    INDEX,
)
from benchmarks.sweep.contestants.folklore import HNSWLIB_INDEX
from benchmarks.sweep.score import score
from benchmarks.sweep.tasks import SCORING, TASK, make_task, split_for_scoring
from tuner.errors import InputError


def test_the_scorer_counts_what_was_planted(tmp_path: Path) -> None:
    task, work = posed(tmp_path)
    base = np.load(task.base)
    deliver_flat(base, work / "whole")
    deliver_flat(base[: N // 2], work / "half")
    deliver_flat(base[: N // 2], work / "whole", "small.faiss")
    also = planted_answer("whole: smallest", index="small.faiss")
    answers = [planted_answer("whole", also=(also,)), planted_answer("half")]
    scored, noise = score(task, answers, work, ordinary_cpu_s=2.0)

    asked = np.load(work / SCORING)
    nearest = np.argsort(((asked[:, None, :] - base[None]) ** 2).sum(axis=2), axis=1)[:, :K]
    reachable = float((nearest < N // 2).mean())
    assert [each.answer.contestant for each in scored] == ["whole", "whole: smallest", "half"]
    assert [each.recall.mean for each in scored] == [1.0, pytest.approx(reachable), pytest.approx(reachable)]
    assert 0.2 < reachable < 0.8
    assert [each.recall.n_queries for each in scored] == [len(asked)] * 3
    assert [each.meets(0.9) for each in scored] == [True, False, False]
    # 30 queries, all of them perfect: the mean meets this target, and the lower bound does not
    assert scored[0].recall.lower < 0.95 < scored[0].recall.mean
    assert not scored[0].meets(0.95)
    overhead = scored[0].memory_bytes - 4 * N * D
    assert 0 < overhead < 100
    assert scored[2].memory_bytes == 4 * (N // 2) * D + overhead == (work / "half" / INDEX).stat().st_size
    assert [each.ordinary_builds for each in scored] == [3.0, 3.0, 3.0]
    ratio = scored[2].memory_bytes * scored[2].latency.mean_s / scored[0].memory_bytes
    assert scored[2].product_ratio == pytest.approx(ratio / scored[0].latency.mean_s)
    assert scored[0].product_ratio == pytest.approx(1.0)
    assert noise >= 0


def test_an_hnswlib_answer_is_searched_with_prepared_queries(tmp_path: Path) -> None:
    task, work = posed(tmp_path)
    index = hnswlib.Index(space="l2", dim=D)
    index.init_index(max_elements=N, M=16, ef_construction=200, random_seed=1)
    index.add_items(np.load(task.base), num_threads=1)
    (work / "other").mkdir()
    index.save_index(str(work / "other" / HNSWLIB_INDEX))
    answer = planted_answer("other", engine="hnswlib", index=HNSWLIB_INDEX, ef_search=N)
    (scored,), _ = score(task, [answer], work, 1.0)
    assert scored.recall.mean > 0.99
    assert scored.ndis_per_query is None


def test_nobody_sees_the_scoring_queries(tmp_path: Path) -> None:
    task, work = posed(tmp_path)
    tuning, scoring = split_for_scoring(NQ, task.seed)
    assert sorted([*tuning, *scoring]) == list(range(NQ))
    queries = np.load(tmp_path / "queries.npy")
    assert np.array_equal(np.load(task.tuning), queries[tuning])
    assert np.array_equal(np.load(work / SCORING), queries[scoring])
    assert SCORING not in (work / TASK).read_text(encoding="utf-8")


def test_some_rows_do_not_depend_on_the_seed_and_another_task_is_refused(tmp_path: Path) -> None:
    files = planted_files(tmp_path)
    tasks = [make_task(*files, tmp_path / str(s), name="t", rows=200, seed=s, threads=1) for s in (0, 1)]
    rows = [np.load(task.base) for task in tasks]
    assert rows[0].shape == (200, D)
    assert np.array_equal(rows[0], rows[1])
    assert tasks[0].data != tasks[1].data  # other queries
    assert make_task(*files, tmp_path / "0", name="t", rows=200, seed=0, threads=1) == tasks[0]
    with pytest.raises(InputError, match="another task"):
        make_task(*files, tmp_path / "0", name="t", rows=201, seed=0, threads=1)
