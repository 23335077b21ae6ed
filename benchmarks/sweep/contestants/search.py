"""Black-box search: Optuna's TPE and NSGA-II and random search, each trial one native build of faiss.

As cuVS-Bench's tune mode and the Redis optimizer do it, but not handicapped: ef_search is bisected on each
built index by the rule that ours keeps, so that a trial chooses only what needs a build; codecs are trained
once; a configuration that comes again is not built again. Trials are journaled: a search that was
interrupted goes on after the last one, and tpe100 goes on where tpe25 ended and counts what that has spent.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from benchmarks.sweep.answers import ANSWER, INDEX, Answer, NoAnswerError, Task
from benchmarks.sweep.contestants.native import (
    NativeIndexes,
    answer_from,
    find_certified_ef,
    pose,
    remove_scratch,
    write_index,
)
from benchmarks.sweep.spending import SPENT, Spending, keep_spending, read_spending, spent
from tuner.index.codecs import Cut, quantizer
from tuner.runtime.timing import BLOCK, interleave
from tuner.space import default_space
from tuner.sweep.codec_space import sensible
from tuner.sweep.problem import Problem
from tuner.types import Configuration, Space

CODECS = ("fp32", "fp16", "bf16", "SQ8", "SQ6", "SQ4", "tqmse4", "RaBitQ4", "PQd/4x8")
CUTS = (1.0, 0.75, 0.5)
RERANKINGS = ("none", "SQ8x2", "SQ8x4", "fp16x2", "fp16x4")
TRIALS, STUDY = "trials.journal", "search"
POPULATION = 20
"""Population of NSGA-II: its own default of 50 would leave two generations of 100 trials."""
STARTUP = 10
"""Random trials that TPE begins with, at most a third of all: its default, which would be all of tpe8."""
TIMED_QUERIES = 384
ROUNDS = 3
"""A trial's latency is three blocks of queries, one query at a time on one thread."""


@dataclass(frozen=True)
class Outcome:
    """What a trial found, as it is kept with the trial.

    Attributes:
        misses: recall that the queries lack to be certified, <= 0 where they lack none.
    """

    configuration: Configuration
    ef_search: int
    memory_bytes: int
    latency_s: float
    recall: float
    misses: float
    n_builds: int

    @property
    def feasible(self) -> bool:
        """Whether both halves support the target."""
        return self.misses <= 0

    @property
    def product(self) -> float:
        """Memory times latency, what is minimised."""
        return self.memory_bytes * self.latency_s


def run(task: Task, out: Path, *, sampler: str, n_trials: int) -> Answer:
    """Return the feasible trial of the least memory x latency."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    continue_shorter(out, sampler, n_trials)
    before = read_spending(out)
    study = _study(task, out, sampler, n_trials)
    search = Search(task, out)
    while len(finished := study.get_trials(states=(TrialState.COMPLETE,))) < n_trials:
        trial = study.ask()
        outcome = search.outcome(trial, [_outcome(each) for each in finished])
        trial.set_user_attr("outcome", msgspec.json.encode(outcome).decode())
        values = (outcome.memory_bytes, outcome.latency_s) if sampler == "nsga" else outcome.product
        study.tell(trial, values)
        keep_spending(before.plus(spent()), out)
    return search.answer(f"{sampler}{n_trials}", study.trials, before)


def continue_shorter(out: Path, sampler: str, n_trials: int) -> None:
    """Begin with the trials and the spending of the longest shorter search of this task that has ended."""
    if (out / TRIALS).exists():
        return
    shorter = {
        int(match[1]): folder
        for folder in out.parent.iterdir()
        if (match := re.fullmatch(rf"{sampler}(\d+)", folder.name)) and (folder / ANSWER).exists()
    }
    lengths = [length for length in shorter if length < n_trials]
    if not lengths:
        return
    folder = shorter[max(lengths)]
    shutil.copy(folder / SPENT, out / SPENT)
    shutil.copy(folder / INDEX, out / _file_of(_best(_journal(folder).get_all_trials(0))[1].number))
    shutil.copy(folder / TRIALS, out / TRIALS)


def _journal(folder: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(folder / TRIALS)))


def _study(task: Task, out: Path, sampler: str, n_trials: int) -> optuna.Study:
    """Return the study in its journal; a resumed one draws other numbers than its beginning did."""
    n_objectives = 2 if sampler == "nsga" else 1
    study = optuna.create_study(
        storage=_journal(out),
        study_name=STUDY,
        directions=[optuna.study.StudyDirection.MINIMIZE] * n_objectives,
        load_if_exists=True,
    )
    seed = task.seed + 1000 * len(study.trials)
    samplers: dict[str, Any] = {
        "tpe": lambda: optuna.samplers.TPESampler(
            seed=seed, n_startup_trials=min(STARTUP, n_trials // 3), constraints_func=_constraints
        ),
        "nsga": lambda: optuna.samplers.NSGAIISampler(
            seed=seed, population_size=POPULATION, constraints_func=_constraints
        ),
        "random": lambda: optuna.samplers.RandomSampler(seed=seed),
    }
    study.sampler = samplers[sampler]()
    return study


def _constraints(trial: FrozenTrial) -> Sequence[float]:
    return (_outcome(trial).misses,)


def _outcome(trial: FrozenTrial) -> Outcome:
    return msgspec.json.decode(trial.user_attrs["outcome"], type=Outcome)


class Search:
    """Makes trials of one task; what they share is made when the first needs it."""

    def __init__(self, task: Task, out: Path) -> None:
        self.task = task
        self.out = out

    @cached_property
    def problem(self) -> Problem:
        """The problem as ours poses it."""
        return pose(self.task, sensible(default_space(), self.task.d), self.out)

    @cached_property
    def indexes(self) -> NativeIndexes:
        """Builds the trials' indexes."""
        return NativeIndexes(self.problem)

    def outcome(self, trial: Trial, finished: list[Outcome]) -> Outcome:
        """Return what the trial's configuration does; it is not built where an earlier trial had the same."""
        what = suggested(trial, self.problem.options.space, self.problem.base.d)
        for earlier in finished:
            if earlier.configuration == what:
                return replace(earlier, n_builds=0)
        searchable, memory = self.indexes.build(what)
        found = find_certified_ef(self.problem, searchable)
        queries = self.problem.raw[self.problem.sample(TIMED_QUERIES)]
        timings = interleave(
            [lambda q: searchable.index.search(q, self.task.k)],
            queries,
            self.task.seed,
            a_round=BLOCK,
            fewest=ROUNDS,
            most=ROUNDS,
        )
        outcome = Outcome(
            configuration=what,
            ef_search=found.ef_search,
            memory_bytes=memory.resident_bytes,
            latency_s=timings.latency(0, 0).mean_s,
            recall=found.recall,
            misses=found.needed - found.recall,
            n_builds=1,
        )
        if not finished or _rank(outcome) < min(map(_rank, finished)):
            write_index(self.problem, searchable, self.out / _file_of(trial.number))
        return outcome

    def answer(self, name: str, trials: list[FrozenTrial], before: Spending) -> Answer:
        """Return the best trial; its index was written when it became the best."""
        outcomes = [_outcome(trial) for trial in trials if trial.state == TrialState.COMPLETE]
        best, trial = _best(trials)
        written = self.out / _file_of(trial.number)
        if not written.exists():
            raise NoAnswerError(
                f"the index of trial {trial.number} is gone: remove the folder and run it again"
            )
        written.replace(self.out / INDEX)
        for other in self.out.glob("trial-*.faiss"):
            other.unlink()
        remove_scratch(self.out)
        return answer_from(
            name,
            best.configuration,
            best.ef_search,
            memory_bytes=best.memory_bytes,
            n_builds=sum(outcome.n_builds for outcome in outcomes),
            own_recall=best.recall,
            reached=best.feasible,
            spending=before.plus(spent()),
            note=f"{sum(outcome.feasible for outcome in outcomes)} of {len(outcomes)} trials met the target",
        )


def suggested(trial: Trial, space: Space, d: int) -> Configuration:
    """Return the trial's configuration; choices that would have no effect are the plain ones.

    Product codecs see all dimensions, and a store that is no finer than the codes re-ranks nothing.
    """
    codec = str(trial.suggest_categorical("codec", CODECS))
    M = space.M[trial.suggest_int("M_place", 0, len(space.M) - 1)]
    share = float(trial.suggest_categorical("cut", CUTS))
    reranking = str(trial.suggest_categorical("rerank", RERANKINGS))
    dims, cut = round(share * d / 8) * 8, "pca"
    if share == 1 or codec.startswith("PQ") or not 8 <= dims < d:
        dims, cut = d, "none"
    rerank, _, factor = reranking.partition("x")
    coded = quantizer(codec, dims)
    useful = rerank != "none" and quantizer(rerank, d).code_bytes > coded.code_bytes
    chosen: Cut = "pca" if cut == "pca" else "none"
    return Configuration(
        M=M,
        ef_construction=space.ef_construction,
        codec=coded.name,
        dims=dims,
        cut=chosen,
        rerank=rerank if useful else None,
        rerank_factor=int(factor) if useful else 1,
    )


def _rank(outcome: Outcome) -> tuple[bool, float, float]:
    """Return what trials are compared by: those that meet the target first, then the least product."""
    return not outcome.feasible, 0.0 if outcome.feasible else outcome.misses, outcome.product


def _best(trials: Sequence[FrozenTrial]) -> tuple[Outcome, FrozenTrial]:
    """Return the best finished trial, the first of those that are equal."""
    complete = [(_outcome(trial), trial) for trial in trials if trial.state == TrialState.COMPLETE]
    return min(complete, key=lambda pair: (_rank(pair[0]), pair[1].number))


def _file_of(number: int) -> str:
    return f"trial-{number}.faiss"
