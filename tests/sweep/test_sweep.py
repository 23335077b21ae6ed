"""The whole sweep on planted data: the answer, its honesty, and what happens when it is killed."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import faiss
import hurried
import numpy as np
import pytest
from gated import Run

import tuner
from tuner.data.vectors import open_vectors
from tuner.errors import InputError, ResourceError
from tuner.report import result_from_json
from tuner.sweep import plan, sweep
from tuner.sweep.answer import answer_of
from tuner.sweep.few_rows import is_exact_the_answer
from tuner.sweep.finalists import choose_finalists
from tuner.sweep.hopeless import smallest_bytes
from tuner.sweep.run import finish
from tuner.types import Event, Finished, Metric, Options, Result, Space, StageFinished

SPACE = Space(
    name="small",
    M=(6, 12),
    codecs=("fp32", "SQ8", "SQ4"),
    cuts=(1.0,),
    cut_kinds=("pca",),
    rerank_stores=("SQ8",),
    rerank_factors=(1, 2),
    ef_search_max=1024,
)
YAML = """name: small
M: [6, 12]
codecs: [fp32, SQ8, SQ4]
cuts: [1.0]
cut_kinds: [pca]
rerank_stores: [SQ8]
rerank_factors: [1, 2]
ef_search_max: 1024
"""


def planted(n: int, nq: int, d: int = 24, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((40, d))
    rows = centres[rng.integers(40, size=n + nq)] + 0.6 * rng.standard_normal((n + nq, d))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return rows[:n], rows[n:]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[np.ndarray, np.ndarray, Path]:
    folder = tmp_path_factory.mktemp("planted")
    base, queries = planted(4000, 600)
    np.save(folder / "base.npy", base)
    np.save(folder / "queries.npy", queries)
    (folder / "small.yaml").write_text(YAML)
    return base, queries, folder


@pytest.fixture(scope="module")
def result(
    data: tuple[np.ndarray, np.ndarray, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Result, Path]:
    out = tmp_path_factory.mktemp("out")
    base, queries, _ = data
    return tuner.tune(base, recall=0.9, queries=queries, space=SPACE, out=out, prefer="smallest"), out


def events_of(base: np.ndarray, queries: np.ndarray | None, options: Options, out: Path) -> list[Event]:
    given = None if queries is None else open_vectors(queries, "queries")
    return list(sweep(open_vectors(base, "base"), given, options, out, out / "work"))


def brute_force(base: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    return np.argsort(-(queries @ base.T), axis=1)[:, :k]


def test_the_answer_is_certified(result: tuple[Result, Path]) -> None:
    found, _ = result
    assert found.status == "reached"
    answer = found.recommendation
    assert answer is not None
    assert answer.recall_lower >= 0.9
    point = found.points[found.named["smallest"]]
    assert point.recall.lower == answer.recall_lower
    assert 0 <= point.recall.mean - answer.recall < 0.02  # the mean is cross-fitted


def test_the_delivered_index_gives_the_measured_recall_and_bytes(
    data: tuple[np.ndarray, np.ndarray, Path], result: tuple[Result, Path]
) -> None:
    base, queries, _ = data
    found, out = result
    answer = found.recommendation
    assert answer is not None
    assert (out / "index.faiss").stat().st_size == answer.memory_bytes
    index = faiss.read_index(str(out / "index.faiss"))
    _, ids = index.search(queries * 3.0, 10)  # cosine: the length of a query does not matter
    truth = brute_force(base, queries, 10)
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(ids, truth, strict=True)])
    point = found.points[found.named["smallest"]]
    assert recall == pytest.approx(point.recall.mean, abs=1e-3)


def test_a_prediction_is_within_a_point_of_what_is_measured(result: tuple[Result, Path]) -> None:
    found, _ = result
    assert found.prediction_error is not None
    assert found.prediction_error <= 0.01


def test_the_same_seed_gives_the_same_recommendation(
    data: tuple[np.ndarray, np.ndarray, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is measured depends on what a distance of each codec takes, so the clock must be the same too."""
    hurried.plant_clock(monkeypatch)
    base, queries, _ = data
    first, second = (
        tuner.tune(base, recall=0.9, queries=queries, space=SPACE, out=tmp_path / name) for name in "ab"
    )
    assert first.recommendation is not None
    assert first.recommendation == second.recommendation
    points = ([replace(point, latency=None) for point in found.points] for found in (first, second))
    assert next(points) == next(points)  # whose throughput is of the wall's clock
    assert (tmp_path / "a" / "index.faiss").read_bytes() == (tmp_path / "b" / "index.faiss").read_bytes()


def test_a_target_that_nothing_reaches_is_an_honest_no(
    data: tuple[np.ndarray, np.ndarray, Path], tmp_path: Path
) -> None:
    base, queries, _ = data
    coarse = replace(SPACE, codecs=("RaBitQ1",), rerank_factors=(1,), ef_search_max=512)
    events = events_of(base, queries, Options(recall=0.85, space=coarse), tmp_path)
    last = events[-1]
    assert isinstance(last, Finished)
    assert last.result.status == "not_reached"
    assert last.result.recommendation is None
    assert last.result.points
    assert last.result.advice
    assert not (tmp_path / "index.faiss").exists()


def test_a_memory_limit_below_everything_names_what_it_would_take(
    data: tuple[np.ndarray, np.ndarray, Path], tmp_path: Path
) -> None:
    base, queries, _ = data
    asked = Options(recall=0.9, space=SPACE)
    least = smallest_bytes(asked, *base.shape)  # without the header of a file
    asked = replace(asked, max_memory_bytes=least)
    events = events_of(base, queries, asked, tmp_path)
    last = events[-1]
    assert isinstance(last, Finished)
    assert last.result.status == "not_reached"
    assert any("memory limit" in line for line in last.result.advice)


def test_a_memory_limit_is_kept(data: tuple[np.ndarray, np.ndarray, Path], tmp_path: Path) -> None:
    base, queries, _ = data
    found = tuner.tune(
        base, recall=0.9, queries=queries, space=SPACE, max_memory_per_vector=95.0, prefer="fastest"
    )
    answer = found.recommendation
    assert answer is not None
    assert answer.memory_bytes <= 95 * len(base)


@pytest.mark.parametrize("metric", ["cosine", "ip"])
@pytest.mark.parametrize("given", [True, False])
def test_few_vectors_are_searched_exactly(metric: Metric, given: bool, tmp_path: Path) -> None:
    base, queries = planted(800, 100)
    found = tuner.tune(base, recall=0.9, queries=queries if given else None, metric=metric, out=tmp_path)
    assert found.status == "exact"
    index = faiss.read_index(str(tmp_path / "index.faiss"))
    _, ids = index.search(2 * queries, 10)
    truth = brute_force(base, queries, 10)
    assert index.ntotal == len(base)
    assert (np.sort(ids) == np.sort(truth)).mean() > 0.999


@pytest.mark.parametrize(("n", "k"), [(2, 1), (4, 3), (5, 3), (9, 7)])
def test_a_handful_of_vectors_is_searched_exactly(n: int, k: int, tmp_path: Path) -> None:
    """Of 2 to 4 rows none becomes a query, of 5 to 9 one does, and none is left to confirm."""
    base, _ = planted(n, 1)
    found = tuner.tune(base, recall=0.9, k=k, metric="l2", out=tmp_path)
    assert found.status == "exact"
    assert found.best is not None
    assert found.best.latency_p50_s > 0
    _, ids = found.index().search(base, n)
    assert ids[:, 0].tolist() == list(range(n))
    assert np.sort(ids).tolist() == [list(range(n))] * n


def test_nearly_all_rows_as_neighbours_are_searched_exactly_unless_memory_is_short(tmp_path: Path) -> None:
    """k = 1,000 of 1,200 rows took minutes of a sweep, and no graph is faster."""
    base, queries = planted(1200, 100)
    found = tuner.tune(base, recall=0.9, k=1000, metric="l2", queries=queries, out=tmp_path)
    assert found.status == "exact"
    assert "for k = 1,000 of 1,200 rows" in found.advice[0]
    asked = Options(recall=0.9, k=1000)
    assert is_exact_the_answer(asked, 10_000, 12_000, 24)
    assert not is_exact_the_answer(asked, 10_001, 12_000, 24)
    for limits, is_exact in (
        ({"max_memory_per_vector": 96.0}, True),
        ({"max_memory_per_vector": 95.0}, False),
        ({"max_memory_bytes": 12_000 * 96}, True),
        ({"max_memory_bytes": 11_000 * 96}, False),  # held-out rows are in the index too
    ):
        assert is_exact_the_answer(replace(asked, **limits), 10_000, 12_000, 24) == is_exact


@pytest.mark.parametrize("limits", [{"max_memory_per_vector": 4.0 * 24}, {"max_latency_s": 1e-9}])
def test_exact_search_beyond_a_limit_is_an_honest_no(
    limits: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuner.sweep.hopeless.call_overhead_s", lambda _: 0.0)
    base, _ = planted(300, 1)  # with its header the index is a little larger than 4 x 24 bytes per vector
    found = tuner.tune(base, recall=0.9, metric="l2", out=tmp_path, **limits)
    assert found.status == "not_reached"
    assert found.best is None
    assert not (tmp_path / "index.faiss").exists()
    assert "an exact index takes" in found.advice[0]
    kept = tuner.tune(base, recall=0.9, metric="l2", max_memory_per_vector=1e6, max_latency_s=10.0)
    assert kept.status == "exact"


@pytest.mark.parametrize("n", [300, 2000])
@pytest.mark.parametrize(
    ("limits", "problem"),
    [
        ({"max_memory_per_vector": 20.0}, r"max_memory is .* smallest index of this space take .* raise it"),
        ({"max_latency_s": 1e-9}, r"max_latency is 0\.001 us, but the call of a search takes"),
    ],
)
def test_a_limit_below_anything_is_refused_before_the_sweep(
    n: int, limits: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    base, _ = planted(n, 1)
    with pytest.raises(InputError, match=problem):
        tuner.tune(base, recall=0.9, metric="l2", out=tmp_path, **limits)
    assert not (tmp_path / "report.json").exists()


def test_an_exact_answer_says_what_is_wrong_with_the_data(tmp_path: Path) -> None:
    base = np.random.default_rng(0).normal(size=(20, 500)).astype(np.float32)
    base[3] = 0
    found = tuner.tune(base, recall=0.9, metric="cosine", k=3, out=tmp_path)
    assert found.status == "exact"
    assert [warning[:30] for warning in found.warnings] == [
        "20 rows of 500 columns: if the",
        "1 of 20 rows are zero vectors,",
    ]


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_other_metrics_reach_the_truth_of_that_metric(metric: Metric, tmp_path: Path) -> None:
    base, queries = planted(3000, 300, seed=3)
    base = base * np.random.default_rng(1).uniform(0.8, 1.2, (len(base), 1)).astype(np.float32)
    found = tuner.tune(base, recall=0.9, queries=queries, space=SPACE, metric=metric, out=tmp_path)
    assert found.status == "reached"
    index = faiss.read_index(str(tmp_path / "index.faiss"))
    _, ids = index.search(queries, 10)
    if metric == "ip":
        truth = brute_force(base, queries, 10)
    else:
        truth = np.argsort(((queries[:, None] - base[None]) ** 2).sum(-1), axis=1)[:, :10]
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(ids, truth, strict=True)])
    assert recall >= 0.9


def test_a_store_on_disk_lies_beside_the_index(
    data: tuple[np.ndarray, np.ndarray, Path], tmp_path: Path
) -> None:
    base, queries, _ = data
    space = replace(SPACE, codecs=("SQ4",), rerank_stores=("fp16",))
    found = tuner.tune(base, recall=0.93, queries=queries, space=space, rerank_store="disk", out=tmp_path)
    answer = found.recommendation
    assert answer is not None
    assert (answer.rerank, answer.rerank_at) == ("fp16", "disk")
    assert (tmp_path / "index.faiss").stat().st_size == answer.memory_bytes
    store = faiss.read_index(str(tmp_path / "rerank.faiss"), faiss.IO_FLAG_MMAP_IFC)
    index = faiss.IndexRefine(faiss.read_index(str(tmp_path / "index.faiss")), store)
    index.k_factor = answer.rerank_factor
    _, ids = index.search(queries, 10)
    truth = brute_force(base, queries, 10)
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(ids, truth, strict=True)]) >= 0.93


def test_the_oracle_builds_natively_and_agrees(
    data: tuple[np.ndarray, np.ndarray, Path], result: tuple[Result, Path], tmp_path: Path
) -> None:
    base, queries, _ = data
    oracle = tuner.tune(
        base, recall=0.9, queries=queries, space=SPACE, exhaustive=True, prefer="smallest", out=tmp_path
    )
    assert oracle.status == "reached"
    assert oracle.cost.n_graph_builds > len(SPACE.M)
    ours, native = result[0].recommendation, oracle.recommendation
    assert ours is not None
    assert native is not None
    # memory x distance computations: what is the same on every machine
    assert ours.memory_bytes * ours.ndis_per_query <= 1.05 * native.memory_bytes * native.ndis_per_query


def test_validation_can_fail_a_point_that_the_tune_half_passed(result: tuple[Result, Path]) -> None:
    found, _ = result
    good = found.points[found.named["smallest"]]
    fault = replace(good, reaches_target=False)
    assert choose_finalists([good], float("inf")) == [good]
    assert choose_finalists([fault], float("inf")) == []
    assert not answer_of([fault], (fault,), float("inf"), 0.0).found


def test_the_plan_says_what_it_needs_and_too_little_is_refused(
    data: tuple[np.ndarray, np.ndarray, Path], tmp_path: Path
) -> None:
    base, queries, _ = data
    options = Options(recall=0.9, space=SPACE)
    needed = plan(open_vectors(base, "base"), open_vectors(queries, "queries"), options, tmp_path)
    assert needed.n_configurations == 2 * 3 * 2
    with pytest.raises(ResourceError, match="time budget"):
        events_of(base, queries, replace(options, time_budget_s=0.5), tmp_path)


def test_a_journal_of_other_data_is_refused(
    data: tuple[np.ndarray, np.ndarray, Path], tmp_path: Path
) -> None:
    base, queries, _ = data
    options = Options(recall=0.9, space=SPACE)
    steps = sweep(
        open_vectors(base, "base"), open_vectors(queries, "queries"), options, tmp_path, tmp_path / "work"
    )
    for event in steps:
        if isinstance(event, StageFinished):
            break
    steps.close()
    other = sweep(
        open_vectors(base[:-1], "base"),
        open_vectors(queries, "queries"),
        options,
        tmp_path,
        tmp_path / "work",
        resume=True,
    )
    with pytest.raises(InputError, match="different data"):
        list(other)


def command(folder: Path, out: Path, *more: str) -> list[str]:
    return [
        *("--recall", "0.9", "--prefer", "smallest", "--space", str(folder / "small.yaml")),
        *("--queries", str(folder / "queries.npy"), "--out", str(out), *more, str(folder / "base.npy")),
    ]


# A run that ends itself as kill -9 would, some calls after a file is there: at any speed of the machine.
KILLED = """
import os, signal, sys
from fnmatch import fnmatch

file, calls = os.environ["PLANTED_FILE"], int(os.environ["PLANTED_CALLS"])

def count(*_):
    global calls
    calls -= 1
    if calls < 0:
        os.kill(os.getpid(), signal.SIGKILL)

def watch(event, arguments):
    name = arguments[{"os.rename": 1, "open": 0}[event]] if event in ("os.rename", "open") else ""
    if fnmatch(os.path.basename(os.fspath(name)) if isinstance(name, (str, os.PathLike)) else "", file):
        if event == "os.rename" or file.endswith(".partial"):
            sys.setprofile(count)

sys.addaudithook(watch)
from tuner.cli.main import main; main()
"""


KILLS = (
    ("prepare.stage", 2),
    ("links.shuffled.partial", 2),  # in the middle of the graph
    ("graph.stage", 2),
    ("curves.stage", 2_000),  # in the middle of the ceilings
    ("ceilings.stage", 1_000),  # in the middle of the front
    ("frontier-*.stage", 2),
    ("timing.stage", 2),
)
"""Where one run is killed and gone on with, in turn: a file that was just written, and calls after it."""


def test_a_run_killed_at_every_stage_in_turn_ends_with_the_same_answer(
    data: tuple[np.ndarray, np.ndarray, Path], result: tuple[Result, Path], tmp_path: Path, run: Run
) -> None:
    out, tests = tmp_path / "out", Path(__file__).parents[1]
    path = os.pathsep.join([str(tests), str(tests.parent)])
    arguments, before = command(data[2], out), set[str]()
    for file, calls in KILLS:
        planted = {**os.environ, "PYTHONPATH": path, "PLANTED_FILE": file, "PLANTED_CALLS": str(calls)}
        program = [sys.executable, "-c", hurried.PROGRAM + KILLED, *arguments]
        killed = subprocess.run(program, env=planted, capture_output=True, check=False)
        assert killed.returncode == -signal.SIGKILL, (file, killed.stderr)
        stages = {path.stem for path in (out / "work").glob("*.stage")}
        assert stages, "the run ended before it could be killed"
        assert before <= stages
        assert file.startswith("links") or before < stages
        before, arguments = stages, command(data[2], out, "--resume", "--work", str(out / "work"))
    code, _, messages = run(*arguments)
    assert code == 0, messages
    assert messages.count("done by the earlier run") == len(before)
    found = result_from_json((out / "report.json").read_bytes())
    first = result[0].recommendation
    assert found.recommendation is not None
    assert first is not None
    assert (found.recommendation.label, found.recommendation.ef_search) == (first.label, first.ef_search)
    assert found.recommendation.recall == pytest.approx(first.recall)
    assert before <= {cost.name for cost in found.cost.stages}


def test_a_finished_stage_is_not_done_again(
    data: tuple[np.ndarray, np.ndarray, Path], tmp_path: Path
) -> None:
    base, queries, _ = data
    options = Options(recall=0.9, space=SPACE)
    given = (
        open_vectors(base, "base"),
        open_vectors(queries, "queries"),
        options,
        tmp_path,
        tmp_path / "work",
    )
    for event in (steps := sweep(*given)):
        if isinstance(event, StageFinished) and event.name == "curves":
            break
    steps.close()
    resumed = {
        event.name: event.resumed for event in sweep(*given, resume=True) if isinstance(event, StageFinished)
    }
    assert {name for name, again in resumed.items() if again} == {
        "profile",
        "prepare",
        "truth",
        "pool",
        "stand-in",
        "graph",
        "curves",
    }


@pytest.mark.parametrize("strangers", [(), ("notes.txt",), ("base.f32.bak", "mine/base.f32", "journal.txt")])
def test_files_of_others_in_the_work_folder_survive_a_finished_run(
    strangers: tuple[str, ...], tmp_path: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    for name in strangers:
        (work / name).parent.mkdir(exist_ok=True)
        (work / name).write_text(name)
    base, queries = planted(800, 100)
    events_of(base, queries, Options(recall=0.9, space=SPACE), tmp_path)
    assert (work / "journal.json").exists()
    assert (work / "base.f32").exists()
    finish(work)
    left = sorted(str(path.relative_to(work)) for path in work.rglob("*") if path.is_file())
    assert left == sorted(strangers)
    assert [(work / name).read_text() for name in left] == left
    assert work.exists() == bool(strangers)


def test_the_report_of_the_command_line_is_the_result(
    data: tuple[np.ndarray, np.ndarray, Path], tmp_path: Path, run: Run
) -> None:
    code, printed, messages = run(*command(data[2], tmp_path / "out"), "--json", "--quiet")
    assert code == 0, messages
    assert json.loads(printed) == json.loads((tmp_path / "out" / "report.json").read_text())
    assert messages == ""
    assert not (tmp_path / "out" / "work").exists()
