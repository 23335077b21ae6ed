"""Contestants run one by one: what has an answer is kept, a crash stops nobody, a search goes on."""

from dataclasses import replace
from pathlib import Path

import pytest
from planted_answers import planted_answer, posed

from benchmarks.sweep.answers import (
    ANSWER,
    FAILURE,
    INDEX,
    Failure,
    read_answer,
    read_task,
    write,
)
from benchmarks.sweep.launch import LOG, launcher, run_all
from benchmarks.sweep.spending import Spending, keep_spending, read_spending, spent
from benchmarks.sweep.tasks import TASK
from tuner.index.assemble import SearchableIndex
from tuner.types import Configuration, Memory


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
    original = native.NativeIndexes.build

    def build_or_stop(indexes: native.NativeIndexes, what: Configuration) -> tuple[SearchableIndex, Memory]:
        built.append(what.label)
        if len(built) == 3:
            raise KeyboardInterrupt
        return original(indexes, what)

    monkeypatch.setattr(native.NativeIndexes, "build", build_or_stop)
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
