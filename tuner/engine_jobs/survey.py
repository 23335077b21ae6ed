"""Every codec of an engine on a sample of the rows: which of them are worth a build at full size."""

from __future__ import annotations

import tempfile
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tuner.engines import Capabilities, Deployment, EngineCodec, EngineConfig, EngineDiedError, EngineProcess
from tuner.engines.translate import factors_of, least_ef
from tuner.recall.truth import search_exactly
from tuner.runtime.steps import result_of
from tuner.sweep.pose import PosedProblem
from tuner.types import FloatArray, IdArray, Steps

ROWS, QUERIES, EF_SEARCH = 5_000, 200, 200
SURVEYED_FROM = 10_000
"""Smaller bases are built with every codec: that takes no longer than looking at a sample first."""
MARGIN = 0.01
"""A sample is easier than the whole: a codec that misses the target on it by more has no chance."""


@dataclass(frozen=True, kw_only=True)
class Surveyed:
    """What a codec did on the sample.

    Attributes:
        factor: least re-scoring factor that reached the target there, or the largest.
        recall: recall with that factor.
        bytes_per_vector: bytes of the sample's index, per vector.
        seconds: median time of a search with that factor; 0 where the codec was not looked at.
        excluded: why it is not built at full size, empty if it is.
    """

    codec: str
    factor: int
    recall: float
    bytes_per_vector: float
    seconds: float
    excluded: str = ""


def survey(
    can: Capabilities,
    codecs: tuple[EngineCodec, ...],
    config: EngineConfig,
    posed: PosedProblem,
    threads: int,
) -> Steps[tuple[Surveyed, ...]]:
    """Yield the share done; return what each codec did, the least bytes times seconds first."""
    problem = posed.problem
    rows = np.sort(
        np.random.default_rng(problem.options.seed).choice(posed.n, min(ROWS, posed.n), replace=False)
    )
    some = problem.sample(QUERIES)
    sample = np.ascontiguousarray(problem.base.x[rows])
    truth = result_of(search_exactly(sample, problem.queries[some], config.k, config.k))

    def recall(ids: IdArray) -> float:
        return float(truth.hits(sample, problem.queries[some], ids).mean()) / config.k

    of_user = rows if posed.rows is None else posed.rows[rows]
    found = []
    for number, codec in enumerate(codecs):
        factors = factors_of(can, config.k) if codec.oversampling else (1,)
        sampled = replace(config, codec=codec.name, oversampling=factors[-1])
        with tempfile.TemporaryDirectory(prefix="tune-survey-") as folder:
            deployment = Deployment(folder=Path(folder), threads=threads, n=len(rows))
            try:
                with EngineProcess(sampled, deployment) as process:
                    result_of(process.load(posed.vectors, of_user))
                    found.append(
                        _looked_at(
                            process, can, sampled, factors, posed.raw(some), problem.options.recall, recall
                        )
                    )
            except EngineDiedError as error:
                found.append(
                    Surveyed(
                        codec=codec.name,
                        factor=1,
                        recall=0.0,
                        bytes_per_vector=0.0,
                        seconds=0.0,
                        excluded=str(error),
                    )
                )
        yield (number + 1) / len(codecs)
    return tuple(sorted(found, key=lambda each: each.bytes_per_vector * each.seconds))


def _looked_at(
    process: EngineProcess,
    can: Capabilities,
    config: EngineConfig,
    factors: tuple[int, ...],
    queries: FloatArray,
    target: float,
    recall_of: Callable[[IdArray], float],
) -> Surveyed:
    """Return what the least factor that reaches the target does, or the largest."""
    tried: dict[int, tuple[float, float]] = {}

    def reaches(factor: int) -> bool:
        asked = replace(config, oversampling=factor)
        process.set_search(min(can.ef_search[1], max(EF_SEARCH, least_ef(can, asked))), factor)
        answers = process.search(queries, config.k)
        tried[factor] = recall_of(answers.ids), float(np.median(answers.seconds))
        return tried[factor][0] >= target

    # most codecs need none or little of it, and searches are what a look takes
    first = 0 if reaches(factors[0]) else bisect_left(factors, True, lo=1, key=reaches)
    factor = factors[min(first, len(factors) - 1)]
    if factor not in tried:
        reaches(factor)
    recall, seconds = tried[factor]
    missed = (
        f"reaches {recall:.3f} at most on a sample of {process.n:,} rows" if recall < target - MARGIN else ""
    )
    return Surveyed(
        codec=config.codec,
        factor=factor,
        recall=recall,
        bytes_per_vector=process.index_bytes() / process.n,
        seconds=seconds,
        excluded=missed,
    )
