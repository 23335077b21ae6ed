"""The benchmark's own figures: planted answers, resuming, failures, names, ablations, and one small run."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import faiss
import hnswlib
import numpy as np
import pytest
from conftest import finish, planted_rows

import tuner.index.graph
import tuner.sweep.codecs
import tuner.sweep.frontier
import tuner.sweep.proxy_graph
import tuner.sweep.run
from benchmarks.sweep import contestants, tables
from benchmarks.sweep.answers import (
    ANSWER,
    FAILURE,
    INDEX,
    Answer,
    Failure,
    Task,
    read_answer,
    read_task,
    write,
)
from benchmarks.sweep.contestants.ablations import IDEAS, LinksOfEachM, switched_off
from benchmarks.sweep.contestants.folklore import HNSWLIB_INDEX
from benchmarks.sweep.launch import LOG, launcher, run_all
from benchmarks.sweep.ordinary import Ordinary
from benchmarks.sweep.score import score
from benchmarks.sweep.spending import Spending, keep_spending, read_spending, spent
from benchmarks.sweep.tables import Scores, gather, read_scores, table_lines, write_scores
from benchmarks.sweep.tasks import SCORING, TASK, make_task, split_for_scoring
from tuner.data.base import prepare
from tuner.data.vectors import open_vectors
from tuner.errors import InputError
from tuner.index.assemble import SearchableIndex
from tuner.index.codecs import quantizer
from tuner.index.encoders import train
from tuner.index.graph import build
from tuner.index.projections import Projection
from tuner.types import Configuration, FloatArray, Memory

ROOT = Path(__file__).parents[2]
N, NQ, D, K = 600, 90, 16, 10


def planted_files(folder: Path, n: int = N, nq: int = NQ) -> tuple[Path, Path]:
    rows = planted_rows(n + nq, D, seed=5)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    base, queries = folder / "base.npy", folder / "queries.npy"
    np.save(base, rows[:n])
    np.save(queries, rows[n:])
    return base, queries


def posed(folder: Path) -> tuple[Task, Path]:
    work = folder / "work"
    return make_task(*planted_files(folder), work, name="planted", k=K, threads=1), work


def planted_answer(name: str, **changes: object) -> Answer:
    answer = Answer(
        contestant=name,
        label="Flat",
        codec="fp32",
        M=0,
        ef_construction=0,
        ef_search=K,
        memory_bytes=1,
        cpu_s=6.0,
        wall_s=3.0,
        peak_rss_bytes=10**8,
        n_builds=1,
    )
    return replace(answer, **changes)  # type: ignore[arg-type]


def deliver_flat(rows: FloatArray, folder: Path, name: str = INDEX) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    flat = faiss.IndexFlatL2(D)
    flat.add(rows)
    faiss.write_index(flat, str(folder / name))


# ---------------------------------------------------------------- the scorer


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
    assert [each.meets(0.95) for each in scored] == [True, False, False]
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


# ---------------------------------------------------------------- running


def test_an_answer_is_not_run_again_and_a_crash_stops_nobody(tmp_path: Path) -> None:
    _, work = posed(tmp_path)
    started: list[str] = []

    def launch(name: str, task: Path, folder: Path) -> int:
        started.append(name)
        assert read_task(task).name == "planted"
        if name == "bad":
            (folder / LOG).write_text(
                "Traceback ...\nZeroDivisionError: division by zero\n", encoding="ascii"
            )
            return 1
        if name == "killed":
            return -9
        if name == "unable":
            write(Failure(name, "no such engine here"), folder / FAILURE)
            return 1
        write(planted_answer(name), folder / ANSWER)
        return 0

    names = ("good", "bad", "unable", "killed", "last")
    found = list(run_all(names, work, launch))
    assert found == [
        planted_answer("good"),
        Failure("bad", "ZeroDivisionError: division by zero"),
        Failure("unable", "no such engine here"),
        Failure("killed", "it ended with status -9 and said nothing"),
        planted_answer("last"),
    ]
    assert started == list(names)
    assert list(run_all(names, work, launch)) == found
    assert started == [*names, "bad", "unable", "killed"]


def test_a_contestant_that_crashes_in_its_process_says_why(tmp_path: Path) -> None:
    task, work = posed(tmp_path)
    write(replace(task, base=str(tmp_path / "gone.npy")), work / TASK)
    (failure,) = run_all(("faiss32",), work, launcher())
    assert isinstance(failure, Failure)
    assert "gone.npy" in failure.reason


def test_what_interrupted_attempts_took_is_added(tmp_path: Path) -> None:
    assert read_spending(tmp_path) == Spending()
    keep_spending(Spending(2.0, 3.0, 500), tmp_path)
    assert read_spending(tmp_path).plus(Spending(1.0, 1.0, 400)) == Spending(3.0, 4.0, 500)
    now = spent()
    assert now.cpu_s > 0
    assert now.wall_s > 0
    assert now.peak_rss_bytes > 10**7


def test_an_interrupted_search_goes_on_after_its_last_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna", reason="optuna is in the extra 'bench'")
    from benchmarks.sweep.contestants import native, search  # noqa: PLC0415 - of an extra

    task, _ = posed(tmp_path)
    task = replace(task, recall=0.8)
    out = tmp_path / "random3"
    out.mkdir()
    built: list[str] = []
    original = native.Workshop.build

    def build_or_stop(shop: native.Workshop, what: Configuration) -> tuple[SearchableIndex, Memory]:
        built.append(what.label)
        if len(built) == 3:
            raise KeyboardInterrupt
        return original(shop, what)

    monkeypatch.setattr(native.Workshop, "build", build_or_stop)
    with pytest.raises(KeyboardInterrupt):
        search.run(task, out, sampler="random", n_trials=3)
    kept = read_spending(out)
    assert kept.cpu_s > 0
    assert len(built) == 3
    answer = search.run(task, out, sampler="random", n_trials=3)
    assert len(built) == 4
    assert answer.n_builds == 3
    assert answer.cpu_s > kept.cpu_s
    assert answer.contestant == "random3"
    assert answer.note.endswith("of 3 trials met the target")
    assert (out / INDEX).stat().st_size == answer.memory_bytes
    assert list(out.glob("trial-*")) == []

    write(answer, out / ANSWER)
    longer = tmp_path / "random5"
    longer.mkdir()
    more = search.run(task, longer, sampler="random", n_trials=5)
    assert len(built) == 4 + 2
    assert more.n_builds == 5
    assert more.cpu_s > read_spending(out).cpu_s
    assert (longer / INDEX).stat().st_size == more.memory_bytes
    assert (out / INDEX).exists()


def test_answers_survive_json(tmp_path: Path) -> None:
    answer = planted_answer("a", also=(planted_answer("a: fastest", index="fastest/index.faiss"),))
    write(answer, tmp_path / ANSWER)
    assert read_answer(tmp_path / ANSWER) == answer
    assert read_answer(tmp_path / "other.json") is None


# ---------------------------------------------------------------- names


def test_every_name_of_the_issue_is_there() -> None:
    assert {"ours", "oracle", "tpe25", "tpe100", "nsga100", "random25", "random100"} <= set(
        contestants.REGISTRY
    )
    assert {"hnswlib16", "faiss32", "faiss32-SQ8", "parameter-space", "autofaiss"} <= set(
        contestants.REGISTRY
    )
    assert len(contestants.ABLATIONS) == 5
    assert {f"ours-{idea}" for idea in IDEAS if idea} <= set(contestants.ABLATIONS)


def test_groups_open_and_any_number_of_trials_has_a_name() -> None:
    found = contestants.expand("ours, folklore,tpe7,ours")
    assert found == ("ours", "hnswlib16", "faiss32", "faiss32-SQ8", "tpe7")
    for name in ("tpe", "tpe0", "grid10", "our"):
        with pytest.raises(InputError, match="no contestant is called"):
            contestants.expand(name)


# ---------------------------------------------------------------- ablations


def replaced() -> dict[str, object]:
    """Everything in the tuner that an ablation may replace."""
    modules = (
        tuner.index.graph,
        tuner.sweep.codecs,
        tuner.sweep.frontier,
        tuner.sweep.proxy_graph,
        tuner.sweep.run,
    )
    return {f"{module.__name__}.{name}": value for module in modules for name, value in vars(module).items()}


@pytest.mark.parametrize("idea", [idea for idea in IDEAS if idea])
def test_an_ablation_replaces_something_and_puts_it_back(idea: str) -> None:
    before = replaced()
    with switched_off(idea):
        during = replaced()
    assert [name for name in before if before[name] is not during[name]]
    after = replaced()
    assert [name for name in before if before[name] is not after[name]] == []


def test_links_of_each_size_know_the_slots_of_each_graph(tmp_path: Path) -> None:

    rows = planted_rows(400, D, seed=2)
    nothing = np.zeros(0, dtype=np.int64)
    base = finish(prepare(open_vectors(rows, "base"), "l2", nothing, 1.0, tmp_path / "base.f32"))
    encoder = train(quantizer("fp32", D), Projection("none", D), None, "l2", rows, 0)
    graphs = {M: finish(build(base, encoder, M, 40, 0, tmp_path / str(M))) for M in (4, 8)}
    both = LinksOfEachM.of(graphs)
    assert [both.n_slots(M) for M in (4, 8)] == [graphs[M].n_slots(M) for M in (4, 8)]
    assert both.M == 8
    assert graphs[4].n_slots(4) != graphs[8].n_slots(4)  # levels are drawn for each M


# ---------------------------------------------------------------- tables


def planted_scores(tmp_path: Path) -> Scores:
    task, work = posed(tmp_path)
    deliver_flat(np.load(task.base), work / "whole")
    scored, noise = score(task, [planted_answer("whole", note="exact")], work, 2.0)
    failures = [Failure("autofaiss", "needs numpy<2 | pandas<3")]
    return gather(task, tmp_path / "base.npy", Ordinary(2.0, 9 * 10**7), scored, failures, noise)


def test_the_table_carries_its_figures_and_where_they_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sys,
        "argv",
        ["benchmarks", str(tmp_path / "base.npy"), "--rows", "600", f"--interpreter=a={tmp_path}/py"],
    )
    monkeypatch.setattr(tables, "describe_machine", lambda: {"processor": "P", "cores": 2, "system": "S"})
    scores = planted_scores(tmp_path)
    write_scores(scores, tmp_path)
    assert read_scores(tmp_path / tables.SCORES) == scores
    text = (tmp_path / tables.TABLE).read_text(encoding="utf-8")
    assert "| whole | `Flat` | 10 | 1.0000 | " in text
    assert "| 1 | 6.0 | 3.0 | 3.0 | 100 |" in text
    assert "| autofaiss | needs numpy<2 / pandas<3 |" in text
    assert "base.npy --rows 600" in text
    assert "py`" in text
    assert f"faiss {faiss.__version__}" in text
    assert scores.created in text
    assert str(tmp_path) not in text + (tmp_path / tables.SCORES).read_text(encoding="utf-8")


def test_plots_carry_command_and_date(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is in the extra 'bench'")
    from benchmarks.sweep.plots import plot_all, plot_cost_against_n  # noqa: PLC0415 - of an extra

    scores = planted_scores(tmp_path)
    larger = replace(scores, n=2 * scores.n)
    paths = [*plot_all(scores, tmp_path), plot_cost_against_n([larger, scores], tmp_path / "cost-n.svg")]
    for path in paths:
        drawn = path.read_text(encoding="utf-8")
        assert scores.created in drawn
        assert "whole" in drawn


# ---------------------------------------------------------------- from end to end


def bench(files: tuple[Path, Path], out: Path, names: str) -> str:
    arguments = [
        "--name",
        "tiny",
        "--contestants",
        names,
        "--threads",
        "1",
        "--recall",
        "0.9",
        "--out",
        str(out),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.sweep", *map(str, files), *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_one_command_runs_scores_and_resumes(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="optuna is in the extra 'bench'")
    files, out = planted_files(tmp_path, 2000, 900), tmp_path / "out"
    printed = bench(files, out, "ours,random2,folklore")
    scores = read_scores(out / tables.SCORES)
    assert scores.failures == ()
    names = [each.answer.contestant for each in scores.scored if ":" not in each.answer.contestant]
    assert names == ["ours", "random2", "hnswlib16", "faiss32", "faiss32-SQ8"]
    assert "\n".join(table_lines(scores)) in printed
    for each in scores.scored:
        assert each.recall.mean > 0.85
        assert each.memory_bytes == each.answer.memory_bytes
        assert each.answer.cpu_s > 0
        assert each.answer.peak_rss_bytes > scores.ordinary.idle_bytes / 2
        assert each.latency.mean_s > 0
        assert (each.ndis_per_query is None) == (each.answer.engine == "hnswlib")
    builds = {each.answer.contestant: each.answer.n_builds for each in scores.scored}
    assert builds["ours"] == builds["hnswlib16"] == 1
    assert 1 <= builds["random2"] <= 2
    assert list((out / "work" / "random2").glob("trial-*")) == []
    before = {path: path.stat().st_mtime_ns for path in (out / "work").glob(f"*/{ANSWER}")}
    again = bench(files, out, "ours,hnswlib16")
    assert "| ours | " in again
    assert {path: path.stat().st_mtime_ns for path in before} == before
