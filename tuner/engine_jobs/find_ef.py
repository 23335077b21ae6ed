"""ef_search and oversampling of one codec, found by searching in the engine."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tuner.engine_jobs.gather import latency_of
from tuner.engine_jobs.use import applied_line
from tuner.engines import Capabilities, EngineProcess
from tuner.engines.translate import factors_of, least_ef
from tuner.sweep.ef_search import EfResult, find_min_ef, judged
from tuner.sweep.pose import PosedProblem
from tuner.types import EngineConfig, EnginePoint, FloatArray, Steps

ENOUGH_FACTORS = 2
"""Re-scoring factors that pass, after which no larger one is tried."""
FEW_QUERIES, FAR_BEYOND = 200, 6
"""So many queries at so many times the first guess of ef_search say what a re-scoring factor can reach."""
WORTH_A_LOOK = 2
"""With this many times as many queries, few of them say first where to look with all."""


@dataclass(frozen=True)
class Found:
    """The cheapest config of one codec that the queries certify, or the best there are."""

    config: EngineConfig
    tuned: EfResult
    seconds: NDArray[np.float64]

    @property
    def median_s(self) -> float:
        """Median seconds of a query."""
        return float(np.median(self.seconds))


def find(
    process: EngineProcess,
    can: Capabilities,
    config: EngineConfig,
    posed: PosedProblem,
    guess: int,
    most: int,
    first_factor: int,
) -> Steps[Found]:
    """Yield the share done; return what the queries choose for this index.

    Args:
        process: running index.
        can: what the engine can express.
        config: config of the codec.
        posed: problem that is searched.
        guess: ef_search to begin with.
        most: largest ef_search that is tried.
        first_factor: re-scoring factor to begin with.
    """
    codec = can.codec(config.codec)
    factors = [factor for factor in factors_of(can, config.k) if factor >= first_factor]
    if codec is None or not codec.oversampling:
        factors = [1]
    factors = [f for f in factors if least_ef(can, replace(config, oversampling=f)) <= most] or factors[:1]
    guesses: dict[int, int] = {}
    if len(factors) > 1 and _is_worth_a_look(posed):
        # all certify the fastest, the next where that fails, and the largest where few reach nothing
        guesses = _by_few(process, can, config, posed, factors, guess, most)
        larger = [factor for factor in factors if guesses and factor > max(guesses)]
        factors = [*guesses, *larger] or factors[-1:]
    enough = 1 if guesses else ENOUGH_FACTORS
    passed: list[Found] = []
    failed: list[Found] = []
    for number, factor in enumerate(factors):
        yield number / len(factors)
        tried = replace(config, oversampling=factor)
        looked, least = factor in guesses, least_ef(can, tried)
        unasked = not looked and factor != factors[-1]
        if unasked and not _could_reach(process, can, tried, posed, guess, most):
            continue
        found = _find_ef(
            process, tried, posed, least, guesses.get(factor, guess), most, look_first=not looked
        )
        (passed if found.tuned.passes else failed).append(found)
        guess = found.tuned.ef_search if found.tuned.passes else guess
        if len(passed) == enough or (passed and passed[-1].tuned.ef_search == least):
            break
    if passed:
        return min(passed, key=lambda each: each.median_s)
    return max(failed, key=lambda each: each.tuned.recall)


def _by_few(
    process: EngineProcess,
    can: Capabilities,
    config: EngineConfig,
    posed: PosedProblem,
    factors: list[int],
    guess: int,
    most: int,
) -> dict[int, int]:
    """Return ef_search by re-scoring factor, those with which few queries reach the target, fastest first."""
    found: list[tuple[float, int, int]] = []
    for factor in factors:
        tried = replace(config, oversampling=factor)
        if not _could_reach(process, can, tried, posed, guess, most):
            continue
        least = least_ef(can, tried)
        looked, median_s = _look(process, tried, posed, least, guess, most)
        if looked.passes:
            guess = looked.ef_search
            found.append((median_s, factor, guess))
        if len(found) == ENOUGH_FACTORS or (looked.passes and guess == least):
            break
    return {factor: ef_search for _, factor, ef_search in sorted(found)}


def find_again(process: EngineProcess, config: EngineConfig, posed: PosedProblem, most: int) -> Steps[Found]:
    """Yield the share done; return the least ef_search, the config's or more, that is certified."""
    yield 0.0
    return _find_ef(process, config, posed, config.ef_search, config.ef_search, most, look_first=False)


def _could_reach(
    process: EngineProcess,
    can: Capabilities,
    config: EngineConfig,
    posed: PosedProblem,
    guess: int,
    most: int,
) -> bool:
    """Return whether some queries reach the target at an ef_search beyond which little is left to gain."""
    far = min(most, max(least_ef(can, config), FAR_BEYOND * guess))
    hits, _ = _ask_few(process, config, posed, far)
    return float(hits.mean()) / config.k >= posed.problem.options.recall


def _ask_few(
    process: EngineProcess, config: EngineConfig, posed: PosedProblem, ef_search: int
) -> tuple[NDArray[np.int64], float]:
    """Return the hits of few queries, and their median seconds."""
    some = posed.problem.sample(FEW_QUERIES)
    process.set_search(ef_search, config.oversampling)
    answers = process.search(posed.raw(some), config.k)
    return posed.problem.hits(answers.ids, some), float(np.median(answers.seconds))


def _is_worth_a_look(posed: PosedProblem) -> bool:
    """Return whether there are so many queries that few of them are asked first."""
    return len(posed.problem.raw) >= WORTH_A_LOOK * FEW_QUERIES


def _look(
    process: EngineProcess, config: EngineConfig, posed: PosedProblem, least: int, guess: int, most: int
) -> tuple[EfResult, float]:
    """Return what few queries take for the least ef_search, and their median seconds there."""
    problem = posed.problem
    seconds: dict[int, float] = {}

    def of_few(ef_search: int) -> EfResult:
        hits, seconds[ef_search] = _ask_few(process, config, posed, ef_search)
        # as if all were like them: the bound is looked for that all will have
        return judged(problem, ef_search, np.resize(hits, len(problem.raw)), 0.0, 0.0)

    most, guess = max(least, most), max(least, min(guess, most))
    found = find_min_ef(of_few, least, guess, most)
    return found, seconds[found.ef_search]


def _find_ef(
    process: EngineProcess,
    config: EngineConfig,
    posed: PosedProblem,
    least: int,
    guess: int,
    most: int,
    *,
    look_first: bool = True,
) -> Found:
    """Return the least ef_search that all queries certify, looked for with a few of them first."""
    problem = posed.problem
    seconds: dict[int, NDArray[np.float64]] = {}

    def of_all(ef_search: int) -> EfResult:
        process.set_search(ef_search, config.oversampling)
        answers = process.search(problem.raw, config.k)
        seconds[ef_search] = answers.seconds
        return judged(problem, ef_search, problem.hits(answers.ids), 0.0, 0.0)

    most, guess = max(least, most), max(least, min(guess, most))
    if look_first and _is_worth_a_look(posed):
        guess = _look(process, config, posed, least, guess, most)[0].ef_search
    tuned = find_min_ef(of_all, least, guess, most)
    return Found(replace(config, ef_search=tuned.ef_search), tuned, seconds[tuned.ef_search])


def point_of(
    process: EngineProcess,
    found: Found,
    posed: PosedProblem,
    load_s: float,
    predicted: tuple[float | None, int | None],
) -> EnginePoint:
    """Return the measured point, its engine searching at its ef_search from now on."""
    problem, config, tuned = posed.problem, found.config, found.tuned
    process.set_search(config.ef_search, config.oversampling)
    applied = process.applied()
    used = applied.index_used is not False and applied.n_indexed in (None, posed.n)
    return EnginePoint(
        settings=config,
        recall=problem.recall(tuned.hits),
        hits=tuple(tuned.hits.tolist()),
        index_bytes=process.index_bytes(),
        latency=latency_of(found.seconds),
        applied=applied,
        load_s=load_s,
        predicted_recall=predicted[0],
        predicted_bytes=predicted[1],
        reaches_target=tuned.passes and used and applied_line(config, applied).status == "pass",
        table_bytes=process.table_bytes() if config.oversampling > 1 else None,
    )


def interleaved_ratio(
    first: EngineProcess, second: EngineProcess, queries: FloatArray, k: int, rounds: int = 6
) -> float:
    """Return the second's time over the first's, in blocks that take turns; the median over blocks."""
    block = max(1, len(queries) // rounds)
    ratios = []
    for number in range(rounds):
        part = queries[number * block : (number + 1) * block]
        pair = (first, second) if number % 2 else (second, first)
        seconds = {each: float(each.search(part, k).seconds.sum()) for each in pair}
        ratios.append(seconds[second] / seconds[first])
    return float(np.median(ratios))
