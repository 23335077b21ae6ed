"""ef_search and oversampling of one codec, found by searching in the engine."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tuner.engine_jobs.points import EnginePoint
from tuner.engine_jobs.use import applied_line
from tuner.engine_jobs.verify import latency_of
from tuner.engines import Capabilities, EngineConfig, EngineProcess
from tuner.engines.translate import factors_of
from tuner.sweep.measure import EfResult, find_min_ef, judged
from tuner.sweep.pose import PosedProblem
from tuner.types import FloatArray, IdArray, Steps

ENOUGH_FACTORS = 2
"""Re-scoring factors that pass, after which no larger one is tried."""
FEW_QUERIES, FAR_BEYOND = 200, 6
"""So many queries at so many times the first guess of ef_search say what a re-scoring factor can reach."""
RAISED, MOST_RAISES = 1.25, 4
"""ef_search grows by this factor while the held-out half falls short, so often at most."""


@dataclass(frozen=True)
class Found:
    """The cheapest settings of one codec whose tune half passes, or the best there are."""

    settings: EngineConfig
    tuned: EfResult
    seconds: float


def least_ef(can: Capabilities, settings: EngineConfig) -> int:
    """Return the smallest ef_search that can return what is asked."""
    candidates = settings.candidates if can.ef_covers_candidates else settings.k
    return max(can.ef_search[0], candidates)


def find(
    apart: EngineProcess,
    can: Capabilities,
    settings: EngineConfig,
    asked: PosedProblem,
    guess: int,
    most: int,
    first_factor: int,
) -> Steps[Found]:
    """Yield the share done; return what the tune half chooses for this index.

    Args:
        guess: ef_search to begin with.
        most: largest ef_search that is tried.
        first_factor: re-scoring factor to begin with.
    """
    codec = can.codec(settings.codec)
    factors = [factor for factor in factors_of(can, settings.k) if factor >= first_factor]
    if codec is None or not codec.oversampling:
        factors = [1]
    passed: list[Found] = []
    failed: list[Found] = []
    for number, factor in enumerate(factors):
        yield number / len(factors)
        what = replace(settings, oversampling=factor)
        if factor != factors[-1] and not _could_reach(apart, can, what, asked, guess, most):
            continue
        found = _find_ef(apart, can, what, asked, guess, most)
        (passed if found.tuned.passes else failed).append(found)
        guess = found.tuned.ef_search if found.tuned.passes else guess
        if len(passed) == ENOUGH_FACTORS or (passed and passed[-1].tuned.ef_search == least_ef(can, what)):
            break
    if passed:
        return min(passed, key=lambda each: each.seconds)
    return max(failed, key=lambda each: each.tuned.recall)


def _could_reach(
    apart: EngineProcess,
    can: Capabilities,
    settings: EngineConfig,
    asked: PosedProblem,
    guess: int,
    most: int,
) -> bool:
    """Return whether some queries reach the target at an ef_search beyond which little is left to gain."""
    problem = asked.problem
    some = problem.tune[:FEW_QUERIES]
    apart.set_search(min(most, max(least_ef(can, settings), FAR_BEYOND * guess)), settings.oversampling)
    hits = problem.hits(apart.search(asked.raw(some), settings.k).ids, some)
    return float(hits.mean()) / settings.k >= problem.options.recall


def _find_ef(
    apart: EngineProcess,
    can: Capabilities,
    settings: EngineConfig,
    asked: PosedProblem,
    guess: int,
    most: int,
) -> Found:
    problem = asked.problem
    queries, least = asked.raw(problem.tune), least_ef(can, settings)
    seconds: dict[int, float] = {}

    def at(ef_search: int) -> EfResult:
        apart.set_search(ef_search, settings.oversampling)
        answers = apart.search(queries, settings.k)
        seconds[ef_search] = float(np.median(answers.seconds))
        return judged(problem, ef_search, problem.hits(answers.ids, problem.tune), 0.0, 0.0)

    tuned = find_min_ef(at, least, max(least, min(guess, most)), max(least, most))
    return Found(replace(settings, ef_search=tuned.ef_search), tuned, seconds[tuned.ef_search])


def point_of(
    apart: EngineProcess,
    found: Found,
    asked: PosedProblem,
    most: int,
    load_s: float,
    predicted: tuple[float | None, int | None],
) -> EnginePoint:
    """Return the measured point; ef_search is raised while the held-out half falls short."""
    problem, settings, hits = asked.problem, found.settings, found.tuned.hits
    raised = 0
    queries = asked.raw(problem.validate)
    while True:
        apart.set_search(settings.ef_search, settings.oversampling)
        answers = apart.search(queries, settings.k)
        validated = problem.recall(problem.hits(answers.ids, problem.validate))
        good = problem.validated(validated) and found.tuned.passes
        larger = min(most, int(settings.ef_search * RAISED) + 1)
        if good or not found.tuned.passes or raised == MOST_RAISES or larger <= settings.ef_search:
            break
        settings, raised = replace(settings, ef_search=larger), raised + 1
    if raised:
        hits = _hits(apart, asked, problem.tune, asked.raw(problem.tune), settings.k)
    applied = apart.applied()
    used = applied.index_used is not False and applied.n_indexed in (None, asked.n)
    return EnginePoint(
        settings=settings,
        recall=problem.recall(hits),
        validated=validated,
        index_bytes=apart.index_bytes(),
        latency=latency_of(answers.seconds),
        applied=applied,
        load_s=load_s,
        predicted_recall=predicted[0],
        predicted_bytes=predicted[1],
        reaches_target=good and used and applied_line(settings, applied).status == "pass",
        raised=bool(raised),
    )


def _hits(apart: EngineProcess, asked: PosedProblem, half: IdArray, queries: FloatArray, k: int) -> IdArray:
    return asked.problem.hits(apart.search(queries, k).ids, half)


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
